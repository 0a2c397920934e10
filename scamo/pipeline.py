"""From a prompt to a motion: the text prefix, the token loop, the decoder.

Sampling is the only random step. Token i of a motion is drawn with the i-th random number of the motion's seed, so the
same seed gives the same tokens alone, in a batch, beside other models, and after a start of tokens that were kept.
"""

from __future__ import annotations

import collections.abc
import math
import operator
import secrets
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from scamo.fast_step import stepper
from scamo.motion import FPS, Motion
from scamo.text import MAX_WORD_PIECES, TextEncoder, load_text_encoder
from scamo.tokenizer import MotionTokenizer, TokenizerConfig, codebook_label
from scamo.transformer import PrefixTransformer, TransformerConfig, size_label

MAX_CHARACTERS = 1_000
MAX_SECONDS = 60.0
DEFAULT_MAX_TOKENS = 50  # the reference's
DEFAULT_CONTEXT = 2.0  # seconds
ALTERNATIVES = 8
_UNTRACED = 1 << 22  # logits kept until their trace is worked out: 16 MB
KIT_FEATURES, KIT_FPS = 251, 12.5

_T = TypeVar("_T")


@dataclass(frozen=True)
class Prompt:
    """What is asked for: words in any script, and how long it shall last (None: the model decides).

    `text` is None only where a ready embedding took the place of words. ValueError for an empty or overlong text and
    for seconds that are no length.
    """

    text: str | None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.text is not None:
            object.__setattr__(self, "text", _checked_text(self.text))
        if self.seconds is not None:
            object.__setattr__(self, "seconds", _checked_seconds(self.seconds))


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. seed None: a fresh one, resolved when it is used. temperature 0: always the likeliest.

    top_k keeps the k likeliest tokens, top_p the fewest likeliest that hold this share of the probability.
    """

    seed: int | None = None
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.seed is not None:
            object.__setattr__(self, "seed", _checked_integer("seed", self.seed, 0))
        if self.top_k is not None:
            object.__setattr__(self, "top_k", _checked_integer("top_k", self.top_k, 1))
        if not (_is_number(self.temperature) and self.temperature >= 0):
            raise ValueError(f"temperature {self.temperature} makes no sense; give 0 (always the likeliest) or more")
        if self.top_p is not None and not (_is_number(self.top_p) and 0 < self.top_p <= 1):
            raise ValueError(f"top_p {self.top_p} is no share of probability; give a number above 0 and up to 1")

    def resolved(self) -> Sampling:
        """The same with a definite seed."""
        return self if self.seed is not None else replace(self, seed=secrets.randbelow(2**31))


@dataclass(frozen=True)
class ModelCard:
    """What a model is, known before its weights are loaded. Bytes are of transformer and tokenizer together.

    codebook is the label ("256" has 240 codes: see levels); memory_bytes is needed on the model's device in its own
    type, without the text encoder. metrics, training and sampling come from the checkpoint's card as they are; sampling
    holds the model's defaults. sha256 is the hash of the transformer's card, which holds those of all its files.
    """

    name: str
    source: str  # "bundled", "local" or "hub"
    location: str  # folder, or owner/name@revision
    tokenizer: TokenizerConfig
    transformer: TransformerConfig
    text_encoder: str | None
    disk_bytes: int = 0
    memory_bytes: int = 0
    licence: str = "not stated"
    data: str = "not stated"
    attribution: str = ""
    knows: str = ""  # what it was taught and what not, in sentences for the people who use it
    metrics: Mapping[str, Any] = field(default_factory=dict, hash=False)
    training: Mapping[str, Any] = field(default_factory=dict, hash=False)
    sampling: Mapping[str, Any] = field(default_factory=dict, hash=False)
    sha256: str = ""

    @property
    def codebook(self) -> int:
        """Nominal size of the codebook, 256 ... 65536."""
        return codebook_label(self.tokenizer.levels)

    @property
    def levels(self) -> tuple[int, ...]:
        """The codebook's levels, which are what counts."""
        return self.tokenizer.levels

    @property
    def size(self) -> str:
        """Name of the transformer's size, or layers x width where it has none."""
        return size_label(self.transformer)


