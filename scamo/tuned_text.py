"""What tuning makes of MiniLM: a change of its matrices, and vectors that say what a sentence asks for.

``training.tasks.text_encoder`` learns it from sentences that ask for motions, and writes a checkpoint folder of the
kind "text_encoder"; ``scamo.text`` reads prompts with it. For every matrix W of MiniLM's blocks the folder holds "down"
[r, in] and "up" [out, r]: the tuned one is W + up @ down (the form of Hu et al. 2021, arXiv:2106.09685, eq. 3).
A transformer's prefix is then the vectors of ``Readings`` and no word pieces.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from scamo import checkpoint

UPDATE = "text_encoder"
"""The kind that the card of such a folder states."""

READING_HEADS = 6
MOST_READINGS = 32
SHARPNESS = 3.0  # of what is read: 0.5 beside 0.2 becomes 0.94 beside 0.06
LENGTH = 10.0  # of the vector of an action or a style, about that of a word piece's vector


def updated_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """The layers of a BERT that an update of low rank changes, by name: all matrices of its blocks."""
    found = dict(model.named_modules())
    return {
        name: one for name, one in found.items() if name.startswith("encoder.layer.") and isinstance(one, nn.Linear)
    }


class Understood(NamedTuple):
    """What a sentence was taken to ask for: labels of actions in order, and a style's.

    sureness: how sure the first action is, 0 to 1; labels that differ in the side alone count as one.
    """

    actions: tuple[str, ...]
    style: str
    sureness: float


class Readings(nn.Module):
    """Vectors that say what a sentence asks for: what is done first, second ..., and how.

    Learned queries look at the word pieces, and from what each finds an action (the last one: a style) is told. Every
    action has a vector of its own; what is given are those, mixed by how sure the telling is. So a transformer meets
    the same few vectors whatever the words are, and need not know the words itself.
    """

    def __init__(self, count: int, width: int, heads: int, actions: Sequence[str], styles: Sequence[str]) -> None:
        """count: vectors, the last of which tells the style; labels of actions, to which "nothing more" is added."""
        super().__init__()
        self.count, self.actions, self.styles = count, tuple(actions), tuple(styles)
        self.queries = nn.Parameter(torch.zeros(count, width))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.action, self.style = nn.Linear(width, len(actions) + 1), nn.Linear(width, len(styles))

    def told(self, vectors_bld: Tensor, heard_bl: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, count - 1, actions] and [B, styles] of word pieces' vectors [B, L, D]; heard_bl: which to hear."""
        queries = self.queries.expand(len(vectors_bld), -1, -1)
        found, _ = self.attention(queries, vectors_bld, vectors_bld, key_padding_mask=~heard_bl, need_weights=False)
        return self.action(found[:, :-1]), self.style(found[:, -1])

    def understood(self, vectors_bld: Tensor, heard_bl: Tensor) -> list[Understood]:
        """The likeliest labels of each row; what is behind "nothing more" is left out."""
        actions, styles = self.told(vectors_bld, heard_bl)
        kinds = [label.replace("-left", "").replace("-right", "") for label in (*self.actions, "")]
        rows = zip(
            actions.argmax(-1).tolist(), styles.argmax(-1).tolist(), actions[:, 0].softmax(-1).tolist(), strict=True
        )
        found = []
        for numbers, style, shares in rows:
            asked = itertools.takewhile(lambda number: number < len(self.actions), numbers)
            names = tuple(self.actions[number] for number in asked)
            sureness = sum(share for kind, share in zip(kinds, shares, strict=True) if kind == kinds[numbers[0]])
            found.append(Understood(names, self.styles[style], min(1.0, sureness)))
        return found

    def forward(self, vectors_bld: Tensor, heard_bl: Tensor) -> Tensor:
        """Vectors of word pieces [B, L, D], and which of them to hear, bool [B, L] -> [B, count, D]."""
        actions, styles = self.told(vectors_bld, heard_bl)
        mixed = _mixed(actions, self.action.weight), _mixed(styles[:, None], self.style.weight)
        return torch.cat(mixed, dim=1)


def _mixed(logits: Tensor, rows: Tensor) -> Tensor:
    """What stands for each label (its row of the weight, at one length), by how sure each is."""
    return (SHARPNESS * logits).softmax(-1) @ (LENGTH * nn.functional.normalize(rows, dim=-1))


@torch.no_grad()
def add_update(model: nn.Module, folder: Path) -> Readings:
    """Add up @ down to every matrix of MiniLM's blocks (Hu et al. 2021), and return what reads sentences.

    CheckpointError where a folder's tensors do not fit.
    """
    tensors, layers = checkpoint.read_tensors(folder), updated_layers(model)
    rank = next((len(one) for name, one in tensors.items() if name.endswith(".down") and one.ndim), 0)
    width = next(iter(layers.values())).in_features
    queries = tensors.get("readings.queries", torch.empty(0))
    card = checkpoint.read_card(folder)
    actions, styles = (_labels(folder, card.get(key)) for key in ("actions", "styles"))
    count = len(queries) if queries.ndim else 0
    readings = Readings(max(2, count), width, READING_HEADS, actions, styles)
    wanted = {f"{name}.{end}": torch.empty(shape, device="meta") for name, layer in layers.items()
              for end, shape in (("down", (rank, layer.in_features)), ("up", (layer.out_features, rank)))}  # fmt: skip
    if readings.count > MOST_READINGS:
        raise checkpoint.CheckpointError(
            f"{folder} gives {readings.count} vectors for a sentence; {MOST_READINGS} at most"
        )
    own = {f"readings.{name}": value for name, value in readings.state_dict().items()}
    checkpoint.check_fit(folder, tensors, wanted | own)
    for name, layer in layers.items():
        layer.weight += (tensors[f"{name}.up"].float() @ tensors[f"{name}.down"].float()).to(layer.weight.dtype)
    readings.load_state_dict({name: tensors[f"readings.{name}"].float() for name in readings.state_dict()})
    return readings.eval().requires_grad_(False)


def _labels(folder: Path, found: object) -> list[str]:
    labels = [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
    if not labels or labels != found:
        raise checkpoint.CheckpointError(f"the card of {folder} names no actions and styles; tune an encoder anew")
    return labels
