"""Where models come from: bundled with the package, in a folder of yours, or on the hub; and the authors' own files.

A model is a transformer's checkpoint folder whose card names its tokenizer's folder by a relative path. Listing reads
cards only. What `SCAMO_MODELS` names (folders or hub ids, separated as in PATH) is listed beside the bundled models.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scamo import checkpoint, flops
from scamo.checkpoint import CheckpointError
from scamo.fast_step import compact
from scamo.pipeline import Generator, ModelCard
from scamo.text import TextEncoder
from scamo.tokenizer import LEVELS, MotionTokenizer, TokenizerConfig, VQTokenizer, codebook_label
from scamo.transformer import SIZES, PrefixTransformer, TransformerConfig, size_label

__all__ = ["ModelCard", "TokenizerCard", "convert_official", "load", "load_tokenizer", "models", "tokenizers"]

BUNDLED = Path(__file__).parent / "checkpoints"
MODELS_VARIABLE = "SCAMO_MODELS"
HUB: tuple[str, ...] = ()
"""Published models, each as owner/name@commit."""

_QUANTISERS = {MotionTokenizer.kind: "fsq", VQTokenizer.kind: "vq"}  # by the kind that a tokenizer's card states
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
_WEIGHT_FILES = ["*.safetensors", "tokenizer/*"]
_CARD_FILES = [checkpoint.CARD, f"tokenizer/{checkpoint.CARD}"]


def models(folders: Sequence[str | os.PathLike[str]] = ()) -> list[ModelCard]:
    """Cards of all models there are: bundled, published, named by SCAMO_MODELS, and in `folders` (or hub ids).

    A folder is a model's own, or holds models one level down. Loads no weights; of a hub model only the cards are
    fetched. A model whose card cannot be read is left out with a warning that names it.
    """
    cards = _listed(BUNDLED, "bundled")
    for place in (*HUB, *_named(), *(os.fspath(folder) for folder in folders)):
        try:
            cards += _cards(place)
        except ValueError as error:
            if not any(card.get("kind") in _QUANTISERS for _, card in _readable(place)):
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

    Loads no weights. Of what cannot be read `models` tells.
    """
    used, found = set(), {}
    for place in (BUNDLED, *_named(), *folders):
        for path, card in _readable(place):
            if card.get("kind") == "transformer":
                used.add((path / card.get("tokenizer", "tokenizer")).resolve())
            elif card.get("kind") in _QUANTISERS:
                name = path.parent.name if path.name == "model" else path.name  # a training's folder ends in /model
                found[path.resolve()] = TokenizerCard(
                    name, str(path), TokenizerConfig(**card["config"]), _QUANTISERS[card["kind"]]
                )
    return [card for path, card in found.items() if path not in used]


def _named() -> list[str]:
    return [entry for entry in os.environ.get(MODELS_VARIABLE, "").split(os.pathsep) if entry]


