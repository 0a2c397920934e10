"""Files and folders appear whole or not at all."""

from pathlib import Path

import numpy as np
import pytest

from scamo.atomic import UnwrittenError, explaining, replacing_file, replacing_folder, write_npy


def test_replacing_keeps_the_older_file_on_any_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("older", encoding="utf-8")
    with pytest.raises(ZeroDivisionError), replacing_file(path) as temporary:
        temporary.write_text(f"half {1 / 0}", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "older"
    with replacing_file(path) as temporary:
        temporary.write_text("newer", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "newer"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_takes_its_place_or_leaves_the_older_one(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with replacing_folder(folder) as staging:
        (staging / "card.json").write_text("older", encoding="utf-8")
    with pytest.raises(ZeroDivisionError), replacing_folder(folder, {"card.json"}) as staging:
        (staging / "card.json").write_text(f"half {1 / 0}", encoding="utf-8")
    assert (folder / "card.json").read_text(encoding="utf-8") == "older"
    with replacing_folder(folder, {"card.json"}) as staging:
        (staging / "w.safetensors").write_text("newer", encoding="utf-8")
    assert [path.name for path in folder.iterdir()] == ["w.safetensors"]
    with replacing_folder(folder, suffixes={".safetensors"}) as staging:
        (staging / "card.json").write_text("newest", encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("my work", encoding="utf-8")
    with pytest.raises(ValueError, match=r"thesis\.tex"), replacing_folder(tmp_path, {"card.json"}):
        raise AssertionError("the block must not run")
    with pytest.raises(ValueError, match="is a file"), replacing_folder(tmp_path / "thesis.tex"):
        pass
    assert (tmp_path / "thesis.tex").read_text(encoding="utf-8") == "my work"


def test_an_array_is_written_at_exactly_its_path(tmp_path: Path) -> None:
    path = write_npy(tmp_path / "new" / "walk.features", np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(np.load(path), np.arange(6.0).reshape(2, 3))
    with pytest.raises(ValueError, match="Object arrays"):
        write_npy(path, np.array([{}], dtype=object))
    assert np.load(path).shape == (2, 3)
    assert [p.name for p in path.parent.iterdir()] == ["walk.features"]


def test_a_file_of_torch_that_is_too_short_means_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(UnwrittenError, match=r"not all of it was stored\. Free disk space"), explaining(tmp_path / "a"):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 8448 vs 8364")
    with pytest.raises(RuntimeError, match="shapes"), explaining(tmp_path / "a"):
        raise RuntimeError("shapes differ")
