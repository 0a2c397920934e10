"""The evaluator of text and motion: Guo et al.'s layout, and one of our own that learns."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("accelerate")

from scamo.metrics import r_precision
from tests.corpus import WIDTH, write_corpus, write_texts
from training.configuration import Run, with_settings
from training.data.dataset import Dataset
from training.data.text_embeddings import TextBank
from training.tasks.evaluator import EmbeddingReader, EvaluatorTraining, Matching, load_evaluator, main
from training.tasks.evaluator_networks import Evaluator, EvaluatorConfig, MotionTextMatcher, Sentence
from training.tasks.guo_evaluator import GloveReader, guo_evaluator

MOVEMENT, MOTION, TEXT, OUT, GLOVE = 6, 10, 7, 5, 4


def released() -> dict:
    """A small file with the keys and shapes of the released one."""
    torch.manual_seed(0)

    def gru(inputs: int, hidden: int, middle: int) -> dict[str, torch.Tensor]:
        out = {"hidden": torch.randn(2, 1, hidden), "input_emb.weight": torch.randn(hidden, inputs),
               "input_emb.bias": torch.randn(hidden), "output_net.0.weight": torch.randn(middle, 2 * hidden),
               "output_net.0.bias": torch.randn(middle), "output_net.1.weight": torch.rand(middle) + 0.5,
               "output_net.1.bias": torch.randn(middle), "output_net.3.weight": torch.randn(OUT, middle),
               "output_net.3.bias": torch.randn(OUT)}  # fmt: skip
        for end in ("l0", "l0_reverse"):
            out |= {f"gru.weight_{way}_{end}": 0.3 * torch.randn(3 * hidden, hidden) for way in ("ih", "hh")}
            out |= {f"gru.bias_{way}_{end}": torch.randn(3 * hidden) for way in ("ih", "hh")}
        return out

    movement = {"main.0.weight": 0.1 * torch.randn(MOVEMENT, 259, 4), "main.0.bias": torch.randn(MOVEMENT),
                "main.3.weight": torch.randn(MOVEMENT, MOVEMENT, 4), "main.3.bias": torch.randn(MOVEMENT),
                "out_net.weight": torch.randn(MOVEMENT, MOVEMENT), "out_net.bias": torch.randn(MOVEMENT)}  # fmt: skip
    text = gru(GLOVE, TEXT, TEXT) | {"pos_emb.weight": torch.randn(GLOVE, 15), "pos_emb.bias": torch.randn(GLOVE)}
    return {"movement_encoder": movement, "motion_encoder": gru(MOVEMENT, MOTION, MOTION), "text_encoder": text,
            "opt_text_encoder": {"state": {}}, "epoch": 3, "iter": 7}  # fmt: skip


def gru_by_hand(w: dict[str, torch.Tensor], x_ld: torch.Tensor, end: str, h: torch.Tensor) -> torch.Tensor:
    """The textbook's gated recurrent unit, step by step."""
    for x in x_ld:
        gates = F.linear(x, w[f"gru.weight_ih_{end}"], w[f"gru.bias_ih_{end}"]).chunk(3)
        back = F.linear(h, w[f"gru.weight_hh_{end}"], w[f"gru.bias_hh_{end}"]).chunk(3)
        reset, update = torch.sigmoid(gates[0] + back[0]), torch.sigmoid(gates[1] + back[1])
        h = (1 - update) * torch.tanh(gates[2] + reset * back[2]) + update * h
    return h


def sequence_by_hand(w: dict[str, torch.Tensor], x_ld: torch.Tensor) -> torch.Tensor:
    x_ld = F.linear(x_ld, w["input_emb.weight"], w["input_emb.bias"])
    there = gru_by_hand(w, x_ld, "l0", w["hidden"][0, 0])
    back = gru_by_hand(w, x_ld.flip(0), "l0_reverse", w["hidden"][1, 0])
    y = F.linear(torch.cat([there, back]), w["output_net.0.weight"], w["output_net.0.bias"])
    y = F.leaky_relu(F.layer_norm(y, y.shape, w["output_net.1.weight"], w["output_net.1.bias"]), 0.2)
    return F.linear(y, w["output_net.3.weight"], w["output_net.3.bias"])


def write_glove(folder: Path) -> dict[str, np.ndarray]:
    folder.mkdir()
    words = ["unk", "sos", "eos", "walk", "person", "a", "quickly"]
    vectors = np.random.default_rng(0).normal(size=(len(words), GLOVE)).astype(np.float32)
    np.save(folder / "our_vab_data.npy", vectors)
    (folder / "our_vab_words.pkl").write_bytes(pickle.dumps(words))
    (folder / "our_vab_idx.pkl").write_bytes(pickle.dumps({word: i for i, word in enumerate(words)}))
    return dict(zip(words, vectors, strict=True))


