"""Prefix transformer: text embeddings in front, motion tokens behind, one token predicted after the other.

It knows token ids and embeddings, nothing of text or of motion. Text slots see each other both ways; a motion token
sees all text and its own past. Parameter names and arithmetic are those of the released checkpoints.

Shape suffixes: b batch, l text slots, n motion tokens, s all slots (l + n), d text width, c model width, h heads,
e head size, v rows of the head.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scamo import checkpoint
from scamo.configs import TransformerConfig, size_label

_Rotary = tuple[Tensor, Tensor]  # cosine and sine of the slots' angles, float32 [b, s, e / 2]


class _Past(NamedTuple):
    """One layer's part of a Cache: [b, h, s, e] each, of which `length` slots are filled."""

    keys: Tensor
    values: Tensor
    length: int


@dataclass
class Cache:
    """Keys and values of every slot so far, in room reserved for all of them. One per generation, never shared."""

    keys: list[Tensor]  # per layer [b, h, s, e]
    values: list[Tensor]
    rotary: _Rotary
    seen_bs: Tensor | None  # False where a text slot is padding; None where no row has any
    length: int  # slots filled

    @property
    def room(self) -> int:
        """Tokens that still fit."""
        return self.keys[0].shape[2] - self.length


class _Real(NamedTuple):
    """Which slots of a batch are not padding: int [r] among the b * s. Attention needs rows, all else only those."""

    slots: Tensor
    b: int
    s: int

    def joined(self, x_bsc: Tensor) -> Tensor:
        """[r, c], the real slots of all rows behind one another."""
        return x_bsc.flatten(0, 1).index_select(0, self.slots)

    def apart(self, x_rc: Tensor) -> Tensor:
        """[b, s, c] again, zeros where padding is."""
        x = x_rc.new_zeros(self.b * self.s, x_rc.shape[1])
        return x.index_copy(0, self.slots, x_rc).view(self.b, self.s, -1)


class _RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.scale.shape, self.scale, eps=1e-5)


