"""Where models come from: bundled with the package, in a folder, or on the hub.

A model is a transformer's checkpoint folder whose card names its tokenizer's folder by a relative path. Listing reads
cards only. The places that `SCAMO_MODELS` names (folders or hub ids, separated as in PATH) are listed beside the
bundled models.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from scamo import checkpoint
from scamo.checkpoint import CheckpointError
from scamo.configs import TokenizerConfig, TransformerConfig, codebook_label, size_label
from scamo.device import DEVICES, find_device
from scamo.fast_step import compact
from scamo.options import MODEL_DEFAULTS, GenerationOptions
from scamo.tokenizer import MotionTokenizer, VQTokenizer
from scamo.transformer import PrefixTransformer
from scamo.tuned_text import UPDATE

BUNDLED = Path(__file__).parent / "checkpoints"
MODELS_VARIABLE = "SCAMO_MODELS"
HUB: tuple[str, ...] = ()
"""Published models, each as owner/name@commit."""

_QUANTISERS = {MotionTokenizer.kind: "fsq", VQTokenizer.kind: "vq"}  # by the kind that a tokenizer's card states
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
_WEIGHT_FILES = ["*.safetensors", "tokenizer/*", "text-encoder/*"]
_CARD_FILES = [checkpoint.CARD, f"tokenizer/{checkpoint.CARD}", f"text-encoder/{checkpoint.CARD}"]


@dataclass(frozen=True)
class ModelCard:
    """What a model is, known before its weights are loaded. Bytes are of transformer and tokenizer together.

    codebook is the label ("256" has 240 codes: see levels); memory_bytes is needed on the model's device in its own
    type, without the text encoder. metrics, training and sampling come from the checkpoint's card as they are; sampling
    holds the model's defaults. sha256 is the hash of the transformer's card, which holds those of all its files.
    """

    name: str
    source: str  # "bundled", "local" or "hub"
    location: str  # folder, or owner/name@revision
    tokenizer: TokenizerConfig
    transformer: TransformerConfig
    text_encoder: str | None
    disk_bytes: int = 0
    memory_bytes: int = 0
    licence: str = "not stated"
    data: str = "not stated"
    attribution: str = ""
    knows: str = ""  # what it was taught and what not, in sentences for the people who use it
    metrics: Mapping[str, Any] = field(default_factory=dict, hash=False)
    training: Mapping[str, Any] = field(default_factory=dict, hash=False)
    sampling: Mapping[str, Any] = field(default_factory=dict, hash=False)
    sha256: str = ""
    is_default: bool = False  # what is taken where nobody says which model
    weight_bytes: int = 4  # of one weight of the transformer in its own type

    def memory_in(self, dtype: torch.dtype | None) -> int:
        """Bytes needed where the transformer computes in `dtype`; None is its own type."""
        each = self.weight_bytes if dtype is None else dtype.itemsize
        return self.memory_bytes + sum(self.transformer.parameter_counts) * (each - self.weight_bytes)

    @property
    def codebook(self) -> int:
        """Nominal size of the codebook, 256 ... 65536."""
        return codebook_label(self.tokenizer.levels)

    @property
    def levels(self) -> tuple[int, ...]:
        """The codebook's levels, which are what counts."""
        return self.tokenizer.levels

    @property
    def size(self) -> str:
        """Name of the transformer's size, or layers x width where it has none."""
        return size_label(self.transformer)


def models(folders: Sequence[str | os.PathLike[str]] = ()) -> list[ModelCard]:
    """Cards of all models there are: bundled, published, named by SCAMO_MODELS, and in `folders` (or hub ids).

    A folder is a model's own, or holds models one level down. Loads no weights; of a hub model only the cards are
    fetched. A model whose card cannot be read is left out with a warning that names it.
    """
    cards = _listed(BUNDLED, "bundled")
    for place in (*HUB, *_named(), *(os.fspath(folder) for folder in folders)):
        try:
            cards += _cards(place)
        except (ValueError, OSError) as error:
            if not any(card.get("kind") in list(_QUANTISERS) for _, card in _readable(place)):
                warnings.warn(f"{place} is left out: {error}", stacklevel=2)
    return list({card.location: card for card in cards}.values())


