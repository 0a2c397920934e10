"""The command line, run in-process on tiny models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from scamo import cli, registry
from scamo.device import DEVICES
from scamo.motion import Motion
from tests.motions import walk
from tests.rigs import write_rig
from tests.test_body_smpl import fake
from tests.tiny import FakeEncoder, write_models

CPU_BUILD = torch.version.cuda is None and torch.version.hip is None


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def bundled(models, monkeypatch):
    """The tiny models in the place of the bundled ones, and no text encoder to load."""
    monkeypatch.setattr(registry, "BUNDLED", models)
    monkeypatch.delenv(registry.MODELS_VARIABLE, raising=False)
    monkeypatch.setattr("scamo.text.load_text_encoder", lambda name, **options: FakeEncoder())
    return models


@pytest.fixture
def walking(tmp_path):
    path = tmp_path / "in" / "walk.npy"
    path.parent.mkdir()
    np.save(path, Motion.from_joints(walk(41)).features)
    return path


def fails(capsys, *argv) -> str:
    """The one line a user sees."""
    assert cli.main([str(arg) for arg in argv]) == 2
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == 1
    return err


def is_misspelt(capsys, *argv) -> str:
    """What a user sees whose options cannot be read."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(arg) for arg in argv])
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def works(*argv) -> None:
    assert cli.main([str(arg) for arg in argv]) == 0


def test_generate_writes_features_joints_and_a_video(bundled, tmp_path, capsys):
    out = tmp_path / "out"
    args = ("generate", "a person walks forward", "--codebook", 256, "--size", "1M", "--seconds", 1, "--seed", 3)
    works(*args, "--out", out)
    features, joints = np.load(out / "features.npy"), np.load(out / "joints.npy")
    assert features.shape == (20, 263)
    assert joints.shape == (20, 22, 3)
    assert (out / "motion.mp4").stat().st_size > 1000
    told = capsys.readouterr()
    assert "seed 3" in told.out
    assert told.err == ""
    works(*args, "--out", tmp_path / "again")
    assert np.array_equal(np.load(tmp_path / "again" / "features.npy"), features)


def test_generate_and_compare_draw_the_chosen_figure(bundled, tmp_path, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr("scamo.render.render_motion", lambda motions, path, **options: drawn.append(options))
    monkeypatch.delenv("SCAMO_BODY_MODEL", raising=False)
    given = ("--codebook", 256, "--size", "1M", "--seconds", 1, "--out", tmp_path)
    works("generate", "an old man bows", *given)
    works("generate", "an old man bows", *given, "--body", "person")
    works("compare", "an old man bows", *given, "--body", "person", "--person", "child")
    assert [options["body"] for options in drawn] == ["stick", "person", "person"]
    assert [options.get("person") for options in drawn[1:]] == ["auto", "child"]
    assert all(options["caption"] == "an old man bows" for options in drawn)  # auto goes by it
    assert "smpl.is.tue.mpg.de" in fails(capsys, "generate", "bow", *given, "--body", "smpl")
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **fake())
    monkeypatch.setenv("SCAMO_BODY_MODEL", str(tmp_path / "SMPL_NEUTRAL.npz"))
    works("generate", "bow", *given, "--body", "smpl")
    assert drawn[-1]["body"].kind == "SMPL"


def test_a_text_cache_keeps_a_prompts_embedding_and_releases_the_encoder(models, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "BUNDLED", models)
    args = ("generate", "a person walks", "--codebook", 256, "--size", "1M", "--seconds", 1, "--seed", 3)
    works(*args, "--out", tmp_path / "plain")
    works(*args, "--out", tmp_path / "first", "--text-cache", tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 1
    monkeypatch.setattr("scamo.text.PretrainedTextEncoder._load", None)  # the second time no weights are needed
    works(*args, "--out", tmp_path / "second", "--text-cache", tmp_path / "cache")
    made = [np.load(tmp_path / name / "features.npy") for name in ("plain", "first", "second")]
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[1], made[2])


def test_compare_makes_every_cell_and_one_video(bundled, tmp_path, capsys):
    works(
        "compare", "bow", "--codebook", 256, 1024, "--size", "0.3M", "--size", "1M", "--seconds", 0.4, "--out", tmp_path
    )
    cells = sorted(path.parent.name for path in tmp_path.glob("*/features.npy"))
    assert cells == ["1024-0.3M", "1024-1M", "256-0.3M", "256-1M"]
    assert (tmp_path / "compare.mp4").is_file()
    assert capsys.readouterr().out.count("seed") == 1