class _Attention(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.c_attn = nn.Linear(config.width, 3 * config.width, bias=False)
        self.c_proj = nn.Linear(config.width, config.width, bias=False)

    def forward(
        self, x: Tensor, rotary: _Rotary, mask: Tensor | None, past: _Past | None = None, real: _Real | None = None
    ) -> Tensor:
        qkv = self.c_attn(x) if real is None else real.apart(self.c_attn(x))
        b, s, c = qkv.shape
        qkv = qkv.view(b, s, 3, self.heads, c // self.heads // 3)
        q, k = rotate(qkv[:, :, :2], *(angle[:, :, None, None] for angle in rotary)).permute(2, 0, 3, 1, 4)
        v = qkv[:, :, 2].transpose(1, 2)
        if past is not None:
            end = past.length + s
            past.keys[:, :, past.length : end] = k
            past.values[:, :, past.length : end] = v
            k, v = past.keys[:, :, :end], past.values[:, :, :end]
        y = _attend(q, k, v, mask).transpose(1, 2).reshape(b, s, c // 3)
        return self.c_proj(y if real is None else real.joined(y))


def _attend(q_bhse: Tensor, k_bhse: Tensor, v_bhse: Tensor, mask: Tensor | None) -> Tensor:
    if type(q_bhse) is not Tensor or q_bhse.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return F.scaled_dot_product_attention(q_bhse, k_bhse, v_bhse, attn_mask=mask)
    with torch.autocast("cpu", enabled=False):  # backwards it takes five times as long in bfloat16 as in float32
        return F.scaled_dot_product_attention(q_bhse.float(), k_bhse.float(), v_bhse.float(), attn_mask=mask)


class _FeedForward(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.c_fc1 = nn.Linear(config.width, config.hidden, bias=False)
        self.c_fc2 = nn.Linear(config.width, config.hidden, bias=False)
        self.c_proj = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.silu(self.c_fc1(x)) * self.c_fc2(x))


class _Block(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.rms_1 = _RMSNorm(config.width)
        self.attn = _Attention(config)
        self.rms_2 = _RMSNorm(config.width)
        self.mlp = _FeedForward(config)

    def forward(
        self, x: Tensor, rotary: _Rotary, mask: Tensor | None, past: _Past | None = None, real: _Real | None = None
    ) -> Tensor:
        x = x + self.attn(self.rms_1(x), rotary, mask, past, real)
        return x + self.mlp(self.rms_2(x))


def _embedding(rows: int, width: int) -> nn.Embedding:
    weight = torch.empty(rows, width)
    if weight.is_meta:  # drawing "random" values of a meta tensor imports torch._dynamo, which takes over a second
        return nn.Embedding.from_pretrained(weight, freeze=False)
    return nn.Embedding(rows, width)


class _Trunk(nn.Module):
    """Nothing but the outer name the released parameters carry."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.wte = _embedding(config.codebook_size + 2, config.width)
        self.h = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.ln_f = _RMSNorm(config.width)


class PrefixTransformer(nn.Module):
    """Predicts motion tokens from text embeddings and the motion tokens before.

    A fresh one has seedable random weights. Text of every row stands first in its slots, padding (mask False) after it,
    at least one slot per row is text. Padding changes nothing: positions count a row's own text, then its motion.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.llama_proj = nn.Linear(config.text_width, config.width)
        self.transformer = _Trunk(config)
        self.lm_head = nn.Linear(config.width, config.head_rows, bias=False)
        self._initialise()
        self._tie()

    def _initialise(self) -> None:
        std = 0.5 / math.sqrt(self.config.width)  # 0.022 at the width of 44M; small widths need more to start to learn
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2 and not parameter.is_meta:
                # Two sums per block enter the residual stream; scaled so, its size does not grow with depth.
                depth = math.sqrt(2 * self.config.layers) if name.endswith("c_proj.weight") else 1.0
                nn.init.normal_(parameter, std=std / depth)
        nn.init.zeros_(self.llama_proj.bias)

    def _tie(self) -> None:
        if self.config.tied:
            self.lm_head.weight = self.transformer.wte.weight

    def forward(
        self, tokens_bn: Tensor, text_bld: Tensor, text_mask_bl: Tensor, real_r: Tensor | None = None
    ) -> Tensor:
        """Logits [b, n + 1, v] of every motion token of a training batch and of what follows the last.

        Row i predicts token i given the text and the tokens before it. tokens: int [b, n], n may be 0; shorter rows are
        filled with `config.pad_id` (their later logits mean nothing). text: float [b, l, d]; text_mask: bool [b, l].
        real: int [r], those of the b * (l + n) slots, row after row, that are not padding: only attention is then
        computed for the others too. It changes no logit that means something.
        """
        return self._predictions(self.hidden_states(tokens_bn, text_bld, text_mask_bl, real_r), text_mask_bl)

    def hidden_states(
        self, tokens_bn: Tensor, text_bld: Tensor, text_mask_bl: Tensor, real_r: Tensor | None = None
    ) -> Tensor:
        """The stream [b, l + n, c] after the last block, before the final norm; arguments as of `forward`."""
        x = torch.cat([self._project(text_bld), self._embed(tokens_bn)], dim=1)
        rotary = self._rotary(text_mask_bl, tokens_bn.shape[1])
        mask = _prefix_mask(text_mask_bl, tokens_bn.shape[1])
        real = None if real_r is None else _Real(real_r, x.shape[0], x.shape[1])
        x = x if real is None else real.joined(x)
        for block in self.transformer.h:
            x = block(x, rotary, mask, real=real)
        return x if real is None else real.apart(x)

    @torch.inference_mode()
    def prefill(
        self, text_bld: Tensor, text_mask_bl: Tensor, max_tokens: int, tokens_bn: Tensor | None = None
    ) -> tuple[Tensor, Cache]:
        """Read the text, and the motion tokens int [b, n] that are there already, in one pass.

        Returns logits float32 [b, n + 1, v] as `forward` does, and a cache with room for `max_tokens` tokens in all.
        """
        mask = text_mask_bl.bool()
        assert bool((mask.sum(1) > 0).all()), "every row needs at least one text slot"
        b, slots, _ = text_bld.shape
        config = self.config
        x = self._project(text_bld)
        shape = (b, config.heads, slots + max_tokens, config.width // config.heads)
        padded = not bool(mask.all())
        cache = Cache(
            keys=[x.new_empty(shape) for _ in range(config.layers)],
            values=[x.new_empty(shape) for _ in range(config.layers)],
            rotary=self._rotary(mask, max_tokens),
            seen_bs=F.pad(mask, (0, max_tokens), value=True) if padded else None,
            length=0,
        )
        count = 0 if tokens_bn is None else tokens_bn.shape[1]
        assert count <= max_tokens, "there is no room for the tokens to start from"
        if tokens_bn is not None:
            x = torch.cat([x, self._embed(tokens_bn)], dim=1)
        x = self._advance(x, cache, _prefix_mask(mask, count) if padded or count else None)
        return self._predictions(x, mask).float(), cache

    @torch.inference_mode()
    def step(self, tokens_b: Tensor, cache: Cache) -> Tensor:
        """Append one token per row: logits float32 [b, v] of the next. The cache must have room."""
        assert cache.room > 0, "the cache is full; prefill with a larger max_tokens"
        mask = None if cache.seen_bs is None else cache.seen_bs[:, None, None, : cache.length + 1]
        x = self._advance(self._embed(tokens_b[:, None]), cache, mask)
        return self.lm_head(self.transformer.ln_f(x[:, 0])).float()

    def _advance(self, x: Tensor, cache: Cache, mask: Tensor | None) -> Tensor:
        filled = slice(cache.length, cache.length + x.shape[1])
        cos, sin = cache.rotary
        rotary = cos[:, filled], sin[:, filled]
        for block, keys, values in zip(self.transformer.h, cache.keys, cache.values, strict=True):
            x = block(x, rotary, mask, _Past(keys, values, cache.length))
        cache.length += x.shape[1]
        return x

    def _predictions(self, x_bsc: Tensor, text_mask_bl: Tensor) -> Tensor:
        """Logits [b, n + 1, v] at each row's last text slot and at its n motion slots."""
        slots = text_mask_bl.shape[1]
        last_text = (text_mask_bl.long().sum(1) - 1).view(-1, 1, 1).expand(-1, 1, x_bsc.shape[-1])
        x = torch.cat([x_bsc[:, :slots].gather(1, last_text), x_bsc[:, slots:]], dim=1)
        return self.lm_head(self.transformer.ln_f(x))

    def _embed(self, tokens_bn: Tensor) -> Tensor:
        return self.transformer.wte(tokens_bn).to(self.llama_proj.weight.dtype)

    def _project(self, text_bld: Tensor) -> Tensor:
        return self.llama_proj(text_bld.to(self.llama_proj.weight.dtype))

    def _rotary(self, text_mask_bl: Tensor, tokens: int) -> _Rotary:
        """Cosine and sine float32 [b, l + tokens, e / 2]: text counts from 0, a row's motion right after its text."""
        b, slots = text_mask_bl.shape
        device = text_mask_bl.device
        text = torch.arange(slots, device=device).expand(b, -1)
        motion = text_mask_bl.long().sum(1, keepdim=True) + torch.arange(tokens, device=device)
        half = self.config.width // self.config.heads // 2
        theta = 10000 ** (-torch.arange(half, device=device, dtype=torch.float32) / half)
        angle = torch.cat([text, motion], dim=1)[..., None] * theta
        return angle.cos(), angle.sin()

    def save_pretrained(
        self, folder: str | os.PathLike[str], card: Mapping[str, Any] | None = None, dtype: torch.dtype | None = None
    ) -> Path:
        """Write weights and a card; `dtype` is the storage type of the matrices. A tied matrix is stored once."""
        tensors = self.state_dict()
        if self.config.tied:
            del tensors["lm_head.weight"]
        stored = str(dtype or self.lm_head.weight.dtype).removeprefix("torch.")
        own = {"kind": "transformer", "name": size_label(self.config), "dtype": stored}
        whole = {**own, **(card or {}), "config": asdict(self.config)}
        return checkpoint.write(folder, tensors, whole, dtype)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        verify: bool = True,
    ) -> PrefixTransformer:
        """Load a transformer's folder, ready to use. Raises CheckpointError if it is missing or damaged.

        `dtype` is the type to compute in; by default the stored one, except that float16 is computed in float32.
        """
        config, stored_type = checkpoint.described(
            folder, lambda card: (TransformerConfig(**card["config"]), card.get("dtype")), "transformer"
        )
        if dtype is None:
            dtype = torch.bfloat16 if stored_type == "bfloat16" else torch.float32
        quick = torch.device(device).type == "cpu" and dtype == torch.float32

        def place(name: str, stored: Tensor) -> Tensor | None:
            if not stored.is_floating_point():
                return None  # what does not fit is named below
            if quick and stored.ndim == 2 and (config.tied or name != "transformer.wte.weight"):
                return empty_as_read(stored.shape)
            if stored.dtype == dtype and torch.device(device).type == "cpu":
                return None
            return torch.empty(stored.shape, dtype=dtype, device=device)

        tensors = dict(checkpoint.each_tensor(folder, verify, place))
        if config.tied and "transformer.wte.weight" in tensors:
            tensors["lm_head.weight"] = tensors["transformer.wte.weight"]
        with torch.device("meta"):
            model = cls(config)
        checkpoint.check_fit(folder, tensors, model.state_dict())
        model.load_state_dict(tensors, assign=True)
        model._tie()
        return model.eval().requires_grad_(False)


def empty_as_read(shape: Sequence[int]) -> Tensor:
    """Room for a matrix [out, in] in float32, laid out as the product with a single row reads it fastest.

    That is column by column, and row by row where the matrix has more columns than rows: see fast_step.py.
    """
    rows, columns = shape
    return torch.empty(columns, rows).t() if rows >= columns else torch.empty(rows, columns)


def as_read(weight: Tensor) -> Tensor:
    """The same matrix in float32, laid out as `empty_as_read` does."""
    rows, columns = weight.shape
    if weight.dtype == torch.float32 and (weight.t() if rows >= columns else weight).is_contiguous():
        return weight
    return empty_as_read(weight.shape).copy_(weight)  # in one step, so that it is in memory twice, not three times


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn interleaved pairs of the last axis by an angle each, in float32; cos and sin have half that axis."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(-2).to(x.dtype)


def _prefix_mask(text_mask_bl: Tensor, tokens: int) -> Tensor:
    """Which slots attend to which, bool [b, 1, s, s] (query, key).

    Every slot attends to all real text. A motion slot also attends to itself and the motion before it. A padding slot
    attends to itself as well, so that its softmax is not over nothing, which would be NaN.
    """
    slots = text_mask_bl.shape[1]
    causal = torch.ones(slots + tokens, slots + tokens, dtype=torch.bool, device=text_mask_bl.device).tril()
    causal[:, :slots] = False
    causal.fill_diagonal_(True)
    return causal | F.pad(text_mask_bl.bool(), (0, tokens))[:, None, None, :]
