"""The baseline as it learns: vanilla VQ with EMA updates and codebook reset.

It is there to be compared with (appendix Tab. 3a, 3b), no model is built on it; the library only reads what came out.
"""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from scamo import tokenizer

DECAY = 0.99
COMMITMENT = 0.02
RESET_SHARE = 1 / 8
"""A code used less than this share of its even part of a batch is put on a random latent: T2M-GPT's rule at 512 codes
(fewer than one of the 4096 tokens of its batch), which would throw most of a larger codebook away every step."""


class VQTokenizer(tokenizer.VQTokenizer):
    """The library's, around a codebook that learns. What it saves the library reads.

    ``batch_tokens``: tokens a training step sees, for the reset.
    """

    def __init__(
        self,
        config: tokenizer.TokenizerConfig,
        mean: ArrayLike | None = None,
        std: ArrayLike | None = None,
        batch_tokens: int = 512,
    ) -> None:
        super().__init__(config, mean, std)
        try:
            from vector_quantize_pytorch import VectorQuantize
        except ImportError as error:
            raise ValueError('The VQ baseline needs vector-quantize-pytorch; pip install "scamo[train]".') from error
        quantizer = VectorQuantize(
            dim=config.code_width,
            codebook_size=self.codebook_size,
            decay=DECAY,
            commitment_weight=COMMITMENT,
            threshold_ema_dead_code=RESET_SHARE * batch_tokens / self.codebook_size,
            kmeans_init=True,
            rotation_trick=False,  # the plain straight-through gradient
        )
        self.vqvae.add_module("quantizer", quantizer)

    def forward(self, x_btd: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised features [B, T, D] -> (reconstruction alike, the commitment loss, weighted)."""
        z_btc = self.vqvae.encoder(x_btd.transpose(1, 2)).transpose(1, 2)
        with torch.autocast(z_btc.device.type, enabled=False):
            codes_bnd, _, commitment = self.vqvae.quantizer(z_btc.float())
        return self._decode_codes(codes_bnd), commitment.sum()