class Trace(NamedTuple):
    """What the model thought of each of n tokens: its own distribution, given the text and the tokens before.

    It is the one over the codes, without the end, before temperature, top_k and top_p; so it can be compared between
    runs, and every alternative can take the token's place.
    """

    probability: NDArray[np.float32]  # [n], of the token itself
    entropy: NDArray[np.float32]  # [n], in nats
    top: NDArray[np.int64]  # [n, 8], or as many as there are codes: the likeliest, in falling order
    top_probability: NDArray[np.float32]  # [n, 8]


@dataclass(frozen=True, eq=False)  # arrays have no single truth to compare
class Generation:
    """A motion and everything needed to make it again. tokens: int64 [n]; seconds: the time it took."""

    prompt: Prompt
    sampling: Sampling
    tokens: NDArray[np.int64]
    motion: Motion
    card: ModelCard
    seconds: float
    trace: Trace


@dataclass(frozen=True, eq=False)
class Timeline:
    """One motion of several prompts in turn. lengths: tokens of each; the rest as of a Generation."""

    prompts: tuple[Prompt, ...]
    lengths: tuple[int, ...]
    sampling: Sampling
    tokens: NDArray[np.int64]
    motion: Motion
    card: ModelCard
    seconds: float
    trace: Trace


class Generator:
    """A tokenizer and a transformer that go together, and the text encoder they were trained with.

    The encoder is loaded by the first prompt that needs it; give one to share it between models. With
    `release_text_encoder` its memory is freed after each use. Holds no state of a generation: threads may share it.
    """

    def __init__(
        self,
        tokenizer: MotionTokenizer,
        transformer: PrefixTransformer,
        card: ModelCard | None = None,
        text_encoder: TextEncoder | None = None,
        release_text_encoder: bool = False,
    ) -> None:
        codes = transformer.config.codebook_size
        if tokenizer.codebook_size != codes:
            raise ValueError(
                f"the transformer predicts {codes} codes and the tokenizer has {tokenizer.codebook_size}; "
                "load the pair that was trained together"
            )
        self.tokenizer = tokenizer.eval()
        self.transformer = transformer.eval()
        self.card = card or ModelCard("unnamed", "local", "", tokenizer.config, transformer.config, None)
        self._text_encoder = text_encoder
        self._release = release_text_encoder

    @property
    def device(self) -> torch.device:
        """Where the transformer is."""
        return self.transformer.llama_proj.weight.device

    @property
    def fps(self) -> float:
        """Frames a second of the motions: 20, or KIT-ML's 12.5."""
        return KIT_FPS if self.tokenizer.config.features == KIT_FEATURES else FPS

    @property
    def text_encoder(self) -> TextEncoder:
        """The encoder prompts go through. ValueError where the model's is not known."""
        if self._text_encoder is None:
            if self.card.text_encoder is None:
                raise ValueError("this model's text encoder is not known; give embedding= or load(text_encoder=)")
            self._text_encoder = load_text_encoder(self.card.text_encoder)
        return self._text_encoder

    def generate(
        self,
        prompt: str | Prompt | None = None,
        *,
        seconds: float | None = None,
        seed: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        embedding: ArrayLike | Tensor | None = None,
        start: ArrayLike | Tensor | None = None,
        on_token: Callable[[int], None] | None = None,
    ) -> Generation:
        """One motion for one prompt, or for a ready text embedding float [L, D] in its place.

        seconds: exactly this length, to a fifth of a second; None: until the model ends it, at most `max_tokens`.
        temperature, top_k, top_p: None takes the model's own (see Sampling). start: tokens int [k] that the motion
        begins with; they count in its length. With another prompt's tokens it is a continuation, with the first k of
        its own and the same seed it becomes the same motion again, with one of them replaced a branch of it.
        on_token(count) is called after every new token and may raise to stop. ValueError for input that cannot be
        meant.
        """
        stream = self.stream(
            prompt,
            seconds=seconds,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            max_tokens=max_tokens,
            embedding=embedding,
            start=start,
        )
        return _run(stream, on_token)

    def generate_batch(
        self,
        prompts: Sequence[str | Prompt],
        *,
        seconds: float | None = None,
        seed: int | Sequence[int] | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        start: ArrayLike | Tensor | None = None,
        on_token: Callable[[int], None] | None = None,
    ) -> list[Generation]:
        """One motion per prompt, in one pass. `seed` is one for all rows, or one per row for samples that differ.

        Every row, begun with the one `start`, is what it would be alone; the time of each is that of the batch.
        """
        stream = self.stream_batch(
            prompts,
            seconds=seconds,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            max_tokens=max_tokens,
            start=start,
        )
        return _run(stream, on_token)

    def stream_batch(
        self,
        prompts: Sequence[str | Prompt],
        *,
        seconds: float | None = None,
        seed: int | Sequence[int] | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        embedding: ArrayLike | Tensor | None = None,
        start: ArrayLike | Tensor | None = None,
    ) -> collections.abc.Generator[int, None, list[Generation]]:
        """`generate_batch` token by token, as `stream` is to `generate`. An embedding [L, D] is read by every row."""
        sampling = self._sampling(None, temperature, top_k, top_p)
        rows = [_as_prompt(prompt, seconds) for prompt in prompts]
        seeds = list(seed) if isinstance(seed, Sequence) else [seed] * len(rows)
        if not rows or len(seeds) != len(rows):
            raise ValueError(f"{len(rows)} prompts and {len(seeds)} seeds; give a prompt or more and one seed each")
        samplings = [replace(sampling, seed=one).resolved() for one in seeds]
        ready = None if embedding is None else self._checked_embedding(embedding)
        return self._stream(rows, samplings, max_tokens, ready, start)

    def stream(
        self,
        prompt: str | Prompt | None = None,
        *,
        seconds: float | None = None,
        seed: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        embedding: ArrayLike | Tensor | None = None,
        start: ArrayLike | Tensor | None = None,
    ) -> collections.abc.Generator[int, None, Generation]:
        """`generate` token by token: yields the number of tokens so far, and returns the Generation (`yield from`).

        Arguments are checked at once, before the first token is asked for. Close it to stop.
        """
        sampling = self._sampling(seed, temperature, top_k, top_p).resolved()
        if prompt is None and embedding is None:
            raise ValueError('there is no prompt; say what should happen, e.g. "a person walks forward"')
        rows = [_as_prompt(prompt, seconds)]
        ready = None if embedding is None else self._checked_embedding(embedding)
        return _single(self._stream(rows, [sampling], max_tokens, ready, start))

    def timeline(
        self,
        prompts: Sequence[Prompt],
        *,
        seed: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        context: float = DEFAULT_CONTEXT,
        on_token: Callable[[int], None] | None = None,
    ) -> Timeline:
        """One motion in which prompts follow each other, each for its seconds (which it must have).

        Every prompt starts from the last `context` seconds of the motion so far, or from what of them fits into the
        positions the model knows; the more, the smoother it goes on, and the longer the old action lingers. All tokens
        are decoded at once, so that no join shows a seam. Token i of the whole has the seed's i-th random number: a
        change to one prompt leaves all before it as they are. Options and errors as of `generate`.
        """
        stream = self.stream_timeline(
            prompts, seed=seed, temperature=temperature, top_k=top_k, top_p=top_p, context=context
        )
        return _run(stream, on_token)

    def stream_timeline(
        self,
        prompts: Sequence[Prompt],
        *,
        seed: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        context: float = DEFAULT_CONTEXT,
    ) -> collections.abc.Generator[int, None, Timeline]:
        """`timeline` token by token, as `stream` is to `generate`."""
        sampling = self._sampling(seed, temperature, top_k, top_p).resolved()
        if not prompts:
            raise ValueError("the timeline is empty; give a prompt or more, each with its seconds")
        for prompt in prompts:
            if prompt.text is None or prompt.seconds is None:
                raise ValueError(f"the prompt {prompt.text!r} lacks its words or its length; a timeline needs both")
        if not (_is_number(context) and context >= 0):
            raise ValueError(f"context {context} makes no sense; give 0 seconds or more")
        return self._timeline(tuple(prompts), sampling, self._tokens_in(context))

    def _timeline(
        self, prompts: tuple[Prompt, ...], sampling: Sampling, context: int
    ) -> collections.abc.Generator[int, None, Timeline]:
        begun = time.perf_counter()
        lengths = tuple(max(1, self._tokens_in(prompt.seconds or 0)) for prompt in prompts)
        tokens: list[int] = []
        traces: list[Trace] = []
        for length, text_ld, mask_l in zip(lengths, *self._prefix(list(prompts), None), strict=True):
            free = max(0, self.transformer.config.max_positions - int(mask_l.sum()) - length)
            known = min(context, free, len(tokens))  # tokens to start from
            before = len(tokens) - known
            row = _Row(sampling, True, known + length, tokens[before:], before)
            trace_bn = yield from self._predict([row], text_ld[mask_l][None], mask_l[mask_l][None])
            traces.append(_of_row(trace_bn, 0, slice(known, None)))
            tokens += row.tokens[known:]
        ids = np.array(tokens, dtype=np.int64)
        motion = Motion(self.tokenizer.decode(ids), self.fps)
        trace = Trace(*map(np.concatenate, zip(*traces, strict=True)))
        took = time.perf_counter() - begun
        return Timeline(prompts, lengths, sampling, ids, motion, self.card, took, trace)

    def _sampling(
        self, seed: int | None, temperature: float | None, top_k: int | None, top_p: float | None
    ) -> Sampling:
        given = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        chosen = {name: value for name, value in given.items() if value is not None}
        return Sampling(seed=seed, **{**self.card.sampling, **chosen})

    def _stream(
        self,
        prompts: list[Prompt],
        samplings: list[Sampling],
        max_tokens: int,
        embedding: Tensor | None,
        start: ArrayLike | Tensor | None,
    ) -> collections.abc.Generator[int, None, list[Generation]]:
        max_tokens = _checked_integer("max_tokens", max_tokens, 1)
        begin = self._checked_start(start)
        rows = []
        for prompt, sampling in zip(prompts, samplings, strict=True):
            exact = prompt.seconds is not None
            limit = max_tokens if prompt.seconds is None else max(1, self._tokens_in(prompt.seconds))
            if len(begin) > limit:
                raise ValueError(
                    f"the start has {len(begin)} tokens and the motion shall have {limit} at most; keep fewer of them, "
                    "or ask for more seconds"
                )
            rows.append(_Row(sampling, exact, limit, begin))
        return self._steps(prompts, rows, embedding)

    def _steps(
        self, prompts: list[Prompt], rows: list[_Row], embedding: Tensor | None
    ) -> collections.abc.Generator[int, None, list[Generation]]:
        begun = time.perf_counter()
        trace_bn = yield from self._predict(rows, *self._prefix(prompts, embedding))
        tokens = [np.array(row.tokens, dtype=np.int64) for row in rows]
        motions = [Motion(self.tokenizer.decode(ids), self.fps) for ids in tokens]
        traces = [_of_row(trace_bn, b, slice(len(ids))) for b, ids in enumerate(tokens)]
        took = time.perf_counter() - begun
        return [
            Generation(prompt, row.sampling, ids, motion, self.card, took, trace)
            for prompt, row, ids, motion, trace in zip(prompts, rows, tokens, motions, traces, strict=True)
        ]

    def _predict(
        self, rows: list[_Row], text_bld: Tensor, mask_bl: Tensor
    ) -> collections.abc.Generator[int, None, list[Tensor]]:
        """Fill the rows, whose starts are equally long. Returns the parts of their Trace, each [b, n, ...]."""
        limit, config = max(row.limit for row in rows), self.transformer.config
        positions = mask_bl.shape[1] + limit
        if positions > config.max_positions:
            warnings.warn(
                f"text and motion may take {positions} positions and this model never saw more than "
                f"{config.max_positions}: what comes late may look odd",
                stacklevel=2,
            )
        start_bn = torch.tensor([row.tokens for row in rows], dtype=torch.long, device=self.device)
        logits_bnv, cache = self.transformer.prefill(text_bld, mask_bl, limit, start_bn)
        step = stepper(self.transformer, cache)
        traces = [_trace(logits_bnv[:, :-1, : config.end_id], start_bn)]
        logits_bv = logits_bnv[:, -1]
        count = start_bn.shape[1]
        seen: list[tuple[Tensor, Tensor]] = []  # logits and tokens whose trace is yet to be worked out, many at once
        while not all(row.done for row in rows):
            values = logits_bv.cpu().numpy()
            chosen = [row.choose(logits_v, config.end_id) for row, logits_v in zip(rows, values, strict=True)]
            chosen_b = torch.tensor(chosen, device=self.device)
            seen.append((logits_bv, chosen_b))
            if len(seen) * logits_bv.numel() > _UNTRACED:
                traces.append(_trace_of_all(seen, config.end_id))
                seen = []
            count += 1
            yield rows[0].before + count
            if not all(row.done for row in rows):
                logits_bv = step(chosen_b)
        if seen:
            traces.append(_trace_of_all(seen, config.end_id))
        return [torch.cat(parts, dim=1) for parts in zip(*traces, strict=True)]

    def _prefix(self, prompts: list[Prompt], embedding: Tensor | None) -> tuple[Tensor, Tensor]:
        if embedding is not None:
            mask_bl = torch.ones(len(prompts), len(embedding), dtype=torch.bool, device=self.device)
            return embedding.to(self.device).expand(len(prompts), -1, -1), mask_bl
        encoder = self.text_encoder
        text_bld, mask_bl = encoder.encode([prompt.text or "" for prompt in prompts])
        if self._release:
            encoder.release()
        self._check_width(text_bld.shape[-1])
        if mask_bl.shape[1] >= MAX_WORD_PIECES and any(len(p.text or "") > MAX_WORD_PIECES for p in prompts):
            warnings.warn(f"a prompt reaches {MAX_WORD_PIECES} word pieces; what comes after is not read", stacklevel=2)
        return text_bld.to(self.device), mask_bl.to(self.device)

    def _checked_embedding(self, embedding: ArrayLike | Tensor) -> Tensor:
        ready = embedding if isinstance(embedding, Tensor) else torch.as_tensor(np.array(embedding, dtype=np.float32))
        if ready.ndim != 2 or len(ready) == 0:
            raise ValueError(f"the embedding has shape {list(ready.shape)}; give one vector per word piece, [L, D]")
        self._check_width(ready.shape[1])
        if not torch.isfinite(ready).all():
            raise ValueError("the embedding holds NaN or infinite values; compute it again")
        if len(ready) > MAX_WORD_PIECES:
            warnings.warn(f"of {len(ready)} embedding vectors only {MAX_WORD_PIECES} are read", stacklevel=2)
        return ready[:MAX_WORD_PIECES]

    def _checked_start(self, start: ArrayLike | Tensor | None) -> list[int]:
        ids = np.asarray([] if start is None else start.cpu() if isinstance(start, Tensor) else start)
        if ids.ndim != 1 or (len(ids) and not np.issubdtype(ids.dtype, np.integer)):
            raise ValueError(f"the start has shape {list(ids.shape)} and type {ids.dtype}; give integers [k]")
        codes = self.tokenizer.codebook_size
        strange = ids[(ids < 0) | (ids >= codes)]
        if len(strange):
            raise ValueError(f"token {strange[0]} of the start is no code; this model's are 0 to {codes - 1}")
        return [int(token) for token in ids]

    def _check_width(self, width: int) -> None:
        wanted = self.transformer.config.text_width
        if width != wanted:
            raise ValueError(
                f"the text embedding is {width} wide and this model reads {wanted}; "
                f"use its own text encoder ({self.card.text_encoder or 'not recorded'})"
            )

    def _tokens_in(self, seconds: float) -> int:
        return round(seconds * self.fps / self.tokenizer.frames_per_token)