def _readable(place: str | os.PathLike[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in _folders(Path(place).expanduser().absolute()):
        with contextlib.suppress(CheckpointError):
            yield path, checkpoint.read_card(path)


def _folders(folder: Path) -> list[Path]:
    """The checkpoints in a folder: itself, if it has a card, or those one level below."""
    own = (folder / checkpoint.CARD).is_file()
    return [folder] if own else sorted(card.parent for card in folder.glob(f"*/{checkpoint.CARD}"))


def load(
    path_or_hub_id: str | os.PathLike[str] | ModelCard | None = None,
    *,
    codebook: int | str | None = None,
    size: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    text_encoder: TextEncoder | None = None,
    release_text_encoder: bool = False,
) -> Generator:
    """A model, ready to generate.

    What to load is a folder, a hub id ("owner/name" or "owner/name@commit"), a card out of `models()`, or by name: a
    codebook (nominal size: 1024 or "1024") and a size ("4M"). Where several fit, the largest codebook, then the largest
    size is taken. `dtype` is the type the transformer computes in; None means float32, or bfloat16 if stored so. On a
    CPU float16 takes half the memory, and torch.int8 a quarter and half the time; some tokens differ then. A text
    encoder given is used, and can be shared, in place of the model's own (see Generator).
    Raises ValueError that lists what there is, or names the file that is missing or damaged.
    """
    if isinstance(path_or_hub_id, ModelCard):
        card = path_or_hub_id
    else:
        cards = models() if path_or_hub_id is None else _cards(os.fspath(path_or_hub_id))
        card = _chosen(cards, codebook, size)
    device = _available(device)
    folder = _folder(card)
    if dtype == torch.int8 and device.type != "cpu":
        raise ValueError(f'int8 is for the CPU; on "{device}" use bfloat16')
    transformer = PrefixTransformer.from_pretrained(folder, device, torch.float16 if dtype == torch.int8 else dtype)
    dtype = dtype or transformer.lm_head.weight.dtype
    if device.type == "cpu" and dtype != torch.float32:
        transformer = compact(transformer, dtype)
    tokenizer = MotionTokenizer.from_pretrained(_tokenizer_folder(folder), device)
    return Generator(tokenizer, transformer, card, text_encoder, release_text_encoder)


def load_tokenizer(
    path_or_hub_id: str | os.PathLike[str] | None = None,
    *,
    codebook: int | str | None = None,
    device: str | torch.device = "cpu",
) -> MotionTokenizer:
    """A tokenizer alone: of a tokenizer's folder, of a model's folder or hub id, or a bundled one by its codebook.

    Raises ValueError that lists what there is, or names the file that is missing or damaged.
    """
    if path_or_hub_id is not None and (Path(path_or_hub_id) / checkpoint.CARD).is_file():
        folder = Path(path_or_hub_id)
        if checkpoint.read_card(folder).get("kind") == "transformer":
            folder = _tokenizer_folder(folder)
    elif path_or_hub_id is not None:
        folder = _tokenizer_folder(_folder(_chosen(_cards(os.fspath(path_or_hub_id)), codebook, None)))
    else:
        folder = _bundled_tokenizer(codebook)
    vq = checkpoint.read_card(folder).get("kind") == VQTokenizer.kind
    return (VQTokenizer if vq else MotionTokenizer).from_pretrained(folder, _available(device))


def _available(device: str | torch.device) -> torch.device:
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f'there is no device "{device}" on this machine ({reason}); use "cpu"') from error


def _bundled_tokenizer(codebook: int | str | None) -> Path:
    folders = {}
    for path in BUNDLED.glob(f"*/{checkpoint.CARD}"):
        card = checkpoint.read_card(path.parent)
        if card.get("kind") == "tokenizer":
            folders[codebook_label(card["config"]["levels"])] = path.parent
    labels = sorted(folders)
    fitting = [label for label in labels if codebook is None or str(label) == str(codebook)]
    if not fitting:
        have = ", ".join(map(str, labels)) or "none"
        raise ValueError(f"there is no bundled tokenizer for codebook {codebook or 'any'}; there are: {have}")
    return folders[fitting[-1]]


def _chosen(cards: list[ModelCard], codebook: int | str | None, size: str | None) -> ModelCard:
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
    return fitting[0]  # of equals the first listed: sorting keeps their order


def _cards(place: str) -> list[ModelCard]:
    path = Path(place).expanduser().absolute()
    if path.is_dir():
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
            if checkpoint.read_card(path).get("kind") == "transformer":
                cards.append(_card(path, source, str(path)))
        except CheckpointError as error:
            if path == folder:
                raise
            warnings.warn(f"{path} is left out: {error}", stacklevel=3)
    return cards


def _card(folder: Path, source: str, location: str) -> ModelCard:
    card = checkpoint.read_checked(folder, "transformer")
    tokenizer = checkpoint.read_checked(_tokenizer_folder(folder), "tokenizer")
    shape = TransformerConfig(**card["config"])
    files = [*card["files"].values(), *tokenizer["files"].values()]
    parameters = flops.non_vocabulary_parameters(shape.layers, shape.width, shape.text_width)
    parameters += flops.vocabulary_parameters(shape.codebook_size, shape.width, shape.tied)
    bytes_each = 2 if card.get("dtype") == "bfloat16" else 4
    return ModelCard(
        name=card.get("name", folder.name),
        source=source,
        location=location,
        tokenizer=TokenizerConfig(**tokenizer["config"]),
        transformer=shape,
        text_encoder=card.get("text_encoder"),
        disk_bytes=sum(file["bytes"] for file in files),
        memory_bytes=parameters * bytes_each + sum(file["bytes"] for file in tokenizer["files"].values()),
        licence=card.get("licence") or "not stated",
        data=card.get("data") or "not stated",
        attribution=card.get("attribution") or "",
        knows=card.get("knows") or "",
        metrics=card.get("metrics", {}),
        training=card.get("training", {}),
        sampling=card.get("sampling", {}),
        sha256=card["sha256"],
    )


def _folder(card: ModelCard) -> Path:
    """Where the weights of a card are on this machine; fetched if they are not."""
    if card.source != "hub":
        return Path(card.location)
    repository, _, revision = card.location.partition("@")
    return _download(repository, revision or None, [*_CARD_FILES, *_WEIGHT_FILES])


def _tokenizer_folder(folder: Path) -> Path:
    """The folder of a transformer's tokenizer, checked to be the very one it was trained with where the card says."""
    card = checkpoint.read_checked(folder, "transformer")
    path = folder / card.get("tokenizer", "tokenizer")
    wanted = card.get("tokenizer_sha256")
    if wanted is not None and checkpoint.read_card(path)["sha256"] != wanted:
        raise CheckpointError(f"{path} is not the tokenizer that {folder} was trained with; get both from one source")
    return path


def _download(repository: str, revision: str | None, patterns: list[str]) -> Path:
    """A hub repository's snapshot folder. The hub's library resumes, caches, and minds HF_HOME and HF_HUB_OFFLINE."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except (OSError, ValueError) as error:  # also what the hub raises for a missing repository or without a network
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        where = f"{repository} (revision {revision or 'main'})"
        raise CheckpointError(
            f"{where} is no folder here and could not be fetched from the hub: {reason}; check its name and the network"
        ) from error


# The authors' checkpoints: read as they are, since this project's networks have their layout.

_TEXT_ENCODERS = {384: "minilm", 2048: "google/flan-t5-xl", 4096: "google/flan-t5-xxl"}  # 512 is CLIP: not here
_QUANTIZER_CONSTANTS = ("_levels", "_basis", "implicit_codebook")  # follow from the levels


def convert_official(
    *,
    tokenizer: str | os.PathLike[str],
    out: str | os.PathLike[str],
    transformer: str | os.PathLike[str] | None = None,
    mean: str | os.PathLike[str] | None = None,
    std: str | os.PathLike[str] | None = None,
    levels: Sequence[int] | None = None,
    heads: int | None = None,
    dtype: torch.dtype | str | None = None,
    text_encoder: str | None = None,
    licence: str = "the one the weights' authors give",
) -> Path:
    """Turn released .pth files into a folder for `load`, or without `transformer` for `load_tokenizer`. Returns it.

    The configuration is read off the tensors; `levels` and `heads` say what shapes cannot. mean and std are .npy files
    of the statistics. `dtype` is what the transformer's matrices are stored in (None: as they are; the tokenizer stays
    float32). `text_encoder` None: told by the width of the text projection, where it can be. Files are memory-mapped
    and copied shard by shard. ValueError names what is wrong; nothing is left behind then.
    """
    if transformer is not None and (mean is None or std is None):
        raise ValueError("generation needs the statistics of the training data; give mean.npy and std.npy")
    if (mean is None) != (std is None):
        raise ValueError("mean and std belong together; give both or none")
    if mean is None:
        warnings.warn("without mean and std this tokenizer takes and gives normalised features", stacklevel=2)
    model = None if transformer is None else _official_transformer(Path(transformer), heads)
    codes = None if model is None else model.config.codebook_size
    codec = _official_tokenizer(Path(tokenizer), levels, codes, _statistic(mean), _statistic(std))
    about = {"licence": licence, "data": "see the source of the weights", "source": Path(tokenizer).name}
    if model is None or transformer is None:
        return codec.save_pretrained(out, about)
    with checkpoint.replacing(out, expected=("tokenizer",)) as staging:
        codec_folder = codec.save_pretrained(staging.with_name("tokenizer"), about)
        card = {
            **about,
            "name": f"{codebook_label(codec.levels)}-{size_label(model.config)}",
            "source": Path(transformer).name,
            "tokenizer": "tokenizer",
            "tokenizer_sha256": checkpoint.read_card(codec_folder)["sha256"],
            "text_encoder": text_encoder or _TEXT_ENCODERS.get(model.config.text_width),
            "sampling": {"temperature": 0.0},  # greedy, as the reference
        }
        model.save_pretrained(staging, card, getattr(torch, dtype) if isinstance(dtype, str) else dtype)
        codec_folder.rename(staging / "tokenizer")
    return Path(out)


def _official_tokenizer(
    path: Path,
    levels: Sequence[int] | None,
    codes: int | None,
    mean: NDArray[np.float32] | None,
    std: NDArray[np.float32] | None,
) -> MotionTokenizer:
    found = _official_tensors(path, "net")
    tensors = {name: tensor.float() for name, tensor in found.items() if not name.endswith(_QUANTIZER_CONSTANTS)}
    width, features, _ = _shape(path, tensors, "vqvae.encoder.model.0.weight")
    channels, code_width = _shape(path, tensors, "vqvae.quantizer.project_in.weight")
    config = TokenizerConfig(
        levels=_official_levels(path, channels, levels, codes),
        width=width,
        code_width=code_width,
        depth=_count(tensors, r"vqvae\.encoder\.model\.2\.1\.model\.\d+\.conv1\.weight"),
        halvings=_count(tensors, r"vqvae\.encoder\.model\.\d+\.0\.weight"),
        features=features,
    )
    model = MotionTokenizer(config, mean, std)
    _fill(path, model, {**tensors, "mean": model.mean, "std": model.std})
    return model


def _official_levels(path: Path, channels: int, given: Sequence[int] | None, codes: int | None) -> tuple[int, ...]:
    """The codebook of so many latent channels: as given, as the transformer's head says, or as the file is named."""
    if given is not None:
        levels = tuple(given)
        if len(levels) != channels or codes not in (None, math.prod(levels)):
            count = "" if codes is None else f", and the transformer has {codes} codes"
            raise ValueError(f"levels {list(levels)} do not fit: {path} has {channels} channels{count}")
        return levels
    fitting = {
        label: levels
        for label, levels in LEVELS.items()
        if len(levels) == channels and codes in (None, math.prod(levels))
    }
    named = [label for label in fitting if str(label) in re.findall(r"\d+", path.stem)]
    if len(fitting) > 1 and len(named) == 1:
        return fitting[named[0]]
    if len(fitting) != 1:
        choice = " or ".join(" ".join(map(str, levels)) for levels in fitting.values()) or "none of the paper's"
        raise ValueError(f"the levels cannot be read off {path} ({channels} channels: {choice}); give levels")
    return next(iter(fitting.values()))