def test_compare_keeps_two_models_of_one_shape_apart(bundled, tmp_path, models, capsys):
    other = write_models(tmp_path / "B", (256,), ("1M",)) / "256-1M"
    out = tmp_path / "out"
    args = ("compare", "bow", "--model", models / "256-1M", other, "--model", other, "--seconds", 0.4, "--out", out)
    works(*args)
    made = {path.parent.name: np.load(path) for path in out.glob("*/features.npy")}
    assert sorted(made) == ["256-1M", "256-1M-2", "256-1M-B"]
    told = capsys.readouterr().out
    assert all(f"{name}: " in told for name in made)


def test_compare_draws_one_seed_for_all_and_loads_one_encoder(bundled, tmp_path, models, monkeypatch):
    loaded = []
    monkeypatch.setattr("scamo.text.load_text_encoder", lambda name, **options: loaded.append(name) or FakeEncoder())
    out = tmp_path / "out"
    works("compare", "bow", "--model", models / "256-1M", models / "256-1M", "--seconds", 0.4, "--out", out)
    first, second = (np.load(path) for path in out.glob("*/features.npy"))
    np.testing.assert_array_equal(first, second)
    assert loaded == ["minilm"]


def test_tokenize_and_back(bundled, walking, tmp_path):
    tokens, features = tmp_path / "tokens.npy", tmp_path / "back.npy"
    works("tokenize", walking, "--codebook", 1024, "--out", tokens)
    assert np.load(tokens).shape == (10,)
    works("tokenize", tokens, "--codebook", 1024, "--out", features)
    assert np.load(features).shape == (40, 263)


def test_models_lists_without_loading(bundled, models, capsys):
    works("models")
    assert "256-0.3M" in capsys.readouterr().out
    works("models", models, "--json")
    cards = json.loads(capsys.readouterr().out)
    assert {(card["codebook"], card["size"]) for card in cards} == {
        (256, "0.3M"), (256, "1M"), (1024, "0.3M"), (1024, "1M"),
    }  # fmt: skip


def test_mistakes_are_one_line(bundled, models, tmp_path, capsys):
    assert "empty" in fails(capsys, "generate", "  ")
    assert "256" in fails(capsys, "generate", "bow", "--codebook", 999)
    assert "1M" in fails(capsys, "generate", "bow", "--size", "9T")
    assert "seconds" in fails(capsys, "generate", "bow", "--seconds", 0)
    assert "seconds" in fails(capsys, "generate", "bow", "--seconds", 1_000_000)
    assert "10,000" in fails(capsys, "generate", "x" * 10_000)
    assert "nowhere" in fails(capsys, "generate", "bow", "--model", tmp_path / "nowhere")
    assert "scamo generate --help" in is_misspelt(capsys, "generate")
    assert "Perhaps you meant: --codebook" in is_misspelt(capsys, "generate", "bow", "--codebok", 3)
    assert fails(capsys, "generate", "bow", "--size", "9T").startswith("scamo generate: ")
    assert "missing.npy" in fails(capsys, "tokenize", tmp_path / "missing.npy", "--out", tmp_path)


def test_features_of_the_wrong_width_and_nan_are_refused(bundled, tmp_path, capsys):
    wrong, nan = tmp_path / "wrong.npy", tmp_path / "nan.npy"
    np.save(wrong, np.zeros((40, 200), dtype=np.float32))
    np.save(nan, np.full((40, 263), np.nan, dtype=np.float32))
    assert "200" in fails(capsys, "tokenize", wrong, "--out", tmp_path / "t.npy")
    assert "NaN" in fails(capsys, "tokenize", nan, "--out", tmp_path / "t.npy")
    assert not (tmp_path / "t.npy").exists()


