"""The dataset folder's writer, and the JSON files of training."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.data.dataset import Dataset, DatasetWriter
from training.data.growing_dataset import read_splits
from training.json_files import read_json, read_rows, read_whole_rows, write_json, write_rows, write_text


def frames(value: float, count: int) -> np.ndarray:
    return np.full((count, 263), value, dtype=np.float32) + np.arange(count, dtype=np.float32)[:, None]


def test_a_dataset_is_read_as_it_was_written(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "data", {"source": "made up"}) as writer:
        writer.add("one", frames(1, 4), "train", ["a person walks"], kind="real")
        writer.append("two", frames(2, 3), "train", ("läuft",), {"name": "a label may be called so"}, times=2)
        writer.add("three", frames(9, 5), "test", [])
    data = Dataset(tmp_path / "data")
    assert [(c.name, c.start, c.frames, c.split) for c in data.clips] == [
        ("one", 0, 4, "train"), ("two", 4, 3, "train"), ("two", 4, 3, "train"), ("three", 7, 5, "test")]  # fmt: skip
    assert np.array_equal(data[data.clips[3]], frames(9, 5)) and data.features.shape == (12, 263)
    assert data.clips[1].captions == ("läuft",) and data.clips[1].labels["name"] == "a label may be called so"
    counts = {key: data.about[key] for key in data.about if key.endswith(("clips", "frames", "sentences"))}
    assert counts == {"train_clips": 3, "train_frames": 10, "test_clips": 1, "test_frames": 5,
                      "clips_without_sentences": 1}  # fmt: skip
    training = np.concatenate([frames(1, 4), frames(2, 3), frames(2, 3)])  # a clip counts as often as it is listed
    assert data.statistics.mean == pytest.approx(training.mean(0))
    assert data.about["source"] == "made up" and not (tmp_path / "data.partial").exists()


def test_a_dataset_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def write(split: str, width: int) -> None:
        with DatasetWriter(tmp_path / "data") as writer:
            writer.add("one", frames(1, 4), split, ["words"])
            assert not (tmp_path / "data").exists()
            writer.add("two", np.zeros((4, width)), split, ["words"])

    with pytest.raises(AssertionError):
        write("train", 7)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="No clip fell to the training split"):
        write("test", 263)
    assert not list(tmp_path.iterdir())
    write("train", 263)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_list_that_was_cut_off_is_no_dataset(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "data") as writer:
        for name in ("one", "two"):
            writer.add(name, frames(1, 4), "train", ["words"])
    path = tmp_path / "data" / "clips.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="is no dataset"):
        Dataset(tmp_path / "data")


def test_rows_of_a_killed_run(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert read_whole_rows(path) == []
    rows = [{"text": "two\nlines and \u2028"}, {"text": "ÄÖ"}, [1, 2]]
    write_rows(path, rows)
    with path.open("ab") as file:
        file.write(b'{"text": "cut o')
    assert read_whole_rows(path) == rows
    with pytest.raises(ValueError, match="Unterminated"):
        read_rows(path)


def test_files_are_utf_8_whatever_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locale.getpreferredencoding", lambda *_: "cp1252")
    write_text(tmp_path / "a.md", "↓ FID\n")
    assert (tmp_path / "a.md").read_bytes() == "↓ FID\n".encode()
    (tmp_path / "b.json").write_bytes('{"name": "läuft →"}'.encode())
    assert read_json(tmp_path / "b.json") == {"name": "läuft →"}
    write_json(tmp_path / "c.json", {"a": 1}, indent=1)
    assert json.loads((tmp_path / "c.json").read_bytes()) == {"a": 1}
    assert {path.name for path in tmp_path.iterdir()} == {"a.md", "b.json", "c.json"}  # nothing half written is left


def test_split_lists_of_any_editor(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes("\ufeffwalk 1\r\nwalk\u20282\r\n\r\n".encode())
    (tmp_path / "test.txt").write_bytes(b"run\n")
    assert read_splits(tmp_path) == {"walk 1": "train", "walk\u20282": "train", "run": "test"}
    (tmp_path / "val.txt").write_text("run", encoding="utf-8")
    with pytest.raises(ValueError, match=r"run is both in val.txt and in test.txt"):
        read_splits(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("about.json", lambda text: "{}", "no mean of 263"),
        ("about.json", lambda text: "[]", "no facts"),
        ("about.json", lambda text: re.sub(r'"std": \[[^,]*', '"std": [1e-308', text), "not above zero"),
        ("about.json", lambda text: text.replace('"mean": [', '"mean": [NaN, '), "no mean of 263"),
        ("about.json", lambda text: "[" * 5000, "no dataset"),
        ("clips.jsonl", lambda text: text.replace('"start": 0', '"start": -1'), "line 1 .*no places"),
        ("clips.jsonl", lambda text: text.replace('"start": 0', '"start": 1e3'), "line 1 .*no places"),
        ("clips.jsonl", lambda text: text.replace('"start": 0', '"start": 90'), "shorter than line 1"),
        ("clips.jsonl", lambda text: text.replace('"split"', '"part"'), "line 1 .*no clip"),
        ("clips.jsonl", lambda text: text.replace('["a"]', "[5]"), "line 1 .*no texts"),
        ("clips.jsonl", lambda text: "5\n" + text, "line 1 .*no clip"),
    ],
)
def test_what_is_odd_is_named_when_it_is_opened(
    tmp_path: Path, name: str, change: Callable[[str], str], words: str
) -> None:
    with DatasetWriter(tmp_path / "data") as writer:
        writer.add("one", np.random.default_rng(0).normal(size=(9, 263)).astype(np.float32), "train", ["a"])
    path = tmp_path / "data" / name
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        Dataset(tmp_path / "data")


@pytest.mark.parametrize(
    "array", [np.zeros((3, 3), dtype=bool), np.zeros(5), np.array("a"), np.zeros((3, 3), dtype=complex)]
)
def test_features_of_another_kind_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    with DatasetWriter(tmp_path / "data") as writer:
        writer.add("one", np.random.default_rng(0).normal(size=(9, 263)).astype(np.float32), "train", ["a"])
    np.save(tmp_path / "data" / "features.npy", array)
    with pytest.raises(ValueError, match=r"features\.npy holds"):
        Dataset(tmp_path / "data")