@dataclass(frozen=True)
class TokenizerCard:
    """What a tokenizer without a model is. name: its folder's. quantiser: "fsq" or "vq"."""

    name: str
    location: str
    tokenizer: TokenizerConfig
    quantiser: str

    @property
    def codebook(self) -> int:
        """Nominal size of the codebook."""
        return codebook_label(self.tokenizer.levels)


def tokenizers(folders: Sequence[str | os.PathLike[str]] = ()) -> list[TokenizerCard]:
    """Cards of the tokenizers that no listed model uses, in the folders where `models` looks. VQ ones are among them.

    Loads no weights. `models` warns of cards that cannot be read.
    """
    used, found = set(), {}
    for place in (BUNDLED, *_named(), *folders):
        for path, card in _readable(place):
            if card.get("kind") == "transformer":
                with contextlib.suppress(CheckpointError):
                    used.add(_beside(path, card))
            elif card.get("kind") in list(_QUANTISERS):
                name = path.parent.name if path.name == "model" else path.name  # a training's folder ends in /model
                try:
                    found[path.resolve()] = TokenizerCard(
                        name, str(path), _tokenizer_config(path, card["kind"]), _QUANTISERS[card["kind"]]
                    )
                except CheckpointError as error:
                    warnings.warn(f"{path} is left out: {error}", stacklevel=2)
    return [card for path, card in found.items() if path not in used]


def _named() -> list[str]:
    return [entry for entry in os.environ.get(MODELS_VARIABLE, "").split(os.pathsep) if entry]


