"""Motion FSQ-VAE: 263 features at 20 fps <-> one integer per four frames. And VQ's, to be compared with.

Parameter names and arithmetic are those of the released checkpoints, so their weights load without translation.
Everything is float32: an index is the result of a rounding, and half precision would move it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from scamo import checkpoint
from scamo.configs import TokenizerConfig, codebook_label


class FSQ(nn.Module):
    """Finite scalar quantisation: each channel is squashed to `levels[i]` values and rounded. No parameters.

    Arithmetic in float32 on tensors [..., d] with d = len(levels).
    """

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        count = torch.tensor(tuple(levels), dtype=torch.int32, device="cpu")
        half = (count - 1) * (1 + 1e-3) / 2
        offset = torch.where(count % 2 == 0, 0.5, 0.0)
        basis = torch.tensor([math.prod(levels[:i]) for i in range(len(levels))], dtype=torch.int32, device="cpu")
        constants = {"count": count, "basis": basis, "half": half, "offset": offset, "shift": (offset / half).atanh()}
        for name, value in constants.items():
            # Made on the CPU even when the model is built on the meta device, where they would lose their values.
            self.register_buffer(f"_{name}", value, persistent=False)

    _count: Tensor
    _basis: Tensor
    _half: Tensor
    _offset: Tensor
    _shift: Tensor

    def bound(self, z: Tensor) -> Tensor:
        """Squash z to the open interval that rounds to the allowed values."""
        return torch.tanh(z + self._shift) * self._half - self._offset

    def codes(self, z: Tensor) -> Tensor:
        """Quantised z in [-1, 1]; the gradient passes straight through the rounding."""
        bound = self.bound(z)
        return (bound + (bound.round() - bound).detach()) / (self._count // 2)

    def indices(self, codes: Tensor) -> Tensor:
        """Codes [..., d] to integers int32 [...]; the first channel counts fastest."""
        steps = self._count // 2
        # Rounded: float32's quotient of steps times steps falls just short of a whole number where levels are many.
        return ((codes * steps).round() + steps).mul(self._basis).sum(dim=-1).round().to(torch.int32)

    def codes_from_indices(self, indices: Tensor) -> Tensor:
        """Integers [...] to codes float32 [..., d]."""
        level = (indices.unsqueeze(-1) // self._basis) % self._count
        steps = self._count // 2
        return (level - steps) / steps


class _ResidualBlock(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv1d(width, width, 1)

    def forward(self, x_bct: Tensor) -> Tensor:
        return x_bct + self.conv2(torch.relu(self.conv1(torch.relu(x_bct))))


class _ResidualStack(nn.Module):
    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        dilations = [config.dilation_growth**i for i in reversed(range(config.depth))]  # the widest first
        self.model = nn.Sequential(*(_ResidualBlock(config.width, dilation) for dilation in dilations))

    def forward(self, x_bct: Tensor) -> Tensor:
        return self.model(x_bct)


class _Encoder(nn.Module):
    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        width = config.width
        halve = (
            nn.Sequential(nn.Conv1d(width, width, 4, stride=2, padding=1), _ResidualStack(config))
            for _ in range(config.halvings)
        )
        self.model = nn.Sequential(
            nn.Conv1d(config.features, width, 3, padding=1),
            nn.ReLU(),
            *halve,
            nn.Conv1d(width, config.code_width, 3, padding=1),
        )

    def forward(self, x_bct: Tensor) -> Tensor:
        return self.model(x_bct)


class _Decoder(nn.Module):
    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        width = config.width
        double = (
            nn.Sequential(_ResidualStack(config), nn.Upsample(scale_factor=2), nn.Conv1d(width, width, 3, padding=1))
            for _ in range(config.halvings)
        )
        self.model = nn.Sequential(
            nn.Conv1d(config.code_width, width, 3, padding=1),
            nn.ReLU(),
            *double,
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, config.features, 3, padding=1),
        )

    def forward(self, x_bct: Tensor) -> Tensor:
        return self.model(x_bct)


class _Quantizer(nn.Module):
    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.fsq = FSQ(config.levels)
        self.project_in = nn.Linear(config.code_width, len(config.levels))
        self.project_out = nn.Linear(len(config.levels), config.code_width)


class _VQVAE(nn.Module):
    """Nothing but the outer name the released parameters carry."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.encoder = _Encoder(config)
        self.quantizer = _Quantizer(config)
        self.decoder = _Decoder(config)