class _Row:
    """One motion in the making: its tokens, its random numbers and when it is over.

    It begins with `start`, in front of which a longer motion may have `before` tokens; `limit` counts from the start.
    """

    def __init__(self, sampling: Sampling, exact: bool, limit: int, start: Sequence[int] = (), before: int = 0) -> None:
        assert sampling.seed is not None
        self.sampling = sampling
        self.exact = exact
        self.limit = limit
        self.before = before
        self.tokens = list(start)
        self.done = len(self.tokens) == limit
        numbers = np.random.PCG64(sampling.seed)  # one of its numbers makes one uniform float
        self._random = np.random.Generator(numbers.advance(before + len(self.tokens)))

    def choose(self, logits_v: NDArray[np.floating], end_id: int) -> int:
        """Draw the next token from logits [v] and keep it; a row that is over only fills its place."""
        if self.done:
            return 0
        # The padding id, where a tied head has one, is never a choice; the end is none while the length is not reached.
        token = draw(logits_v[: end_id + (0 if self.exact else 1)], self.sampling, self._random.random())
        if token == end_id:
            self.done = True
            if self.tokens:
                return 0
            token = 1  # the reference's answer to an end at once
        self.tokens.append(token)
        self.done = self.done or len(self.tokens) == self.limit
        return token


