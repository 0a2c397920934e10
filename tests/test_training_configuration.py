"""Configurations: flat settings, copies with changes, and what a run may be continued with."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("accelerate")

from training import configuration
from training.configuration import (
    LATER_SETTINGS,
    MAY_DIFFER,
    Optimisation,
    Run,
    curve_settings,
    flat_settings,
    with_current_names,
    with_settings,
)
from training.json_files import write_json
from training.run_folder import SETTINGS, is_finished
from training.tasks.tokenizer import TokenizerTraining
from training.tasks.transformer import TransformerTraining

TRAINING = TokenizerTraining(Path("data"), Run(Path("out"), seed=3), codebook=64, lengths=(32, 64))


def test_settings_are_flat_and_without_paths() -> None:
    found = flat_settings(TRAINING)
    assert (found["seed"], found["codebook"], found["steps"], found["lengths"]) == (3, 64, 6000, [32, 64])
    assert found["final_share"] == 0.1  # of multistep; it is a number, not None
    assert flat_settings(with_settings(TRAINING, schedule="cosine"))["final_share"] == 0.01
    assert not {"out", "data", "run", "optimisation"} & set(found)


def test_a_copy_has_changes_in_each_of_its_parts() -> None:
    found = with_settings(TRAINING, codebook=256, steps=7, lr=0.5, out=Path("b"), start=Path("c"))
    assert (found.codebook, found.start, found.run.out, found.run.seed) == (256, Path("c"), Path("b"), 3)
    assert (found.optimisation.steps, found.optimisation.lr, found.optimisation.warmup) == (7, 0.5, 0.003)
    assert TRAINING.codebook == 64
    with pytest.raises(TypeError, match="no setting colour"):
        with_settings(TRAINING, colour=1)


def test_one_list_says_what_may_differ(tmp_path: Path) -> None:
    model = TransformerTraining(tmp_path, tmp_path, tmp_path, Run(tmp_path))
    names = set(flat_settings(TRAINING)) | set(flat_settings(model))
    assert names >= MAY_DIFFER  # a setting that was renamed would silently decide again
    begun = curve_settings(TRAINING, {"data": "a"})
    write_json(tmp_path / SETTINGS, begun)
    other = with_settings(TRAINING, threads=2, device="cpu", log_every=1, save_every=9, validate_every=9, dry_run=True)
    assert not is_finished(tmp_path, curve_settings(other, {"data": "a"}))
    for changes in ({"seed": 4}, {"batch": 3}, {"lr": 0.1}, {"latent_penalty": 0.5}):
        with pytest.raises(ValueError, match=f"begun with another {next(iter(changes))}"):
            is_finished(tmp_path, curve_settings(with_settings(TRAINING, **changes), {"data": "a"}))
    with pytest.raises(ValueError, match="begun with another data"):
        is_finished(tmp_path, curve_settings(TRAINING, {"data": "b"}))


def test_a_run_of_earlier_names_goes_on(tmp_path: Path) -> None:
    former = {"final_share": "fall", "latent_penalty": "restraint", "drift_penalty": "path", "bone_penalty": "bones",
              "place_penalty": "places"}  # fmt: skip
    settings = curve_settings(TRAINING, {})
    write_json(tmp_path / SETTINGS, {former.get(name, name): value for name, value in settings.items()})
    assert not is_finished(tmp_path, settings)
    settings_before = {name: value for name, value in settings.items() if name not in LATER_SETTINGS}
    write_json(tmp_path / SETTINGS, settings_before)
    assert not is_finished(tmp_path, settings)
    with pytest.raises(ValueError, match="begun with another bone_penalty"):
        is_finished(tmp_path, curve_settings(with_settings(TRAINING, bone_penalty=0.3), {}))
    assert with_current_names({"restraint": 0.1, "steps": 5}) == {"latent_penalty": 0.1, "steps": 5}


def test_the_papers_columns_are_the_tasks_defaults() -> None:
    tokenizer = TRAINING.optimisation
    assert (tokenizer.schedule, tokenizer.milestone, tokenizer.warmup, tokenizer.weight_decay) == (
        "multistep",
        0.6,
        0.003,
        0,
    )
    transformer = TransformerTraining(Path(), Path(), Path(), Run(Path())).optimisation
    assert (transformer.schedule, transformer.warmup, transformer.weight_decay) == ("cosine", 0.1, 1e-6)
    assert tokenizer.betas[0] == transformer.betas[0] == 0.9
    assert Optimisation(1, 1.0).resolved().final_share == 0.01


@pytest.mark.parametrize("multiplies", [False, True])
def test_auto_is_what_the_processor_is_good_at(monkeypatch: pytest.MonkeyPatch, multiplies: bool) -> None:
    monkeypatch.setattr(configuration, "multiplies_bfloat16", lambda: multiplies)
    own = Optimisation(steps=1, lr=1.0, precision="auto")
    assert own.resolved().precision == ("bf16" if multiplies else "no")
    assert flat_settings(with_settings(TRAINING, precision="auto"))["precision"] == own.resolved().precision
    for told in ("no", "bf16"):
        assert Optimisation(steps=1, lr=1.0, precision=told).resolved().precision == told
    assert flat_settings(TransformerTraining(Path("d"), Path("t"), Path("c"), Run(Path("o"))))["precision"] == (
        "bf16" if multiplies else "no"
    )