def test_a_corrupted_checkpoint_is_named(bundled, tmp_path, capsys):
    broken = write_models(tmp_path, (256,), ("0.3M",)) / "256-0.3M"
    weights = next(broken.glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert weights.name in fails(capsys, "generate", "bow", "--model", broken, "--out", tmp_path / "out")


def test_export_and_render_take_a_file_or_a_folder(walking, tmp_path, capsys):
    pytest.importorskip("scamo.io.write")
    works("export", walking, "--to", "bvh,npy", "--out", tmp_path / "one")
    assert list((tmp_path / "one").rglob("*.bvh"))
    works("render", walking, "--out", tmp_path / "walk.gif")
    assert (tmp_path / "walk.gif").is_file()
    assert "smpl.is.tue.mpg.de" in fails(capsys, "render", walking, "--body", "smpl", "--out", tmp_path / "b.mp4")
    deep = walking.parent / "deep" / "bad.npy"
    deep.parent.mkdir()
    np.save(deep, np.zeros((3, 7)))
    (walking.parent / "walk.bvh").write_bytes((tmp_path / "one" / "walk.bvh").read_bytes())
    assert cli.main(["render", str(walking.parent), "--out", str(tmp_path / "all")]) == 2
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["walk-npy.mp4", "walk.mp4"]  # the good ones
    assert "bad.npy" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from scamo.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print({'torch', 'numpy', 'gradio', 'transformers'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip().endswith("set()")


def test_python_m_scamo_is_the_same_command():
    result = subprocess.run([sys.executable, "-m", "scamo", "fly"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "generate" in result.stderr


def test_app_opens_the_page_with_models_of_ones_own(monkeypatch):
    opened = []
    monkeypatch.setattr("scamo.ui.build", lambda folders, **options: opened.append((folders, options)) or "page")
    monkeypatch.setattr("scamo.ui.launch", opened.append)
    works(
        "app", "--models", "a", "b", "--models", "c", "--body-model", "mine.npz", "--device", "cpu", "--dtype", "int8"
    )
    given = {"device": "cpu", "dtype": torch.int8, "body_model": Path("mine.npz")}
    assert opened == [(["a", "b", "c"], given), "page"]


def test_conversion_passes_every_option_on(monkeypatch, tmp_path):
    given = {}
    monkeypatch.setattr("scamo.convert.convert_official", lambda **options: given.update(options))
    works("convert", "--tokenizer", "x.pth", "--levels", 8, 5, 5, 5, "--dilation-growth", 2, "--out", tmp_path)
    assert (given["levels"], given["dilation_growth"], given["heads"]) == ((8, 5, 5, 5), 2, None)


def test_a_damaged_file_in_a_folder_is_named_and_the_others_are_done(walking, tmp_path, capsys):
    folder = walking.parent
    (folder / "brace.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f4', 'shape': (40," + b" " * 90)
    (folder / "cut.npz").write_bytes(b"PK\x03\x04")
    (folder / "deep.glb").write_bytes(b"glTF\x02\x00\x00\x00\xb4\x86\x01\x00\xa0\x86\x01\x00JSON" + b"[" * 100_000)
    (folder / "empty.bvh").write_bytes(b"")
    for command in (("export", folder, "--to", "npy"), ("render", folder)):
        assert cli.main([*map(str, command), "--out", str(tmp_path / command[0])]) == 2
        told = capsys.readouterr().err
        assert all(f"{name}" in told for name in ("brace.npy", "cut.npz", "deep.glb", "empty.bvh"))
        assert "4 of 5 files" in told and "Traceback" not in told
        assert len(list((tmp_path / command[0]).iterdir())) >= 1


def test_what_is_known_of_a_file_can_be_given(tmp_path, capsys):
    joints = walk(21)[..., [0, 2, 1]] * [1, -1, 1]  # Z up
    np.save(tmp_path / "a.npy", joints * 100)
    works("export", tmp_path / "a.npy", "--to", "npy", "--out", tmp_path / "found")
    assert 'a.npy": Z is up; centimetres.' in capsys.readouterr().err
    works(
        "export",
        tmp_path / "a.npy",
        "--to",
        "npy",
        "--up",
        "z",
        "--source-unit",
        "cm",
        "--source-fps",
        20,
        "--out",
        tmp_path / "given",
    )
    assert capsys.readouterr().err == ""
    found, given = (np.load(tmp_path / name / "a_features.npy") for name in ("found", "given"))
    np.testing.assert_array_equal(found, given)
    (tmp_path / "map.json").write_text('{"tail": "Tail"}')
    path = write_rig(tmp_path / "b.bvh", walk(9), "mixamo")
    assert 'names "tail"' in fails(
        capsys, "export", path, "--joints", tmp_path / "map.json", "--to", "npy", "--out", tmp_path
    )


def test_where_it_computes_is_chosen_and_said(bundled, capsys, tmp_path, monkeypatch):
    assert "there is no device" in fails(capsys, "generate", "a person walks", "--device", "abacus")
    assert "there is no device" in fails(capsys, "app", "--device", "abacus")
    monkeypatch.setattr(DEVICES, "gpus", list)
    assert "(this PyTorch" in fails(capsys, "generate", "a person walks", "--device", "cuda") or not CPU_BUILD
    monkeypatch.setenv("SCAMO_DEVICE", "abacus")
    assert 'there is no device "abacus"' in fails(capsys, "generate", "a person walks")
    monkeypatch.setattr("scamo.render.render_motion", lambda *_, **__: None)
    options = ("--device", "auto", "--dtype", "int8", "--size", "0.3M", "--seconds", "1", "--out", str(tmp_path))
    assert cli.main(["generate", "a person walks", *options]) == 0
    assert " s on cpu in int8; seed" in capsys.readouterr().out