def _trace(logits_bnv: Tensor, tokens_bn: Tensor) -> tuple[Tensor, ...]:
    """The parts of a Trace [b, n, ...] of tokens that were drawn from logits over the codes; on their device."""
    share_bnv = logits_bnv.softmax(-1)
    top = share_bnv.topk(min(ALTERNATIVES, share_bnv.shape[-1]), -1)
    entropy_bn = torch.special.entr(share_bnv).sum(-1)
    return share_bnv.gather(-1, tokens_bn[..., None])[..., 0], entropy_bn, top.indices, top.values


def _trace_of_all(seen: list[tuple[Tensor, Tensor]], codes: int) -> tuple[Tensor, ...]:
    logits_nbv, tokens_nb = (torch.stack(parts) for parts in zip(*seen, strict=True))
    return _trace(logits_nbv.transpose(0, 1)[..., :codes], tokens_nb.T)


def _of_row(trace_bn: list[Tensor], b: int, tokens: slice) -> Trace:
    return Trace(*(part[b, tokens].cpu().numpy() for part in trace_bn))


def draw(logits_v: NDArray[np.floating], sampling: Sampling, uniform: float) -> int:
    """The token that `uniform` in [0, 1) picks from logits [v]: the inverse of their distribution's sum.

    In float64, so that rounding noise of a device or a batch moves the choice as rarely as can be.
    """
    if sampling.temperature == 0:
        return int(np.argmax(logits_v))
    with np.errstate(over="ignore"):  # a tiny temperature may send all but the likeliest to -infinity, as it should
        scaled = (logits_v.astype(np.float64) - logits_v.max()) / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < len(scaled):
        scaled = np.where(scaled >= np.partition(scaled, -sampling.top_k)[-sampling.top_k], scaled, -np.inf)
    weight = np.exp(scaled)
    if sampling.top_p is not None:
        order = np.argsort(-weight, kind="stable")
        share = np.cumsum(weight[order])
        weight[order[np.searchsorted(share, sampling.top_p * share[-1]) + 1 :]] = 0.0
    total = np.cumsum(weight)
    token = np.searchsorted(total, uniform * total[-1], side="right")
    return int(min(token, np.searchsorted(total, total[-1])))  # the product may round up to the total itself


