"""The authors' .pth files, turned into folders that this project loads. Its networks have the released layout.

convert_official(tokenizer="65536_FSQ.pth", transformer="ScaMo_net_3B.pth", mean=..., std=..., out="scamo-3B")
"""

from __future__ import annotations

import math
import os
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scamo import checkpoint
from scamo.configs import KIT_FPS, LEVELS, SIZES, TokenizerConfig, TransformerConfig, codebook_label, size_label
from scamo.numpy_files import load_npy
from scamo.tokenizer import MotionTokenizer
from scamo.transformer import PrefixTransformer

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
    dilation_growth: int = 3,
    dtype: torch.dtype | str | None = None,
    text_encoder: str | None = None,
    licence: str = "the one the weights' authors give",
) -> Path:
    """Turn released .pth files into a folder for `load`, or without `transformer` for `load_tokenizer`. Returns it.

    The configuration is read off the tensors; `levels`, `heads` and `dilation_growth` (the factor between the dilations
    of a residual stack) give what shapes do not show. mean and std are .npy files of the statistics. `dtype` is what
    the transformer's matrices are stored in (None: as they are; the tokenizer stays float32). `text_encoder` None:
    follows from the width of the text projection, where it can. Files are memory-mapped and copied shard by shard.
    Raises ValueError that names what is wrong; nothing is left behind then.
    """
    if transformer is not None and (mean is None or std is None):
        raise ValueError("generation needs the statistics of the training data; give mean.npy and std.npy")
    if (mean is None) != (std is None):
        raise ValueError("mean and std belong together; give both or none")
    if mean is None:
        warnings.warn("without mean and std this tokenizer takes and gives normalised features", stacklevel=2)
    model = None if transformer is None else _official_transformer(Path(transformer), heads)
    codes = None if model is None else model.config.codebook_size
    codec = _official_tokenizer(Path(tokenizer), levels, codes, dilation_growth, _statistic(mean), _statistic(std))
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
    dilation_growth: int,
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
        dilation_growth=dilation_growth,
        features=features,
        fps=KIT_FPS if features == 251 else 20.0,  # the released files are of these two datasets
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
    array = load_npy(Path(path))
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ValueError(f"{os.fspath(path)} holds no finite numbers; give the statistics of the training data")
    return array.astype(np.float32)
