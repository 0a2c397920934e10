"""What tuning makes of MiniLM: a change of its matrices, and vectors that sum a sentence up.

``training.tasks.text_encoder`` learns it from sentences that ask for motions, and writes a checkpoint folder of the
kind "text_encoder"; ``scamo.text`` reads prompts with it. For every matrix W of MiniLM's blocks the folder holds "down"
[r, in] and "up" [out, r]: the tuned one is W + up @ down (the form of Hu et al. 2021, arXiv:2106.09685, eq. 3).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from scamo import checkpoint

UPDATE = "text_encoder"
"""The kind that the card of such a folder states."""

READING_HEADS = 6
MOST_READINGS = 32  # of the 150 vectors of a prefix


def updated_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """The layers of a BERT that an update of low rank changes, by name: all matrices of its blocks."""
    found = dict(model.named_modules())
    return {
        name: one for name, one in found.items() if name.startswith("encoder.layer.") and isinstance(one, nn.Linear)
    }


class Readings(nn.Module):
    """Vectors that sum a sentence up, by attention of learned queries: what is done first, second ..., and how.

    They stand before the vectors of the word pieces.
    """

    def __init__(self, count: int, width: int, heads: int) -> None:
        super().__init__()
        self.count = count
        self.queries = nn.Parameter(torch.zeros(count, width))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, vectors_bld: Tensor, heard_bl: Tensor) -> Tensor:
        """Vectors of word pieces [B, L, D], and which of them to hear, bool [B, L] -> [B, count, D]."""
        queries = self.queries.expand(len(vectors_bld), -1, -1)
        return self.attention(queries, vectors_bld, vectors_bld, key_padding_mask=~heard_bl, need_weights=False)[0]


@torch.no_grad()
def add_update(model: nn.Module, folder: Path) -> Readings:
    """Add up @ down to every matrix of MiniLM's blocks (Hu et al. 2021), and return what sums sentences up.

    CheckpointError where a folder's tensors do not fit.
    """
    tensors, layers = checkpoint.read_tensors(folder), updated_layers(model)
    rank = next((len(one) for name, one in tensors.items() if name.endswith(".down") and one.ndim), 0)
    queries = tensors.get("readings.queries", torch.empty(0))
    width = next(iter(layers.values())).in_features
    readings = Readings(len(queries) if queries.ndim else 0, width, READING_HEADS)
    wanted = {f"{name}.{end}": torch.empty(shape, device="meta") for name, layer in layers.items()
              for end, shape in (("down", (rank, layer.in_features)), ("up", (layer.out_features, rank)))}  # fmt: skip
    if readings.count > MOST_READINGS:
        raise checkpoint.CheckpointError(
            f"{folder} sums a sentence up in {readings.count} vectors; {MOST_READINGS} at most"
        )
    own = {f"readings.{name}": value for name, value in readings.state_dict().items()}
    checkpoint.check_fit(folder, tensors, wanted | own)
    for name, layer in layers.items():
        layer.weight += (tensors[f"{name}.up"].float() @ tensors[f"{name}.down"].float()).to(layer.weight.dtype)
    readings.load_state_dict({name: tensors[f"readings.{name}"].float() for name in readings.state_dict()})
    return readings.eval().requires_grad_(False)