def _single(
    stream: collections.abc.Generator[int, None, list[Generation]],
) -> collections.abc.Generator[int, None, Generation]:
    generations = yield from stream
    return generations[0]


def _run(stream: collections.abc.Generator[int, None, _T], on_token: Callable[[int], None] | None) -> _T:
    while True:
        try:
            count = next(stream)
        except StopIteration as stop:
            return stop.value
        if on_token is not None:
            on_token(count)


def _as_prompt(prompt: str | Prompt | None, seconds: float | None) -> Prompt:
    if isinstance(prompt, Prompt):
        return prompt if seconds is None else replace(prompt, seconds=seconds)
    return Prompt(prompt, seconds)


def _checked_text(text: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise ValueError('the prompt is empty; say what should happen, e.g. "a person walks forward"')
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"the prompt has {len(text):,} characters; shorten it to {MAX_CHARACTERS:,} or fewer")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("the prompt holds half a character (a lone surrogate); type it again") from error
    return text.strip()


def _checked_seconds(seconds: float) -> float:
    if not _is_number(seconds) or not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"a motion cannot last {seconds} seconds; give more than 0 and up to {MAX_SECONDS:g}")
    return float(seconds)


def _checked_integer(name: str, value: int, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ValueError(f"{name} {value!r} makes no sense; give a whole number from {least} up")
    return number


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)
