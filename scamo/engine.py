"""The token loop: prefill, step, sample, stop. It knows token ids and embeddings, nothing of text or of motion.

Sampling is the only random step. Token i of a motion is sampled with the i-th random number of the motion's seed, so
the same seed gives the same tokens alone, in a batch, and after a start of tokens that were kept, as far as the logits
are the same: on a CPU in float32 they are. In bfloat16 they depend on how many rows are computed together: about half
of the rows of a batch differ there from the row alone, while the same batch gives the same tokens again.
`scamo/device.py` says what holds elsewhere.

    engine = LocalEngine(transformer)
    for count in engine.stream([TokenRequest(limit=20, seed=0)], text_bld, text_mask_bl): ...
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from scamo.configs import TransformerConfig
from scamo.device import Place
from scamo.fast_step import computing_type, stepper
from scamo.options import MAX_TOKENS, GenerationOptions
from scamo.transformer import PrefixTransformer

if TYPE_CHECKING:
    from typing_extensions import Self

ALTERNATIVES = 8
_MOST_PENDING = 1 << 22  # logits kept until their trace is computed: 16 MB


@dataclass(frozen=True)
class TokenRequest:
    """One motion to sample, as plain values that can be sent to another process.

    limit: tokens in all, the start included. can_end: whether the model may end it before. start: tokens it begins
    with; `before` tokens of a longer motion stand in front of them, and their random numbers are skipped.
    temperature, top_k, top_p, guidance: see GenerationOptions.
    """

    limit: int
    seed: int
    can_end: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    guidance: float = 1.0
    start: tuple[int, ...] = ()
    before: int = 0

    @classmethod
    def of(cls, options: GenerationOptions, limit: int, can_end: bool, start: Sequence[int], before: int = 0) -> Self:
        """A request by resolved options."""
        seed, temperature, guidance = options.seed, options.temperature, options.guidance
        assert seed is not None and temperature is not None and guidance is not None, "options are not resolved"
        return cls(limit, seed, can_end, temperature, options.top_k, options.top_p, guidance, tuple(start), before)


class Trace(NamedTuple):
    """How likely each of n tokens was to the model, given the text and the tokens before.

    The distribution is the model's own over the codes, without the end token, before temperature, top_k and top_p. So
    it can be compared between runs, and every alternative can take the token's place.
    """

    probability: NDArray[np.float32]  # [n], of the token itself
    entropy: NDArray[np.float32]  # [n], in nats
    top: NDArray[np.int64]  # [n, 8], or as many as there are codes: the likeliest tokens, likeliest first
    top_probability: NDArray[np.float32]  # [n, 8]

    def after(self, count: int) -> Trace:
        """Without the first `count` tokens."""
        return Trace(self.probability[count:], self.entropy[count:], self.top[count:], self.top_probability[count:])

    @staticmethod
    def joined(traces: Sequence[Trace]) -> Trace:
        """Several traces as one."""
        return Trace(*map(np.concatenate, zip(*traces, strict=True)))


class SampledTokens(NamedTuple):
    """What an engine returns for a request: tokens int64 [n], the start included, and their trace."""

    tokens: NDArray[np.int64]
    trace: Trace


class Engine(Protocol):
    """What samples tokens, wherever it computes."""

    @property
    def config(self) -> TransformerConfig:
        """Shape of the transformer."""
        ...

    @property
    def place(self) -> Place:
        """Where it computes and in which type."""
        ...

    def stream(
        self,
        requests: Sequence[TokenRequest],
        text_bld: Tensor,
        text_mask_bl: Tensor,
        empty_text_ld: Tensor | None = None,
    ) -> Generator[int, None, list[SampledTokens]]:
        """Sample one motion per request, in one pass; the starts of all are equally long.

        text_bld: float32 [b, l, d], one row per request; text_mask_bl: bool [b, l], True on text, padding last.
        empty_text_ld: what guidance leads away from, the embedding of the empty text or another; needed where a request
        has a guidance other than 1. Yields the number of tokens so far after each, and returns what was sampled. Close
        it to stop.
        """
        ...


class LocalEngine:
    """Samples with a transformer in this process, on the device it is on. Threads may share it.

    why: what the choice of the device went by, for `place`.
    """

    def __init__(self, transformer: PrefixTransformer, why: str = "") -> None:
        self.transformer = transformer.eval()
        self._why = why

    @property
    def config(self) -> TransformerConfig:
        """Shape of the transformer."""
        return self.transformer.config

    @property
    def device(self) -> torch.device:
        """Where the transformer is."""
        return self.transformer.llama_proj.weight.device

    @property
    def place(self) -> Place:
        """Where the transformer is and in which type it computes."""
        dtype = str(computing_type(self.transformer)).removeprefix("torch.")
        return Place(str(self.device), dtype, self._why)

    def stream(
        self,
        requests: Sequence[TokenRequest],
        text_bld: Tensor,
        text_mask_bl: Tensor,
        empty_text_ld: Tensor | None = None,
    ) -> Generator[int, None, list[SampledTokens]]:
        """See Engine.stream."""
        windows = slides(self.config, requests, text_mask_bl, empty_text_ld)
        if windows is None:
            return (yield from self._together(requests, text_bld, text_mask_bl, empty_text_ld, MAX_TOKENS))
        warnings.warn(
            f"the motion may take {max(request.limit for request in requests)} tokens, more than the {min(windows)} "
            "that this model has in view at a time: late tokens see the text and only the last tokens before them",
            stacklevel=2,
        )
        if len(set(windows)) == 1:
            return (yield from self._together(requests, text_bld, text_mask_bl, empty_text_ld, windows[0]))
        found: list[SampledTokens] = []
        done = 0  # tokens of the rows before
        for request, text_ld, mask_l, window in zip(requests, text_bld, text_mask_bl.bool(), windows, strict=True):
            own = text_ld[mask_l][None], mask_l[mask_l][None]
            counts = self._together([request], *own, empty_text_ld, window)
            try:
                while True:
                    yield (done + next(counts)) // len(requests)
            except StopIteration as end:
                found += end.value
            done += request.before + len(found[-1].tokens)
        return found

    def _together(
        self,
        requests: Sequence[TokenRequest],
        text_bld: Tensor,
        text_mask_bl: Tensor,
        empty_text_ld: Tensor | None,
        window: int,
    ) -> Generator[int, None, list[SampledTokens]]:
        """Sample all rows in one pass, each behind its text and at most `window` tokens."""
        rows = [_Row(request) for request in requests]
        limit, end_id = max(request.limit for request in requests), self.config.end_id
        start_bn = torch.tensor([row.tokens for row in rows], dtype=torch.long, device=self.device)
        prompted = _Branch(self.transformer, text_bld, text_mask_bl, start_bn, limit, window)
        unprompted = None
        if any(request.guidance != 1 for request in requests):
            assert empty_text_ld is not None, "guidance needs the embedding of the empty text"
            empty_bld = empty_text_ld.expand(len(rows), -1, -1)
            mask_bl = torch.ones(empty_bld.shape[:2], dtype=torch.bool)
            unprompted = _Branch(self.transformer, empty_bld, mask_bl, start_bn, limit, window)
        trace = _TraceRecorder(end_id, _trace(prompted.start_logits_bnv[..., :end_id], start_bn))
        count = start_bn.shape[1]
        while not all(row.done for row in rows):
            values = _guided(requests, prompted, unprompted)
            chosen = [row.choose(logits_v, end_id) for row, logits_v in zip(rows, values, strict=True)]
            chosen_b = torch.tensor(chosen, device=self.device)
            trace.add(prompted.logits_bv, chosen_b)
            count += 1
            yield requests[0].before + count
            if not all(row.done for row in rows):
                prompted.append(chosen_b)
                if unprompted is not None:
                    unprompted.append(chosen_b)
        tokens = [np.array(row.tokens, dtype=np.int64) for row in rows]
        return [SampledTokens(ids, trace.of_row(b, len(ids))) for b, ids in enumerate(tokens)]


IN_VIEW = 60  # tokens: the 50 of the longest motions that models learn from, behind 2 s of another in a timeline
_LEAST_WINDOW = 16  # tokens that a window holds, also where the text takes all positions that the model knows


def slides(
    config: TransformerConfig, requests: Sequence[TokenRequest], text_mask_bl: Tensor, empty_text_ld: Tensor | None
) -> list[int] | None:
    """For each row the tokens that it has in view; None where no motion can get longer than that.

    With guidance the empty text must fit too, so that both views of a row see the same tokens.
    """
    empty = 0 if empty_text_ld is None else len(empty_text_ld)
    texts = [max(int(own), empty * (request.guidance != 1))
             for own, request in zip(text_mask_bl.sum(1), requests, strict=True)]  # fmt: skip
    windows = [max(min(IN_VIEW, config.max_positions - text), _LEAST_WINDOW) for text in texts]
    if all(request.limit <= window for request, window in zip(requests, windows, strict=True)):
        return None
    return windows


class _Branch:
    """The transformer's view of all rows behind one text per row: its cache, and the logits of the next token.

    When `window` tokens stand behind the text, the text and the newest of them are read anew, at the positions right
    behind the text, so that time and memory of a token have a bound; from then on half as many are in view. Few clips
    of one action are longer: with 90 in view the default model walked in 58 % of the parts of 40 s, so in 87 %. Tokens
    of the start count like others: a motion is the same however much of it is given as its start.
    """

    def __init__(
        self,
        transformer: PrefixTransformer,
        text_bld: Tensor,
        text_mask_bl: Tensor,
        start_bn: Tensor,
        limit: int,
        window: int,
    ) -> None:
        self._transformer, self._text = transformer, (text_bld.to(start_bn.device), text_mask_bl.to(start_bn.device))
        self._later = window // 2
        self._newest = deque(start_bn[:, :window].unbind(1), maxlen=max(1, self._later // 3))
        self.may_overflow = transformer.llama_proj.weight.dtype == torch.float16  # as on GPUs without bfloat16
        logits_bnv = self._read(start_bn[:, :window], min(limit, window))
        self.logits_bv = logits_bnv[:, -1]
        late = []
        for tokens_b in start_bn[:, window:].unbind(1):
            late.append(self.logits_bv)
            self.append(tokens_b)
        self.start_logits_bnv = torch.cat([logits_bnv[:, :-1], *(logits_bv[:, None] for logits_bv in late)], dim=1)

    def append(self, tokens_b: Tensor) -> None:
        """Go on by one token per row."""
        self._newest.append(tokens_b)
        if self._cache.room:
            self.logits_bv = self._step(tokens_b)
        else:
            self.logits_bv = self._read(torch.stack(list(self._newest), dim=1), self._later)[:, -1]

    def _read(self, tokens_bn: Tensor, room: int) -> Tensor:
        logits_bnv, self._cache = self._transformer.prefill(*self._text, room, tokens_bn)
        self._step = stepper(self._transformer, self._cache)
        return logits_bnv


def _guided(requests: Sequence[TokenRequest], prompted: _Branch, unprompted: _Branch | None) -> NDArray[np.floating]:
    """Logits [b, v] to sample from: l0 + w (l - l0), with l0 those of empty_text_ld and w the guidance.

    Classifier-free guidance (Ho and Salimans 2022) on logits; on log-probabilities it is the same, since they differ by
    a constant. Rows without guidance are left as they are.
    """
    logits_bv = prompted.logits_bv.cpu().numpy()
    if prompted.may_overflow and not np.isfinite(logits_bv).all():
        raise ValueError("this model's numbers are too large for float16; give --dtype float32")
    if unprompted is None:
        return logits_bv
    empty_bv = unprompted.logits_bv.cpu().numpy().astype(np.float64)
    weight_b1 = np.array([[request.guidance] for request in requests])
    return np.where(weight_b1 == 1, logits_bv, empty_bv + weight_b1 * (logits_bv - empty_bv))


def checked_start(start: ArrayLike | Tensor | None, codes: int) -> list[int]:
    """The tokens that a user wants a motion to begin with, int [k]. Raises ValueError for what is no code."""
    ids = np.asarray([] if start is None else start.cpu() if isinstance(start, Tensor) else start)
    if ids.ndim != 1 or (len(ids) and not np.issubdtype(ids.dtype, np.integer)):
        raise ValueError(f"the start has shape {list(ids.shape)} and type {ids.dtype}; give integers [k]")
    outside = ids[(ids < 0) | (ids >= codes)]
    if len(outside):
        raise ValueError(f"token {outside[0]} of the start is no code; this model's are 0 to {codes - 1}")
    return [int(token) for token in ids]


class _Row:
    """One motion while it is sampled: its tokens, its random numbers and whether it is over."""

    def __init__(self, request: TokenRequest) -> None:
        self.request = request
        self.tokens = list(request.start)
        self.done = len(self.tokens) == request.limit
        numbers = np.random.PCG64(request.seed)  # each of its numbers makes one uniform float
        self._random = np.random.Generator(numbers.advance(request.before + len(self.tokens)))

    def choose(self, logits_v: NDArray[np.floating], end_id: int) -> int:
        """Sample the next token from logits [v] and keep it. A row that is over gets a token that nobody reads."""
        if self.done:
            return 0
        # The padding id, which a tied head has, is never a choice; the end is one only where the model may end.
        choices = logits_v[: end_id + (1 if self.request.can_end else 0)]
        request = self.request
        token = sample_token(choices, self._random.random(), request.temperature, request.top_k, request.top_p)
        if token == end_id:
            self.done = True
            if self.tokens:
                return 0
            token = 1  # what the authors' code returns where the first token is the end
        self.tokens.append(token)
        self.done = self.done or len(self.tokens) == self.request.limit
        return token


def sample_token(
    logits_v: NDArray[np.floating],
    uniform: float,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> int:
    """The token that `uniform` in [0, 1) picks from logits [v], by the inverse of their cumulative distribution.

    It computes in float64, so that rounding noise of a device or a batch rarely changes the choice.
    """
    if temperature == 0:
        return int(np.argmax(logits_v))
    with np.errstate(over="ignore"):  # a tiny temperature may send all but the likeliest to -infinity, which is right
        scaled = (logits_v.astype(np.float64) - logits_v.max()) / temperature
    if top_k is not None and top_k < len(scaled):
        scaled = np.where(scaled >= np.partition(scaled, -top_k)[-top_k], scaled, -np.inf)
    weight = np.exp(scaled)
    if top_p is not None:
        order = np.argsort(-weight, kind="stable")
        share = np.cumsum(weight[order])
        weight[order[np.searchsorted(share, top_p * share[-1]) + 1 :]] = 0.0
    total = np.cumsum(weight)
    token = np.searchsorted(total, uniform * total[-1], side="right")
    return int(min(token, np.searchsorted(total, total[-1])))  # the product may round up to the total itself


_TracePart = tuple[Tensor, ...]  # the fields of a Trace, [b, n, ...] each


class _TraceRecorder:
    """Collects the traces of all rows. The traces of many tokens are computed at once, which is faster."""

    def __init__(self, codes: int, start: _TracePart) -> None:
        self._codes = codes
        self._parts = [start]
        self._pending: list[tuple[Tensor, Tensor]] = []

    def add(self, logits_bv: Tensor, tokens_b: Tensor) -> None:
        self._pending.append((logits_bv, tokens_b))
        if len(self._pending) * logits_bv.numel() > _MOST_PENDING:
            self._compute()

    def of_row(self, b: int, count: int) -> Trace:
        """The trace of a row's first `count` tokens."""
        self._compute()
        self._parts = [tuple(torch.cat(parts, dim=1) for parts in zip(*self._parts, strict=True))]
        return Trace(*(part[b, :count].cpu().numpy() for part in self._parts[0]))

    def _compute(self) -> None:
        if self._pending:
            logits_nbv, tokens_nb = (torch.stack(parts) for parts in zip(*self._pending, strict=True))
            self._parts.append(_trace(logits_nbv.transpose(0, 1)[..., : self._codes], tokens_nb.T))
            self._pending = []


def _trace(logits_bnv: Tensor, tokens_bn: Tensor) -> _TracePart:
    """The parts of a Trace of tokens that were sampled from logits over the codes; on their device."""
    share_bnv = logits_bnv.softmax(-1)
    top = share_bnv.topk(min(ALTERNATIVES, share_bnv.shape[-1]), -1)
    entropy_bn = torch.special.entr(share_bnv).sum(-1)
    return share_bnv.gather(-1, tokens_bn[..., None])[..., 0], entropy_bn, top.indices, top.values