def test_guos_layout_loads_and_computes_what_it_says(tmp_path: Path) -> None:
    weights = released()
    torch.save(weights, tmp_path / "finest.tar")
    draw = np.random.default_rng(1)
    mean, std = draw.normal(size=263), draw.uniform(0.5, 2, 263)
    np.save(tmp_path / "mean.npy", mean)
    np.save(tmp_path / "std.npy", std)
    vectors = write_glove(tmp_path / "glove")
    evaluator = guo_evaluator(tmp_path / "finest.tar", tmp_path / "mean.npy", tmp_path / "std.npy", tmp_path / "glove")

    motions = [draw.normal(size=(frames, 263)).astype(np.float32) for frames in (40, 22)]
    found = evaluator.embed_motions(motions)
    for motion, row in zip(motions, found, strict=True):
        x = torch.from_numpy(((motion - mean) / std).astype(np.float32))[: len(motion) // 4 * 4, :-4].T[None]
        # The shorter one stands in a batch as long as the longer: zeros follow it.
        x = F.pad(x, (0, 40 - x.shape[-1]))
        m = weights["movement_encoder"]
        for layer in ("main.0", "main.3"):
            x = F.leaky_relu(F.conv1d(x, m[f"{layer}.weight"], m[f"{layer}.bias"], 2, 1), 0.2)
        x = F.linear(x[0].T, m["out_net.weight"], m["out_net.bias"])[: len(motion) // 4]
        assert row == pytest.approx(sequence_by_hand(weights["motion_encoder"], x).numpy(), abs=1e-4)

    # Two kinds of marked words, an unknown one, and a tag that is none.
    texts = [
        Sentence("a person walks quickly", "a/DET person/NOUN walk/VERB quickly/ADV"),
        Sentence("zzz a", "zzz/NOUN a/X"),
    ]
    tags = [[14, 2, 1, 12, 13, 14], [14, 14, 14, 14]]
    names = [["sos", "a", "person", "walk", "quickly", "eos"], ["sos", "unk", "a", "eos"]]
    for row, kinds, words in zip(evaluator.embed_sentences(texts), tags, names, strict=True):
        t = weights["text_encoder"]
        x = torch.from_numpy(np.stack([vectors[word] for word in words]))
        x = x + F.linear(F.one_hot(torch.tensor(kinds), 15).float(), t["pos_emb.weight"], t["pos_emb.bias"])
        assert row == pytest.approx(sequence_by_hand(t, x).numpy(), abs=1e-4)


def test_what_guos_evaluator_lacks_is_named(tmp_path: Path) -> None:
    write_glove(tmp_path / "glove")
    with pytest.raises(ValueError, match="no tagged words"):
        GloveReader(tmp_path / "glove").batch([Sentence("a person walks")])
    (tmp_path / "glove" / "our_vab_words.pkl").write_bytes(pickle.dumps(Path("x")))
    with pytest.raises(ValueError, match="does not need"):  # a pickle that would run code
        GloveReader(tmp_path / "glove")
    torch.save({"net": {}}, tmp_path / "finest.tar")
    with pytest.raises(ValueError, match="is not Guo"):
        guo_evaluator(tmp_path / "finest.tar", tmp_path, tmp_path, tmp_path)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("evaluator")
    write_corpus(folder / "data", clips=36)
    write_texts(folder / "texts")
    return folder


def test_a_sentences_embedding_does_not_depend_on_its_batch(places: Path) -> None:
    data = Dataset(places / "data")
    torch.manual_seed(0)
    config = EvaluatorConfig(263, WIDTH, 0, 8, 8, 8, 4)
    matcher = MotionTextMatcher(config, data.statistics.mean, data.statistics.std).eval()
    evaluator = Evaluator(matcher, EmbeddingReader(TextBank(places / "texts")), "test")
    captions = [Sentence("a man walks forward"), Sentence("someone turns left")]
    assert evaluator.embed_sentences(captions)[1:] == pytest.approx(evaluator.embed_sentences(captions[1:]), abs=1e-5)
    with pytest.raises(ValueError, match="too short"):
        evaluator.embed_motions([np.zeros((3, 263))])


def test_an_evaluator_learns_and_comes_back_from_its_folder(places: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    training = EvaluatorTraining(places / "data", places / "texts", run, hidden=16, width=8, batch=9)
    main(with_settings(training, steps=40, lr=5e-3))
    texts, data = TextBank(places / "texts"), Dataset(places / "data")
    evaluator = load_evaluator(tmp_path / "run" / "model", texts)
    # Three kinds of motion with three sentences each: only the kind can be recognised.
    clips = [clip for clip in data.split("train") if "a person walks forward" not in clip.captions[1:]]
    kinds = {"walks forward": 0, "turns left": 1, "steps back": 2}
    chosen = [next(c for c in clips if action in c.captions[0]) for action in kinds]
    sentences = evaluator.embed_sentences([Sentence(clip.captions[0]) for clip in chosen])
    motions = evaluator.embed_motions([data[clip] for clip in chosen])
    found = r_precision(sentences, motions, seed=0, pool=3)
    assert found[0] == 1.0
    other = tmp_path / "other"
    write_texts(other)
    (other / "index.json").write_text((other / "index.json").read_text(encoding="utf-8").replace("made up", "other"))
    with pytest.raises(ValueError, match="embeddings are of other"):
        load_evaluator(tmp_path / "run" / "model", TextBank(other))


def test_the_same_sentence_is_no_wrong_answer(places: Path) -> None:
    data = Dataset(places / "data")
    model = MotionTextMatcher(EvaluatorConfig(263, WIDTH, 0, 8, 8, 8, 4), data.statistics.mean, data.statistics.std)
    task = Matching(model, data, TextBank(places / "texts"), 8, 0)

    class Fixed(torch.nn.Module):
        log_scale = torch.tensor(0.0)

        def forward(self, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
            place = batch["same_b"].float()[:, None] * 100  # clips with one sentence lie on one spot
            return place, place

    loss, _ = task.loss(Fixed(), {"same_b": torch.tensor([1, 1, 4, 3, 4])})
    assert loss.item() == pytest.approx(0, abs=1e-6)
