"""The whole chain on tiny made-up data, and what comes out of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("accelerate")
pytest.importorskip("vector_quantize_pytorch")

import scamo
from scamo import checkpoint, registry
from scamo.checkpoint import CheckpointError
from scamo.configs import SIZES
from scamo.tokenizer import MotionTokenizer
from training import publish, recipes
from training.configuration import flat_settings
from training.recipes import Places
from training.reproduce_actions import shortened

ROOT = Path(__file__).parents[1]
MACHINE = {"device", "start", "tokens"}  # on a card these mean something else than in a recipe


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("chain") / "tiny"
    command = ["bash", str(ROOT / "training" / "reproduce.sh"), "--tiny", "--out", str(out), "--threads", "1"]
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out


def test_the_chain_leaves_tables_plots_and_a_model(chain: Path) -> None:
    results = chain / "results"
    tables = ("tokenizers", "generation", "scaling")
    files = {f"{table}.{kind}" for table in tables for kind in ("json", "md", "png")}
    assert {path.name for path in results.iterdir()} == files
    rows = json.loads((results / "tokenizers.json").read_text())["rows"]
    assert [row["quantiser"] for row in rows] == ["fsq", "vq"]
    assert all({"l1", "fid", "mpjpe_mm", "usage", "entropy"} <= set(row) for row in rows)
    generation = json.loads((results / "generation.json").read_text())
    assert [row["model"] for row in generation["rows"]] == ["real motions", "64-0.3M-24", "64-1M-6"]
    real, *rows = generation["rows"]
    assert real["metrics"]["fid"][0] == pytest.approx(0, abs=1e-4)
    wanted = {
        "fid",
        "r_precision_1",
        "r_precision_2",
        "r_precision_3",
        "matching_score",
        "diversity",
        "foot_slide",
        "jitter",
    }
    assert all(set(row["metrics"]) == wanted and row["normalised_loss"] < 0 < row["multimodality"] for row in rows)
    law = json.loads((results / "scaling.json").read_text())
    assert len(law["runs"]) == 3 and len(law["fits"]) >= 4


def test_a_published_model_generates(chain: Path) -> None:
    folder = chain / "published"
    words = (folder / "README.md").read_text()
    assert "license: cc0-1.0" in words and "normalised_loss" in words
    generator = scamo.load(folder)
    assert generator.card.licence == "CC0-1.0" and generator.card.codebook == 64
    generation = generator.generate("a person walks forward", seed=0, seconds=1)
    assert generation.motion.joints.shape == (20, 22, 3)
    assert publish.publish(chain / "runs" / "64-0.3M-24", folder) == folder  # once more, in its own place
    assert [card.name for card in scamo.models([chain / "published"]) if card.source == "local"] == ["64-0.3M"]


def test_a_bundle_shares_its_tokenizer(chain: Path, tmp_path: Path) -> None:
    one = publish.bundle(chain / "runs" / "64-0.3M-24", tmp_path)
    two = publish.bundle(chain / "runs" / "64-1M-6", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"tokenizer-64", one.name, two.name} == {
        "tokenizer-64", "64-0.3M", "64-1M"}  # fmt: skip
    assert scamo.load(two).card.size == "1M"
    # Another tokenizer of that codebook must not come under a model that was trained with the old one.
    run = tmp_path.parent / "other"
    stranger = MotionTokenizer.from_pretrained(chain / "runs" / "tokenizer-64" / "model")
    stranger.mean += 1.0
    stranger.save_pretrained(run / "tokenizer" / "model")
    card = checkpoint.read_card(chain / "runs" / "64-1M-6" / "model") | {"tokenizer": "../../tokenizer/model"}
    checkpoint.write(run / "a" / "model", checkpoint.read_tensors(chain / "runs" / "64-1M-6" / "model"), card)
    before = checkpoint.read_card(tmp_path / "tokenizer-64")["sha256"]
    with pytest.raises(CheckpointError, match="another tokenizer"):
        publish.bundle(run / "a", tmp_path)
    assert checkpoint.read_card(tmp_path / "tokenizer-64")["sha256"] == before
    with pytest.raises(CheckpointError):
        publish.publish(chain / "runs" / "tokenizer-64", tmp_path / "none")


def test_a_text_encoder_goes_along(chain: Path, tmp_path: Path) -> None:
    """An update of MiniLM lies beside the models of a bundle, and within a published one; another one is refused."""
    trained = chain / "runs" / "64-0.3M-24" / "model"
    facts = {"kind": "text_encoder", "config": {"base": "minilm", "rank": 1}}

    def run(value: float) -> Path:
        folder = tmp_path / f"run-{value}"
        reader = checkpoint.write(folder / "reader", {"a": torch.full((1, 2), value)}, facts, torch.float16)
        card = checkpoint.read_card(trained) | {
            "tokenizer": os.path.relpath(chain / "runs" / "tokenizer-64" / "model", folder / "a"),
            "text_encoder": "../reader", "text_encoder_sha256": checkpoint.read_card(reader)["sha256"]}  # fmt: skip
        checkpoint.write(folder / "a", checkpoint.read_tensors(trained), card)
        return folder / "a"

    bundled = publish.bundle(run(0.5), tmp_path / "bundle")
    assert scamo.load(bundled).card.text_encoder == str((tmp_path / "bundle" / "text-encoder").resolve())
    with pytest.raises(CheckpointError, match="another text encoder"):
        publish.bundle(run(0.25), tmp_path / "bundle")
    for _ in range(2):  # once more, in its own place
        published = publish.publish(run(0.5), tmp_path / "published")
        assert scamo.load(published).card.text_encoder == str((published / "text-encoder").resolve())


def test_a_second_run_repeats_nothing(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from training import reproduce

    reproduce.main(reproduce.Args(chain, tiny=True))
    steps = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"step"')]
    assert len(steps) > 10 and all(step.get("kept") for step in steps)


def test_the_bundle_was_made_by_its_recipes(tmp_path: Path) -> None:
    # Each went through several rounds; the recipes are the last one's, but for its length and rate.
    places = Places(tmp_path / "data", tmp_path / "texts", tmp_path / "runs")
    rounds = MACHINE | {"steps", "lr", "precision", "save_every", "validate_every"}
    for codebook in recipes.BUNDLED_CODEBOOKS:
        card = checkpoint.read_card(registry.BUNDLED / f"tokenizer-{codebook}")["training"]
        recipe = flat_settings(recipes.bundled_tokenizer(codebook, places, tmp_path, threads=1))
        shared = set(card) & set(recipe) - rounds
        assert {"width", "batch", "evenly", "latent_penalty", "drift_penalty", "speed_penalty", "schedule"} <= shared
        assert {k: card[k] for k in shared} == {k: recipe[k] for k in shared}
        for size in recipes.BUNDLED_SIZES:
            card = checkpoint.read_card(registry.BUNDLED / f"{codebook}-{size}")["training"]
            recipe = flat_settings(recipes.bundled_transformer(codebook, size, places, threads=1))
            shared = set(card) & set(recipe) - rounds
            assert {"targets", "tied", "weight_decay", "seed"} <= shared
            assert {k: card[k] for k in shared} == {k: recipe[k] for k in shared}


def test_a_share_of_the_steps_tries_the_chain(tmp_path: Path) -> None:
    places = Places(tmp_path / "data", tmp_path / "texts", tmp_path / "runs")
    whole = recipes.bundled_transformer(1024, "1M", places)
    assert shortened(whole, 1.0) == whole
    assert shortened(whole, 0.01).optimisation.steps == round(whole.optimisation.steps / 100)
    assert shortened(recipes.base_tokenizer(places), 1e-9).optimisation.steps == 1
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="is no share"):
            shortened(whole, share)


def test_recipes_cover_the_bundle_and_the_paper(tmp_path: Path) -> None:
    places = Places(tmp_path / "data", tmp_path / "texts", tmp_path / "runs")
    grid = recipes.paper_grid(places)
    assert len({model.run.out for model in grid}) == 42
    assert not any(model.tied for model in grid)
    assert {(model.optimisation.precision, model.optimisation.weight_decay) for model in grid} == {("bf16", 1e-6)}
    assert all(model.optimisation.steps * model.targets == pytest.approx(10**7.5, rel=0.01) for model in grid)
    codec = recipes.paper_tokenizer(65536, places)
    assert (codec.width, codec.quantiser) == (512, "fsq")
    for codebook in recipes.BUNDLED_CODEBOOKS:
        model = recipes.bandai_transformer(codebook, "4M", places)
        assert model.tokenizer == recipes.bandai_tokenizer(codebook, places).run.out / "model"
    pairs = recipes.quantiser_comparison(places)
    assert [(codec.quantiser, codec.codebook) for codec in pairs] == [
        (q, c) for c in (256, 1024, 4096) for q in ("fsq", "vq")]  # fmt: skip
    same = {"width", "steps", "lr", "batch", "emphasis", "window", "lengths", "schedule", "seed"}
    settings = [{k: v for k, v in flat_settings(codec).items() if k in same} for codec in pairs]
    assert set(settings[0]) == same and all(one == settings[0] for one in settings)
    # Appendix Tab. 2.
    schedule = grid[0].optimisation
    assert (schedule.schedule, schedule.warmup, schedule.betas[0]) == ("cosine", 0.1, 0.9)
    assert set(recipes.PAPER_SIZES) <= set(SIZES)
