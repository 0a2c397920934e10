"""The baseline: vanilla VQ with EMA updates and codebook reset, as it is trained.

It is there to be compared with (appendix Tab. 3a, 3b), and no model is built on it. The library reads a trained one
without vector-quantize-pytorch. ``training.tasks.tokenizer --quantiser vq`` trains it.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from scamo import tokenizer
from training.tasks.reconstruction import Reconstruction

DECAY = 0.99
COMMITMENT = 0.02
RESET_SHARE = 1 / 8
"""A code that gets less than this share of its even part of a batch is moved to a random latent. At 512 codes this is
T2M-GPT's rule (fewer than one of the 4096 tokens of its batch), which moves most codes of a larger one every step."""


class VQTokenizer(tokenizer.VQTokenizer):
    """The library's VQ tokenizer around a codebook that learns. The library reads what it saves."""

    def __init__(
        self,
        config: tokenizer.TokenizerConfig,
        mean: ArrayLike | None = None,
        std: ArrayLike | None = None,
        batch_tokens: int = 512,
    ) -> None:
        """batch_tokens: tokens of a training step, for the reset. ValueError where the package is not installed."""
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
        """Normalised features [B, T, D] -> (their reconstruction [B, T, D], the weighted commitment loss)."""
        z_btc = self.vqvae.encoder(x_btd.transpose(1, 2)).transpose(1, 2)
        with torch.autocast(z_btc.device.type, enabled=False):
            codes_bnd, _, commitment = self.vqvae.quantizer(z_btc.float())
        return self.decode_codes(codes_bnd), commitment.sum()


class VQReconstruction(Reconstruction):
    """The baseline's objective: reconstruction, and latents that are drawn to their codes."""

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """Smooth L1 and commitment loss; plain L1 is logged beside it."""
        recon_btd, commitment = model(batch["x_btd"])
        loss, extra = self.reconstruction_loss(recon_btd.float(), batch["x_btd"])
        return loss + commitment, extra
