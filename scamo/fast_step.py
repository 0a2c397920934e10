"""The quick step: one token after the other, as fast as memory delivers the weights.

On a CPU a step reads every weight once and computes very little, so its time is the time to read the matrices. numpy's
BLAS reads a matrix stored as [in, out] at the speed of memory and with all threads, and one with more inputs than
outputs if it is stored as [out, in]; torch's does neither for a single row. So the matrices are stored that way: torch
sees some of them as views, and numpy reads the same memory. numpy and torch
have threads of their own, which keep a core busy for milliseconds after their last work. Nothing between two steps
should therefore start torch's threads, not even a copy of a large head's logits. On a GPU a step is a hundred kernels
that take less time than their launch; `record` replays it as a CUDA graph, which only the benchmarks ask for so far.

    step = stepper(model, cache)    # in place of model.step(tokens, cache)
    logits = step(tokens)

`compact` trades precision for memory and speed: half of both in float16, a quarter of the memory in int8. bfloat16
takes half the memory too, and is no faster on a CPU without instructions for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scamo.transformer import Cache, PrefixTransformer, as_read, rotate

_Vector = NDArray[np.float32]
_Product = Callable[[_Vector], _Vector]

_SMALL = 10_000_000  # parameters; a plain step of such a model takes as long as six rows' quick ones, of a larger three
_WORTH_RECORDING = 12  # tokens to come; to record a step takes as long as some of them


def stepper(model: PrefixTransformer, cache: Cache, record: bool = False) -> Callable[[Tensor], Tensor]:
    """A function that appends one token per row, int [b], and returns the logits float32 [b, v] of the next.

    It is the quick step for a row or a few on the CPU, in float32 or compact, and `model.step` for everything else.
    `record`: on a GPU, where enough tokens are to come, a step recorded once as a CUDA graph (only
    the benchmarks use it); each step overwrites the logits of the one before. Nothing else may use the cache.
    """
    weight = model.llama_proj.weight
    if record and weight.device.type == "cuda" and cache.room >= _WORTH_RECORDING and not weight.requires_grad:
        return GraphStep(model, cache)
    few = len(cache.keys[0]) <= few_rows(model)
    if few and weight.device.type == "cpu" and weight.dtype == torch.float32 and not weight.requires_grad:
        return RowStep(model, cache) if len(cache.keys[0]) == 1 else RowsStep(model, cache)
    return lambda tokens_b: model.step(tokens_b, cache)


def few_rows(model: PrefixTransformer) -> int:
    """How many rows are stepped faster one by one than together."""
    return 6 if sum(model.config.parameter_counts) < _SMALL else 3


class _Layer(NamedTuple):
    scale_1: _Vector
    attend: _Product
    attended: _Product
    scale_2: _Vector
    gate: _Product
    up: _Product
    down: _Product
    keys: _Vector  # [h, s, e]
    values: _Vector


def _layer(block: Any, keys: Tensor, values: Tensor) -> _Layer:
    return _Layer(
        block.rms_1.scale.numpy(),
        _product(block.attn.c_attn),
        _product(block.attn.c_proj),
        block.rms_2.scale.numpy(),
        _product(block.mlp.c_fc1),
        _product(block.mlp.c_fc2),
        _product(block.mlp.c_proj),
        keys[0].numpy(),
        values[0].numpy(),
    )


class RowStep:
    """The quick step of a single row on a CPU, by numpy on the weights that torch holds."""

    def __init__(self, model: PrefixTransformer, cache: Cache) -> None:
        trunk = model.transformer
        self.cache = cache
        self.padding = None if cache.seen_bs is None else ~cache.seen_bs[0].numpy()  # slots [s] that no token sees
        self.embedding = _rows(trunk.wte.weight)
        cos, sin = cache.rotary
        turns = torch.complex(cos[0], sin[0]).numpy()[:, None, None]  # [s, 1, 1, e / 2]
        scale = np.float32((2 * turns.shape[-1]) ** -0.5)
        self.turns = np.concatenate([turns * scale, turns], axis=1)  # of queries, with attention's scale, and of keys
        self.layers = [_layer(*parts) for parts in zip(trunk.h, cache.keys, cache.values, strict=True)]
        self.scale = trunk.ln_f.scale.numpy()
        self.head = _product(model.lm_head)

    def __call__(self, tokens_b: Tensor) -> Tensor:
        assert self.cache.room > 0, "the cache is full; prefill with a larger max_tokens"
        x = self.embedding(int(tokens_b[0]))
        with np.errstate(over="ignore"):  # of exp(-gate), where the sigmoid is rightly 0
            for layer in self.layers:
                x = x + layer.attended(self._attention(layer, layer.attend(_normed(x, layer.scale_1))))
                y = _normed(x, layer.scale_2)
                gate = layer.gate(y)
                x = x + layer.down(gate / (1 + np.exp(-gate)) * layer.up(y))
        self.cache.length += 1
        return torch.from_numpy(self.head(_normed(x, self.scale))[None])

    def _attention(self, layer: _Layer, qkv: _Vector) -> _Vector:
        slot = self.cache.length
        heads, _, size = layer.keys.shape
        qkv = qkv.reshape(3, heads, size)
        # Neighbours are the real and imaginary part of a number, and rotary positions turn it.
        q, layer.keys[:, slot] = (qkv[:2].view(np.complex64) * self.turns[slot]).view(np.float32)
        layer.values[:, slot] = qkv[2]
        weight = np.matmul(layer.keys[:, : slot + 1], q[:, :, None])[..., 0]
        if self.padding is not None:
            weight[:, self.padding[: slot + 1]] = -np.inf
        weight -= np.maximum.reduce(weight, axis=-1, keepdims=True)
        np.exp(weight, out=weight)
        y = np.matmul(weight[:, None], layer.values[:, : slot + 1])[:, 0]
        y /= np.add.reduce(weight, axis=-1, keepdims=True)
        return y.reshape(-1)


class RowsStep:
    """The quick step of a few rows, one after the other."""

    def __init__(self, model: PrefixTransformer, cache: Cache) -> None:
        self.cache = cache
        self.rows = [RowStep(model, _row(cache, row)) for row in range(len(cache.keys[0]))]

    def __call__(self, tokens_b: Tensor) -> Tensor:
        self.cache.length += 1
        logits = [step(tokens_b[row : row + 1]).numpy() for row, step in enumerate(self.rows)]
        return torch.from_numpy(np.concatenate(logits))


def _row(cache: Cache, row: int) -> Cache:
    """One row of a cache, in the same memory."""
    own = slice(row, row + 1)
    return Cache(
        [keys[own] for keys in cache.keys],
        [values[own] for values in cache.values],
        (cache.rotary[0][own], cache.rotary[1][own]),
        None if cache.seen_bs is None or bool(cache.seen_bs[row].all()) else cache.seen_bs[own],
        cache.length,
    )


class GraphStep:
    """The step of all rows with no number of Python's in it: the slot is a tensor, attention goes over all slots.

    On a GPU it is recorded as a CUDA graph; elsewhere it runs as it is, which is how it is tested.
    """

    @torch.inference_mode()
    def __init__(self, model: PrefixTransformer, cache: Cache) -> None:
        self.model, self.cache = model, cache
        b, _, slots, _ = cache.keys[0].shape
        device = cache.keys[0].device
        for part in (*cache.keys, *cache.values):
            part[:, :, cache.length :] = 0  # a weight of 0 does not save from the NaN that fresh memory may hold
        self.tokens_b = torch.zeros(b, dtype=torch.long, device=device)
        self.slot = torch.tensor([cache.length], device=device)
        self.slots = torch.arange(slots, device=device)
        seen = torch.ones(b, slots, dtype=torch.bool, device=device) if cache.seen_bs is None else cache.seen_bs
        self.seen = seen[:, None, None]
        if device.type == "cuda":
            with torch.cuda.device(device):  # streams and graphs belong to the current device
                self._record()

    def _record(self) -> None:
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):  # libraries set themselves up in their first calls, not to be recorded
            for _ in range(2):
                self._step()
        torch.cuda.current_stream().wait_stream(beside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.logits_bv = self._step()

    @torch.inference_mode()
    def __call__(self, tokens_b: Tensor) -> Tensor:
        assert self.cache.room > 0, "the cache is full; prefill with a larger max_tokens"
        self.tokens_b.copy_(tokens_b)
        self.slot.fill_(self.cache.length)
        self.cache.length += 1
        if self.slot.device.type != "cuda":
            return self._step()
        with torch.cuda.device(self.slot.device):
            self.graph.replay()
        return self.logits_bv

    def _step(self) -> Tensor:
        trunk, slot = self.model.transformer, self.slot
        layers: Any = zip(trunk.h, self.cache.keys, self.cache.values, strict=True)
        x = trunk.wte(self.tokens_b[:, None]).to(self.model.llama_proj.weight.dtype)
        cos, sin = (angle.index_select(1, slot)[:, :, None, None] for angle in self.cache.rotary)
        mask = self.seen & (self.slots <= slot)
        for block, keys, values in layers:
            qkv = block.attn.c_attn(block.rms_1(x)).view(len(x), 1, 3, keys.shape[1], keys.shape[3])
            q, k = rotate(qkv[:, :, :2], cos, sin).permute(2, 0, 3, 1, 4)
            keys.index_copy_(2, slot, k)
            values.index_copy_(2, slot, qkv[:, :, 2].transpose(1, 2))
            y = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
            x = x + block.attn.c_proj(y.transpose(1, 2).reshape(x.shape))
            x = x + block.mlp(block.rms_2(x))
        return self.model.lm_head(trunk.ln_f(x[:, 0])).float()


def _normed(x: _Vector, scale: _Vector) -> _Vector:
    return x * (scale * np.float32(1 / np.sqrt(np.dot(x, x) / len(x) + 1e-5)))


def _rows(weight: Tensor) -> Callable[[int], _Vector]:
    """A function that gives a row of a matrix in float32."""
    if weight.dtype == torch.bfloat16:  # numpy has no such type
        return lambda row: weight[row].float().numpy()
    rows = weight.numpy()
    return lambda row: rows[row].astype(np.float32, copy=False)


def _product(linear: nn.Module) -> _Product:
    if isinstance(linear, (_Float16, _Half, _Int8)):
        return linear.product
    if type(linear) is not nn.Linear:
        return lambda x: linear(torch.from_numpy(x)[None])[0].numpy()
    linear.weight.data = as_read(linear.weight.data)
    if linear.weight.is_contiguous() and linear.out_features < linear.in_features:
        rows = linear.weight.numpy()
        return lambda x: np.dot(rows, x)
    columns = linear.weight.t().numpy()
    return lambda x: np.dot(x, columns)


def compact(model: PrefixTransformer, dtype: torch.dtype) -> PrefixTransformer:
    """Keep the matrices of blocks and head in float16, bfloat16 or int8, in place, for a CPU. Returns the model.

    All between them is float32, the embedding half precision. ValueError where this CPU cannot do it.
    """
    fbgemm = "fbgemm" in torch.backends.quantized.supported_engines
    if dtype == torch.int8 and not fbgemm:
        raise ValueError("int8 needs an x86 CPU; use float16 here")
    kinds = {torch.int8: _Int8, torch.float16: _Float16} if fbgemm else {}
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear and child is not model.llama_proj:
                setattr(module, name, kinds.get(dtype, _Half)(child.weight, dtype))
    half = torch.float16 if dtype == torch.int8 else dtype
    for name, parameter in model.named_parameters():
        in_matrix = parameter.ndim == 2 and not name.startswith("llama_proj")
        parameter.data = parameter.data.to(half if in_matrix else torch.float32)
    return model.requires_grad_(False)


def computing_type(model: PrefixTransformer) -> torch.dtype:
    """The type in which a model keeps and multiplies its matrices, compact or not."""
    head: Any = model.lm_head
    return torch.int8 if isinstance(head, _Int8) else torch.float16 if isinstance(head, _Float16) else head.weight.dtype


class _Float16(nn.Module):
    """A matrix in float16, packed for the kernels of x86 that widen it on the way: 2-3 times the speed of torch.mv."""

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.packed = torch.ops.quantized.linear_prepack_fp16(weight.detach().float().contiguous(), None)

    def product(self, x: _Vector) -> _Vector:
        return torch.ops.quantized.linear_dynamic_fp16.default(torch.from_numpy(x)[None], self.packed)[0].numpy()

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.quantized.linear_dynamic_fp16.default(x, self.packed)


class _Half(nn.Module):
    """A matrix in half precision, by torch's own product; a tied one stays tied."""

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        weight.data = weight.data.to(dtype).contiguous()
        self.weight = weight

    def product(self, x: _Vector) -> _Vector:
        return torch.mv(self.weight, torch.from_numpy(x).to(self.weight.dtype)).float().numpy()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.float())  # for many rows torch is far slower in half precision than that


class _Int8(nn.Module):
    """A matrix in 8 bits with a scale per output."""

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        rows = weight.detach().float()
        scale = rows.abs().amax(1).clamp(min=1e-12) / 127
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces a successor that has no such kernel
            whole = torch.quantize_per_channel(rows, scale, torch.zeros(len(rows), dtype=torch.int), 0, torch.qint8)
        self.packed = torch.ops.quantized.linear_prepack(whole, None)

    def product(self, x: _Vector) -> _Vector:
        # One integer of -63 ... 63 (the kernel has room for no more) and another for what it leaves. Both go through in
        # one pass over the weights, so the second is nearly free, and halves the error.
        step = max(float(np.abs(x).max()), 1e-30) / 63
        coarse = np.rint(x / step) * np.float32(step)
        both = torch.from_numpy(np.stack([coarse, (x - coarse) * 126]))
        multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default
        y = multiply(both, step, 64, self.packed).numpy()
        return y[0] + y[1] * np.float32(1 / 126)

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.product(x.numpy()))