def _readable(place: str | os.PathLike[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in _folders(Path(place).expanduser().absolute()):
        with contextlib.suppress(CheckpointError, OSError):
            yield path, checkpoint.read_card(path)


def _folders(folder: Path) -> list[Path]:
    """The checkpoints in a folder: itself, if it has a card, or those one level below."""
    own = (folder / checkpoint.CARD).is_file()
    return [folder] if own else sorted(card.parent for card in folder.glob(f"*/{checkpoint.CARD}"))


def find_model(
    path_or_hub_id: str | os.PathLike[str] | ModelCard | None = None,
    *,
    codebook: int | str | None = None,
    size: str | None = None,
) -> ModelCard:
    """The card of one model: of a folder, of a hub id, or of what `models()` lists, by codebook and size.

    Where nothing is said, the model that its card calls the default is taken. Where several fit, the largest codebook,
    then the largest size is. Raises ValueError that lists the models
    there are.
    """
    if isinstance(path_or_hub_id, ModelCard):
        return _best([path_or_hub_id], codebook, size)
    cards = models() if path_or_hub_id is None else _cards(os.fspath(path_or_hub_id))
    return _best(cards, codebook, size)


def load_networks(
    card: ModelCard, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> tuple[MotionTokenizer, PrefixTransformer]:
    """The two networks of a model, ready to use; fetched from the hub if they are not on this machine.

    `dtype` is the type the transformer computes in. None on a CPU means float32, or bfloat16 if stored so; on a GPU
    bfloat16, or float16 where the GPU has no bfloat16. On a CPU float16 and int8 are compact forms. The tokenizer is
    float32, on the same device. Raises ValueError for a device that is not there, and CheckpointError that names a
    missing or damaged file.
    """
    device = _available(device)
    folder = _folder(card)
    if dtype == torch.int8 and device.type != "cpu":
        raise ValueError(f'int8 is for the CPU; on "{device}" use bfloat16')
    if dtype is None and DEVICES.is_gpu(device):
        dtype = DEVICES.dtype(device)
    transformer = PrefixTransformer.from_pretrained(folder, device, torch.float16 if dtype == torch.int8 else dtype)
    dtype = dtype or transformer.lm_head.weight.dtype
    if device.type == "cpu" and dtype != torch.float32:
        transformer = compact(transformer, dtype)
    return MotionTokenizer.from_pretrained(_tokenizer_folder(folder), device), transformer


def load_tokenizer(
    path_or_hub_id: str | os.PathLike[str] | None = None,
    *,
    codebook: int | str | None = None,
    device: str | torch.device = "cpu",
) -> MotionTokenizer:
    """A tokenizer alone: of a tokenizer's folder, of a model's folder or hub id, or a bundled one by its codebook.

    Raises ValueError that lists the tokenizers there are, or names the file that is missing or damaged.
    """
    if path_or_hub_id is None:
        folder = _bundled_tokenizer(codebook)
    elif os.fspath(path_or_hub_id) and (Path(path_or_hub_id) / checkpoint.CARD).is_file():
        folder = Path(path_or_hub_id)
        if checkpoint.read_card(folder).get("kind") == "transformer":
            folder = _tokenizer_folder(folder)
    else:
        folder = _tokenizer_folder(_folder(_best(_cards(os.fspath(path_or_hub_id)), codebook, None)))
    family = VQTokenizer if checkpoint.read_card(folder).get("kind") == VQTokenizer.kind else MotionTokenizer
    label = codebook_label(_tokenizer_config(folder, family.kind).levels)
    if codebook is not None and str(codebook) != str(label):
        raise ValueError(f"{path_or_hub_id} has a codebook of {label}, not {codebook}; leave codebook out")
    return family.from_pretrained(folder, _available(device))


def _available(name: str | torch.device) -> torch.device:
    device = find_device(name)
    DEVICES.prepare(device)
    return device


def _bundled_tokenizer(codebook: int | str | None) -> Path:
    folders = {}
    for path in BUNDLED.glob(f"tokenizer-*/{checkpoint.CARD}"):
        if checkpoint.read_card(path.parent).get("kind") == "tokenizer":
            folders[codebook_label(_tokenizer_config(path.parent, "tokenizer").levels)] = path.parent
    labels = sorted(folders)
    fitting = [label for label in labels if codebook is None or str(label) == str(codebook)]
    if not fitting:
        have = ", ".join(map(str, labels)) or "none"
        raise ValueError(f"there is no bundled tokenizer for codebook {codebook or 'any'}; there are: {have}")
    return folders[fitting[-1]]


def _best(cards: list[ModelCard], codebook: int | str | None, size: str | None) -> ModelCard:
    cards = sorted(cards, key=lambda card: (-card.codebook, -card.transformer.layers * card.transformer.width**2))
    fitting = [
        card
        for card in cards
        if (codebook is None or str(card.codebook) == str(codebook))
        and (size is None or card.size.lower() == str(size).lower())
    ]
    if not fitting:
        wanted = f"codebook {'any' if codebook is None else codebook}, size {size or 'any'}"
        have = ", ".join(dict.fromkeys(f"{card.codebook} {card.size}" for card in reversed(cards))) or "none"
        raise ValueError(f"there is no model with {wanted}; there are (codebook size): {have}")
    if codebook is None and size is None:
        fitting.sort(key=lambda card: not card.is_default)
    return fitting[0]  # of equals the first listed: sorting keeps their order


def _cards(place: str) -> list[ModelCard]:
    path = Path(place).expanduser().absolute()
    if place and path.is_dir():
        cards = _listed(path, "local")
        if not cards:
            raise CheckpointError(f"no model in {path}; give a folder with a transformer's {checkpoint.CARD}")
        return cards
    if not _HUB_ID.fullmatch(place):
        raise CheckpointError(f"there is no folder {place}; give a model's folder, or a hub id as owner/name")
    repository, _, revision = place.partition("@")
    folder = _download(repository, revision or None, _CARD_FILES)
    return [_card(folder, "hub", f"{repository}@{folder.name}")]  # a snapshot's folder is named by its commit


def _listed(folder: Path, source: str) -> list[ModelCard]:
    """The models in a folder or one level below; with its own card a folder is one model, or a tokenizer."""
    cards = []
    for path in _folders(folder):
        try:
            kind = checkpoint.read_card(path).get("kind")
            if not isinstance(kind, str):
                raise CheckpointError(f"{path / checkpoint.CARD} does not say what it describes; make it again")
            if kind == "transformer":
                cards.append(_card(path, source, str(path)))
        except (CheckpointError, OSError) as error:
            if path == folder:
                raise
            warnings.warn(f"{path} is left out: {error}", stacklevel=3)
    return cards


def _card(folder: Path, source: str, location: str) -> ModelCard:
    where = _tokenizer_folder(folder)
    tokenizer = _tokenizer_config(where, "tokenizer")
    files = list(checkpoint.listed_files(checkpoint.read_card(where), where).values())
    tokenizer_bytes = sum(file["bytes"] for file in files)

    def read(card: dict[str, Any]) -> ModelCard:
        shape = TransformerConfig(**card["config"])
        if shape.codebook_size != tokenizer.codebook_size:
            raise ValueError(f"it predicts {shape.codebook_size} codes and {where} has {tokenizer.codebook_size}")
        mappings = {name: _typed(card, name, dict, {}) for name in ("metrics", "training", "sampling")}
        GenerationOptions(**{name: mappings["sampling"].get(name) for name in MODEL_DEFAULTS})  # checks them
        bytes_each = 2 if card.get("dtype") == "bfloat16" else 4
        return ModelCard(
            name=_typed(card, "name", str, folder.name),
            source=source,
            location=location,
            tokenizer=tokenizer,
            transformer=shape,
            text_encoder=_text_encoder(folder, card),
            disk_bytes=sum(file["bytes"] for file in card["files"].values()) + tokenizer_bytes,
            memory_bytes=sum(shape.parameter_counts) * bytes_each + tokenizer_bytes,
            licence=_typed(card, "licence", str, "not stated"),
            data=_typed(card, "data", str, "not stated"),
            attribution=_typed(card, "attribution", str, ""),
            knows=_typed(card, "knows", str, ""),
            sha256=card["sha256"],
            weight_bytes=bytes_each,
            is_default=card.get("default") is True,
            **mappings,
        )

    return checkpoint.described(folder, read, "transformer")


def _tokenizer_config(folder: Path, kind: str) -> TokenizerConfig:
    return checkpoint.described(folder, lambda card: TokenizerConfig.from_card(card["config"]), kind)


def _typed(card: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    """A field of a card, or `default` where it is empty. Raises ValueError where it is of another type."""
    value = card.get(name)
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"its {name} is {str(value)[:40]!r}")
    return value or default


def _text_encoder(folder: Path, card: Mapping[str, Any]) -> str | None:
    """What a transformer's card says reads its prompts: a name, or the folder of an update of MiniLM beside it.

    Raises CheckpointError where that folder is not the one that the transformer was trained with.
    """
    name = _typed(card, "text_encoder", str, None)
    wanted = card.get("text_encoder_sha256")
    if name is None or wanted is None:
        return name
    path = _beside(folder, card, "text_encoder")
    if checkpoint.read_checked(path, UPDATE)["sha256"] != wanted:
        raise CheckpointError(
            f"{path} is not the text encoder that {folder} was trained with; get both from one source"
        )
    return str(path)


def _beside(folder: Path, card: Mapping[str, Any], what: str = "tokenizer") -> Path:
    """Where a transformer's card says its tokenizer is, or another part."""
    try:
        return (folder / _typed(card, what, str, what)).resolve()  # ValueError for a null byte
    except ValueError as error:
        raise CheckpointError(
            f"{folder / checkpoint.CARD} does not describe a transformer ({error}); make it again"
        ) from error


def _folder(card: ModelCard) -> Path:
    """Where the weights of a card are on this machine; fetched if they are not."""
    if card.source != "hub":
        return Path(card.location)
    repository, _, revision = card.location.partition("@")
    return _download(repository, revision or None, [*_CARD_FILES, *_WEIGHT_FILES])


def _tokenizer_folder(folder: Path) -> Path:
    """The folder of a transformer's tokenizer, checked to be the very one it was trained with where the card says."""
    card = checkpoint.read_checked(folder, "transformer")
    path = _beside(folder, card)
    wanted = card.get("tokenizer_sha256")
    if wanted is not None and checkpoint.read_card(path)["sha256"] != wanted:
        raise CheckpointError(f"{path} is not the tokenizer that {folder} was trained with; get both from one source")
    return path


def _download(repository: str, revision: str | None, patterns: list[str]) -> Path:
    """A hub repository's snapshot folder. The hub's library resumes, caches, and obeys HF_HOME and HF_HUB_OFFLINE."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except (OSError, ValueError) as error:  # also what the hub raises for a missing repository or without a network
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        where = f"{repository} (revision {revision or 'main'})"
        raise CheckpointError(
            f"{where} is no folder here and could not be fetched from the hub: {reason}; check its name and the network"
        ) from error
