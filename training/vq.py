"""The baseline: the same network with a learned codebook, vanilla VQ with EMA updates and codebook reset.

Kept out of the library: it is there to be compared with (appendix Tab. 3a, 3b), no model is built on it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from scamo import checkpoint
from scamo.tokenizer import MotionTokenizer, TokenizerConfig

DECAY = 0.99
COMMITMENT = 0.02
RESET_SHARE = 1 / 8
"""A code used less than this share of its even part of a batch is put on a random latent: T2M-GPT's rule at 512 codes
(fewer than one of the 4096 tokens of its batch), which would throw most of a larger codebook away every step."""


class _Quantizer(nn.Module):
    """The codebook, behind the names under which the tokenizer asks its FSQ."""

    def __init__(self, codes: int, width: int, batch_tokens: int) -> None:
        super().__init__()
        try:
            from vector_quantize_pytorch import VectorQuantize
        except ImportError as error:
            raise ValueError('The VQ baseline needs vector-quantize-pytorch; pip install "scamo[train]".') from error
        self.vq = VectorQuantize(
            dim=width,
            codebook_size=codes,
            decay=DECAY,
            commitment_weight=COMMITMENT,
            threshold_ema_dead_code=RESET_SHARE * batch_tokens / codes,
            kmeans_init=True,
            rotation_trick=False,  # the plain straight-through gradient
        )
        self.project_out = nn.Identity()

    @property
    def fsq(self) -> _Quantizer:
        """Where the tokenizer looks codes up."""
        return self

    def codes_from_indices(self, indices: Tensor) -> Tensor:
        """Integers [...] to codes [..., width]."""
        return self.vq.get_codes_from_indices(indices)


class VQTokenizer(MotionTokenizer):
    """Encoder and decoder of MotionTokenizer around a codebook of exactly ``codes`` learned vectors.

    ``config.levels`` is (codes,). ``batch_tokens``: tokens a training step sees, for the reset.
    """

    def __init__(
        self,
        config: TokenizerConfig,
        mean: ArrayLike | None = None,
        std: ArrayLike | None = None,
        batch_tokens: int = 512,
    ) -> None:
        super().__init__(config, mean, std)
        quantizer: Any = _Quantizer(self.codebook_size, config.code_width, batch_tokens)
        self.vqvae.quantizer = quantizer

    def forward(self, x_btd: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised features [B, T, D] -> (reconstruction alike, the commitment loss, weighted)."""
        z_btc = self.vqvae.encoder(x_btd.transpose(1, 2)).transpose(1, 2)
        with torch.autocast(z_btc.device.type, enabled=False):
            codes_bnd, _, commitment = self._vq(z_btc.float())
        return self._decode_codes(codes_bnd), commitment.sum()

    def _quantise(self, x_btd: Tensor) -> tuple[Tensor, Tensor]:
        z_btc = self.vqvae.encoder(x_btd.transpose(1, 2)).transpose(1, 2)
        codes_bnd, indices_bn, _ = self._vq(z_btc.float(), freeze_codebook=True)
        return codes_bnd, indices_bn

    @property
    def _vq(self) -> nn.Module:
        vq = self.vqvae.quantizer.vq
        assert isinstance(vq, nn.Module)
        return vq

    def save_pretrained(
        self, folder: str | os.PathLike[str], card: Mapping[str, Any] | None = None, dtype: torch.dtype | None = None
    ) -> Path:
        """As a tokenizer's folder, but of another kind, so that nothing takes it for an FSQ one."""
        own = {"kind": "vq-tokenizer", "name": f"vq-tokenizer-{self.codebook_size}"}
        tensors = {name: value.clone() for name, value in self.state_dict().items()}
        return checkpoint.write(folder, tensors, {**own, **(card or {}), "config": asdict(self.config)}, dtype)

    @classmethod
    def from_pretrained(
        cls, folder: str | os.PathLike[str], device: str | torch.device = "cpu", verify: bool = True
    ) -> VQTokenizer:
        """Load a folder that ``save_pretrained`` wrote, ready to use. CheckpointError if it is missing or damaged."""
        card = checkpoint.read_checked(folder, "vq-tokenizer")
        model = cls(TokenizerConfig(**card["config"]))
        tensors = checkpoint.read_tensors(folder, verify)
        model.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in tensors.items()})
        return model.to(device).eval().requires_grad_(False)


def load_any_tokenizer(folder: str | os.PathLike[str]) -> MotionTokenizer:
    """The tokenizer in a folder, FSQ or VQ."""
    kind = checkpoint.read_card(folder).get("kind")
    return (VQTokenizer if kind == "vq-tokenizer" else MotionTokenizer).from_pretrained(folder)