class MotionTokenizer(nn.Module):
    """Motion features <-> tokens.

    `mean` and `std` [features] are the statistics the network was trained with, kept as buffers beside the weights;
    without them features are taken as normalised already.
    """

    kind = "tokenizer"  # what its card calls it
    mean: Tensor
    std: Tensor

    def __init__(self, config: TokenizerConfig, mean: ArrayLike | None = None, std: ArrayLike | None = None) -> None:
        super().__init__()
        self.config = config
        self.vqvae = _VQVAE(config)
        self.register_buffer("mean", _statistic("mean", mean, 0.0, config.features))
        self.register_buffer("std", _statistic("std", std, 1.0, config.features))

    @property
    def levels(self) -> tuple[int, ...]:
        """Values per latent channel."""
        return self.config.levels

    @property
    def codebook_size(self) -> int:
        """The real number of codes: token ids are 0 ... codebook_size - 1."""
        return self.config.codebook_size

    @property
    def frames_per_token(self) -> int:
        """Frames that one token stands for (4)."""
        return self.config.frames_per_token

    def forward(self, x_btd: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct normalised features: float [B, T, D] -> ([B, T // 4 * 4, D], indices int32 [B, T // 4]).

        The gradient passes straight through the rounding.
        """
        codes_bnd, indices_bn = self._quantise(x_btd)
        return self.decode_codes(codes_bnd), indices_bn

    @torch.inference_mode()
    def encode(self, features: ArrayLike | Tensor, normalised: bool = False) -> NDArray[np.int64]:
        """Features [T, D] or [B, T, D] to tokens int64 [T // 4] or [B, T // 4].

        Frames beyond the last multiple of four are dropped. `normalised` says that mean and std are applied already.
        Raises ValueError for the wrong width, fewer than four frames, or NaN.
        """
        x = torch.as_tensor(np.array(features, dtype=np.float32) if not isinstance(features, Tensor) else features)
        x = x.to(self.mean.device, torch.float32)
        if x.ndim not in (2, 3) or x.shape[-1] != self.config.features:
            wanted = self.config.features
            raise ValueError(f"features have shape {list(x.shape)}; this tokenizer takes [frames, {wanted}]")
        if x.shape[-2] < self.frames_per_token:
            raise ValueError(f"{x.shape[-2]} frames are too few; one token needs {self.frames_per_token}")
        if not torch.isfinite(x).all():
            raise ValueError("features hold NaN or infinite values; repair or drop those frames first")
        if not normalised:
            x = (x - self.mean) / self.std
        _, indices = self._quantise(x if x.ndim == 3 else x[None])
        return (indices if x.ndim == 3 else indices[0]).cpu().numpy().astype(np.int64)

    @torch.inference_mode()
    def decode(self, tokens: ArrayLike | Tensor, normalised: bool = False) -> NDArray[np.float32]:
        """Tokens [n] or [B, n] to features float32 [4 n, D] or [B, 4 n, D]; `normalised` leaves mean and std out.

        Raises ValueError for ids outside the codebook (the end and padding ids of a transformer are no codes).
        """
        ids = np.asarray(tokens.cpu() if isinstance(tokens, Tensor) else tokens)
        if ids.ndim not in (1, 2) or ids.shape[-1] == 0 or not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(f"tokens have shape {list(ids.shape)} and type {ids.dtype}; give integers [n] with n >= 1")
        if ids.min() < 0 or ids.max() >= self.codebook_size:
            bad = ids.min() if ids.min() < 0 else ids.max()
            raise ValueError(f"token {bad} is no code of this codebook, whose ids are 0 to {self.codebook_size - 1}")
        indices = torch.as_tensor(ids.astype(np.int64), device=self.mean.device)
        x = self.decode_codes(self._codes(indices if ids.ndim == 2 else indices[None]))
        if not normalised:
            x = x * self.std + self.mean
        return (x if ids.ndim == 2 else x[0]).cpu().numpy()

    def _quantise(self, x_btd: Tensor) -> tuple[Tensor, Tensor]:
        z_btc = self.vqvae.encoder(x_btd.transpose(1, 2)).transpose(1, 2)
        quantizer = self.vqvae.quantizer
        # bf16 keeps 8 bits, too few to choose among 8 levels reproducibly.
        with torch.autocast(z_btc.device.type, enabled=False):
            codes_bnd = quantizer.fsq.codes(quantizer.project_in(z_btc.float()))
        return codes_bnd, quantizer.fsq.indices(codes_bnd.detach())

    def _codes(self, indices_bn: Tensor) -> Tensor:
        return self.vqvae.quantizer.fsq.codes_from_indices(indices_bn)

    def decode_codes(self, codes_bnd: Tensor) -> Tensor:
        """Quantised codes float32 [B, n, d] to normalised features [B, 4 n, D]; gradients pass."""
        latent_bnc = self.vqvae.quantizer.project_out(codes_bnd)
        return self.vqvae.decoder(latent_bnc.transpose(1, 2)).transpose(1, 2)

    def save_pretrained(
        self, folder: str | os.PathLike[str], card: Mapping[str, Any] | None = None, dtype: torch.dtype | None = None
    ) -> Path:
        """Write weights, statistics and a card; `dtype` float16 halves the file (it is computed in float32 again)."""
        own = {"kind": self.kind, "name": f"{self.kind}-{codebook_label(self.levels)}"}
        whole = {**own, **(card or {}), "config": asdict(self.config)}
        return checkpoint.write(folder, self.state_dict(), whole, dtype)

    @classmethod
    def from_pretrained(
        cls, folder: str | os.PathLike[str], device: str | torch.device = "cpu", verify: bool = True
    ) -> MotionTokenizer:
        """Load a tokenizer's folder in float32, ready to use. Raises CheckpointError if it is missing or damaged."""
        config = checkpoint.described(folder, lambda card: TokenizerConfig.from_card(card["config"]), cls.kind)
        with torch.device("meta"):
            model = cls(config)
        stored = cls._own(checkpoint.read_tensors(folder, verify))
        checkpoint.check_fit(folder, stored, model.state_dict())
        model.load_state_dict({name: value.float() for name, value in stored.items()}, assign=True)
        return model.to(device).eval().requires_grad_(False)

    @classmethod
    def _own(cls, stored: dict[str, Tensor]) -> dict[str, Tensor]:
        return stored


class VQTokenizer(MotionTokenizer):
    """The baseline: the same network around a learned codebook, as `training.tasks.vq` makes it.

    `config.levels` is (codes,). A token is the number of the vector [code_width] that is nearest to the latent.
    """

    kind = "vq-tokenizer"

    def __init__(self, config: TokenizerConfig, mean: ArrayLike | None = None, std: ArrayLike | None = None) -> None:
        super().__init__(config, mean, std)
        quantizer = nn.Module()
        quantizer.register_buffer("codebook", torch.zeros(self.codebook_size, config.code_width))
        quantizer.project_out = nn.Identity()
        self.vqvae.add_module("quantizer", quantizer)

    @property
    def codebook(self) -> Tensor:
        """The vectors, float32 [codes, code_width]."""
        codebook = self.vqvae.quantizer.codebook
        assert isinstance(codebook, Tensor)
        return codebook

    def _quantise(self, x_btd: Tensor) -> tuple[Tensor, Tensor]:
        z_bnc = self.vqvae.encoder(x_btd.transpose(1, 2)).transpose(1, 2)
        indices_bn = torch.cdist(z_bnc.float(), self.codebook).argmin(dim=-1).to(torch.int32)
        return self._codes(indices_bn), indices_bn

    def _codes(self, indices_bn: Tensor) -> Tensor:
        return self.codebook[indices_bn]

    @classmethod
    def _own(cls, stored: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of a quantiser that was still learning, whose vectors are `...embed` [1, codes, width], the vectors alone."""
        prefix = "vqvae.quantizer."
        (codebook,) = (tensor for name, tensor in stored.items() if name.endswith((".codebook", ".embed")))
        network = {name: tensor for name, tensor in stored.items() if not name.startswith(prefix)}
        return network | {f"{prefix}codebook": codebook.flatten(0, -2)}


def _statistic(name: str, values: ArrayLike | None, default: float, width: int) -> Tensor:
    array = torch.full((width,), default) if values is None else torch.as_tensor(np.array(values, dtype=np.float32))
    if array.shape != (width,):
        raise ValueError(f"{name} has shape {list(array.shape)}; this tokenizer needs [{width}]")
    if values is not None and not (torch.isfinite(array).all() and (name != "std" or (array > 0).all())):
        raise ValueError(f"{name} holds NaN, infinite or (for std) non-positive values; give the training data's own")
    return array