def _official_transformer(path: Path, heads: int | None) -> PrefixTransformer:
    tensors = _official_tensors(path, "trans")
    rows, width = _shape(path, tensors, "transformer.wte.weight")
    _, text_width = _shape(path, tensors, "llama_proj.weight")
    head = tensors.setdefault("lm_head.weight", tensors["transformer.wte.weight"])
    tied = len(head) == rows
    if tied and not torch.equal(head, tensors["transformer.wte.weight"]):
        raise ValueError(f"{path}: the head has a padding row but is not the embedding; this layout is not known")
    layers = _count(tensors, r"transformer\.h\.\d+\.rms_1\.scale")
    if heads is None:
        heads = next((size.heads for size in SIZES.values() if (size.layers, size.width) == (layers, width)), None)
    if heads is None:
        raise ValueError(f"{path} has {layers} layers of width {width}, which is no named size; give heads")
    config = TransformerConfig(rows - 2, layers, heads, width, text_width, tied)
    with torch.device("meta"):
        model = PrefixTransformer(config)
    _fill(path, model, tensors)
    return model


def _official_tensors(path: Path, outer: str) -> dict[str, Tensor]:
    """The state dict of a .pth file, memory-mapped, without `module.` prefixes. Nothing but tensors is unpickled."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}; give a released .pth file")
    mapped = zipfile.is_zipfile(path)  # an older kind of file, which torch must read whole, is none
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # garbage makes an unpickler raise anything
        forbidden = re.search(r"GLOBAL (\S+)", str(error))
        if forbidden is None:
            raise ValueError(f"{path} is truncated, damaged or no torch file; get it again") from error
        raise ValueError(
            f"{path} is refused: it holds {forbidden[1]} besides tensors, and unpickling that could run code; "
            "ask for a file with nothing but a state dict"
        ) from error
    tensors = content.get(outer, content) if isinstance(content, Mapping) else {}
    if not isinstance(tensors, Mapping) or not tensors or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise ValueError(f'{path} has no state dict under "{outer}"; give the released file, or a plain state dict')
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _shape(path: Path, tensors: Mapping[str, Tensor], name: str) -> Sequence[int]:
    if name not in tensors:
        raise ValueError(f"{path} is not of the released layout: it has no {name}")
    return tensors[name].shape


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in tensors)


def _fill(path: Path, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    try:
        model.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split()[:40])
        raise ValueError(f"{path} is not of the released layout: {reason}") from error


def _statistic(path: str | os.PathLike[str] | None) -> NDArray[np.float32] | None:
    if path is None:
        return None
    try:
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{os.fspath(path)} cannot be read as a .npy array of numbers ({error})") from error
