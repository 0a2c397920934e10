"""From a sentence to a motion: text encoder, engine, tokenizer.

pipeline = MotionPipeline.from_pretrained(codebook=1024, size="4M")
pipeline.generate("a person walks forward", seed=0, seconds=4).motion.save("walk.bvh")
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from scamo import registry
from scamo.device import Place, turn_on
from scamo.embeddings import check_known, check_width
from scamo.engine import IN_VIEW, Engine, LocalEngine, SampledTokens, TokenRequest, Trace, checked_start
from scamo.io.recipe import Recipe
from scamo.motion import Motion
from scamo.options import GenerationOptions, OptionFields, Prompt, checked_integer, listed_prompts
from scamo.placement import choose_place
from scamo.prompt_notes import batch_notes, prompt_notes
from scamo.registry import ModelCard
from scamo.stream import Clock, Counts, Stream
from scamo.text import (
    MAX_WORD_PIECES,
    TextEncoder,
    checked_embedding,
    encoder_beside,
    facts_of,
    understood,
)
from scamo.timeline import Part, read_after
from scamo.tokenizer import MotionTokenizer
from scamo.transformer import PrefixTransformer

if TYPE_CHECKING:
    from typing_extensions import Unpack
T = TypeVar("T")


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare
class Generation:
    """A motion and everything needed to make it again.

    prompts: one, or those of a timeline in turn. lengths: tokens of each prompt. options: with the definite seed and
    temperature. tokens: int64 [n]. elapsed: seconds of computing, without what the caller did between two tokens.
    place: where and in which type. notes: what of the prompts was not read, understood or kept to the letter.
    """

    prompts: tuple[Prompt, ...]
    lengths: tuple[int, ...]
    options: GenerationOptions
    tokens: NDArray[np.int64]
    motion: Motion
    trace: Trace
    card: ModelCard
    elapsed: float
    place: Place
    notes: tuple[str, ...] = ()

    @property
    def recipe(self) -> Recipe:
        """What was asked of which model, and the tokens; it goes into the files of the motion."""
        card = self.card
        return Recipe(
            model=card.name, codebook=card.codebook, size=card.size, prompts=self.prompts, options=self.options,
            tokens=tuple(int(token) for token in self.tokens), model_sha256=card.sha256, computed_on=str(self.place),
            notes=self.notes,
        )  # fmt: skip


class MotionPipeline:
    """A tokenizer and a transformer that belong together, and the text encoder they were trained with.

    engine: what samples the tokens; by default the transformer in this process. The text encoder is loaded by the first
    prompt that needs it; give one to share it between models. With `release_text_encoder` its memory is freed after
    each use. A pipeline holds no state of a generation: threads may share it, and on a GPU they take turns. when_full
    is called where the device's memory runs out, before DeviceFull (a ValueError) is raised.
    """

    def __init__(
        self,
        tokenizer: MotionTokenizer,
        transformer: PrefixTransformer,
        card: ModelCard | None = None,
        text_encoder: TextEncoder | None = None,
        release_text_encoder: bool = False,
        engine: Engine | None = None,
        when_full: Callable[[], None] | None = None,
    ) -> None:
        codes = transformer.config.codebook_size
        if tokenizer.codebook_size != codes:
            raise ValueError(
                f"the transformer predicts {codes} codes and the tokenizer has {tokenizer.codebook_size}; "
                "load the pair that was trained together"
            )
        self.tokenizer = tokenizer.eval()
        self.transformer = transformer.eval()
        self.engine: Engine = engine or LocalEngine(transformer)
        self.card = card or ModelCard("unnamed", "local", "", tokenizer.config, transformer.config, None)
        self._text_encoder = text_encoder
        self._release = release_text_encoder
        self._when_full = when_full

    @classmethod
    def from_pretrained(
        cls,
        path_or_hub_id: str | os.PathLike[str] | ModelCard | None = None,
        *,
        codebook: int | str | None = None,
        size: str | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        text_encoder: TextEncoder | None = None,
        release_text_encoder: bool = False,
    ) -> MotionPipeline:
        """A model, ready to generate.

        What to load is a folder, a hub id ("owner/name" or "owner/name@commit"), a card from `scamo.models()`, or by
        name: a codebook (1024 or "1024") and a size ("4M"). Where several fit, the largest is taken. `device` is "cpu",
        "cuda", "cuda:1", "mps", or "auto": where this model is fastest. `dtype` is the type the transformer computes
        in; None means float32 on a CPU (bfloat16 if stored so), on a GPU bfloat16, or float16 where it lacks that. On a
        CPU float16 takes half the memory, and torch.int8 a quarter and half the time; some tokens differ then. What a
        seed promises where: `scamo/device.py`. A text encoder given takes the place of the model's own.
        Raises ValueError that lists the models or devices there are, or names the file that is missing or damaged.
        """
        card = registry.find_model(path_or_hub_id, codebook=codebook, size=size)
        device, dtype, why = choose_place(card.transformer, device, dtype)
        tokenizer, transformer = registry.load_networks(card, device=device, dtype=dtype)
        return cls(tokenizer, transformer, card, text_encoder, release_text_encoder, LocalEngine(transformer, why))

    @property
    def fps(self) -> float:
        """Frames a second of the motions."""
        return self.tokenizer.config.fps

    @property
    def text_encoder(self) -> TextEncoder:
        """The encoder prompts go through. Raises ValueError where the model's is not known."""
        if self._text_encoder is None:
            check_known(self._text_encoder, self.card.text_encoder, self.card.name)
            self._text_encoder = encoder_beside(self.card.text_encoder or "", self.tokenizer.mean.device)
        return self._text_encoder

    def encode_prompts(self, texts: Sequence[str]) -> None:
        """Encode prompts before they are needed, in turn on a GPU; the encoder keeps them."""
        with turn_on(self.tokenizer.mean.device).taken():
            self._encode(texts)

    def generate(
        self,
        prompt: str | Prompt | None = None,
        options: GenerationOptions | None = None,
        *,
        embedding: ArrayLike | Tensor | None = None,
        start: ArrayLike | Tensor | None = None,
        on_token: Callable[[int], None] | None = None,
        **fields: Unpack[OptionFields],
    ) -> Generation:
        """One motion for one prompt, or for a ready text embedding float [L, D] in its place.

        fields: those of GenerationOptions, such as seed=0, seconds=4. A length is kept to the nearest token. start:
        tokens int [k] that the motion begins with; they count in its length. With another prompt's tokens it is a
        continuation, with the first k of its own and the same seed it becomes the same motion again, with one of them
        replaced a branch of it. on_token(count) is called after every new token and may raise to stop.
        Raises ValueError for input that makes no sense.
        """
        return self.stream(prompt, options, embedding=embedding, start=start, **fields).finish(on_token)

    def stream(
        self,
        prompt: str | Prompt | None = None,
        options: GenerationOptions | None = None,
        *,
        embedding: ArrayLike | Tensor | None = None,
        start: ArrayLike | Tensor | None = None,
        **fields: Unpack[OptionFields],
    ) -> Stream[Generation]:
        """`generate` token by token. Arguments are checked at once, before the first token is asked for."""
        if prompt is None and embedding is None:
            raise ValueError('there is no prompt; say what should happen, e.g. "a person walks forward"')
        options = GenerationOptions.of(options, **fields)
        ready = self._given(embedding)
        rows = self._rows([prompt], [options], start)
        self._check_encoder(rows, ready)
        return Stream(_first(self._in_turn(self._sample(rows, ready))), max(row.request.limit for row in rows))

    def generate_batch(
        self,
        prompts: Sequence[str | Prompt],
        options: GenerationOptions | None = None,
        *,
        seeds: Sequence[int] | NDArray[np.integer] | None = None,
        embedding: ArrayLike | Tensor | None = None,
        start: ArrayLike | Tensor | None = None,
        on_token: Callable[[int], None] | None = None,
        **fields: Unpack[OptionFields],
    ) -> list[Generation]:
        """One motion per prompt, in one pass. seeds: one per prompt, for samples that differ; else all share `seed`.

        Every row is what it would be alone, but in bfloat16, where only the same batch gives the same rows again. An
        embedding [L, D] is read by every row, and all begin with `start`. Each one's elapsed time is the batch's.
        """
        stream = self.stream_batch(prompts, options, seeds=seeds, embedding=embedding, start=start, **fields)
        return stream.finish(on_token)

    def stream_batch(
        self,
        prompts: Sequence[str | Prompt],
        options: GenerationOptions | None = None,
        *,
        seeds: Sequence[int] | NDArray[np.integer] | None = None,
        embedding: ArrayLike | Tensor | None = None,
        start: ArrayLike | Tensor | None = None,
        **fields: Unpack[OptionFields],
    ) -> Stream[list[Generation]]:
        """`generate_batch` token by token, as `stream` is to `generate`."""
        options = GenerationOptions.of(options, **fields)
        prompts = listed_prompts(prompts, "a batch takes a list of prompts; use generate for one")
        if embedding is None and any(prompt is None for prompt in prompts):
            raise ValueError("a prompt of the batch is missing; say for each row what should happen")
        count = len(prompts)
        each = [options] * count
        if seeds is not None and np.ndim(seeds) != 1:
            raise ValueError(f"seeds {seeds!r} are no list; give one seed per prompt, or seed= for all")
        if seeds is not None:
            each = [replace(options, seed=checked_integer("seed", seed, 0)) for seed in seeds]
        if not count or len(each) != count:
            raise ValueError(f"{count} prompts and {len(each)} seeds; give a prompt or more and one seed each")
        ready = self._given(embedding)
        rows = self._rows(prompts, each, start)
        self._check_encoder(rows, ready)
        return Stream(self._in_turn(self._sample(rows, ready)), max(row.request.limit for row in rows))

    def timeline(
        self,
        prompts: Sequence[Prompt],
        options: GenerationOptions | None = None,
        *,
        on_token: Callable[[int], None] | None = None,
        **fields: Unpack[OptionFields],
    ) -> Generation:
        """One motion in which prompts follow each other, each for its own seconds (without: for `seconds`).

        Every prompt starts from the last `context` seconds of the motion so far, or from what of them fits into the
        positions the model knows; the more, the smoother it goes on, and the longer the old action lingers. How such a
        part is read: ``scamo.timeline.read_after``. All tokens are decoded at once, so that no join shows a seam. Token
        i of the whole has the seed's i-th random number: a change to one prompt leaves all before it as they are.
        Errors as of `generate`.
        """
        return self.stream_timeline(prompts, options, **fields).finish(on_token)

    def stream_timeline(
        self, prompts: Sequence[Prompt], options: GenerationOptions | None = None, **fields: Unpack[OptionFields]
    ) -> Stream[Generation]:
        """`timeline` token by token, as `stream` is to `generate`."""
        options = GenerationOptions.of(options, **fields).resolved(self.card.sampling)
        listed = listed_prompts(
            prompts, "a timeline takes a list of prompts; give a list of prompts, each with its seconds"
        )
        if not listed:
            raise ValueError("the timeline is empty; give a list of prompts, each with its seconds")
        parts = tuple(Prompt.of(prompt, None) for prompt in listed)
        parts = tuple(replace(part, seconds=part.seconds or options.seconds) for part in parts)
        for part in parts:
            if part.text is None or part.seconds is None:
                raise ValueError(f"the prompt {part.text!r} lacks its words or its length; a timeline needs both")
        lengths = tuple(self.tokenizer.config.tokens_in(part.seconds or 0) for part in parts)
        counts = self._sample_timeline(parts, lengths, replace(options, seconds=None))
        return Stream(self._in_turn(counts), sum(lengths))

    def _rows(
        self,
        prompts: Sequence[str | Prompt | None],
        options: Sequence[GenerationOptions],
        start: ArrayLike | Tensor | None,
    ) -> list[_Row]:
        ids = checked_start(start, self.tokenizer.codebook_size)
        rows = []
        for text, wanted in zip(prompts, options, strict=True):
            prompt = Prompt.of(text, wanted.seconds)
            chosen = replace(wanted.resolved(self.card.sampling), seconds=prompt.seconds)
            can_end = prompt.seconds is None
            limit = chosen.max_tokens if can_end else self.tokenizer.config.tokens_in(prompt.seconds or 0)
            if len(ids) > limit:
                raise ValueError(
                    f"the start has {len(ids)} tokens and the motion may have {limit} at most; keep fewer of them, "
                    "or ask for more seconds"
                )
            rows.append(_Row(prompt, chosen, TokenRequest.of(chosen, limit, can_end, ids)))
        return rows

    def _in_turn(self, counts: Counts[T]) -> Counts[T]:
        return turn_on(self.tokenizer.mean.device).around(counts, self.engine.place.dtype, self._when_full)

    def _sample(self, rows: list[_Row], embedding: Tensor | None) -> Counts[list[Generation]]:
        clock = Clock()
        is_guided = any(row.options.guidance != 1 for row in rows)
        text_bld, mask_bl, empty_ld = self._prefix([row.prompt for row in rows], embedding, is_guided)
        asked = [row.request for row in rows]
        sampled = yield from clock.around(self.engine.stream(asked, text_bld, mask_bl, empty_ld))
        motions = [Motion(self.tokenizer.decode(one.tokens), self.fps) for one in sampled]
        facts = self.card, clock.elapsed(), self.engine.place
        made = (Generation((row.prompt,), (len(ids),), row.options, ids, motion, trace, *facts)
                for row, (ids, trace), motion in zip(rows, sampled, motions, strict=True))  # fmt: skip
        return [self._noted(one, mask_bl[row : row + 1], embedding is None, len(rows)) for row, one in enumerate(made)]

    def _sample_timeline(
        self, prompts: tuple[Prompt, ...], lengths: tuple[int, ...], options: GenerationOptions
    ) -> Counts[Generation]:
        clock = Clock()
        context = self.tokenizer.config.tokens_in(options.context, least=0)
        text_bld, mask_bl, empty_ld = self._prefix(prompts, None, options.guidance != 1)
        told = understood(self._text_encoder, [prompt.text or "" for prompt in prompts], self._release)
        parts = [Part(text_ld[mask_l], read) for text_ld, mask_l, read in zip(text_bld, mask_bl, told, strict=True)]
        tokens: list[int] = []
        traces: list[Trace] = []
        for number, (length, own) in enumerate(zip(lengths, parts, strict=True)):
            free = max(0, min(IN_VIEW, self.engine.config.max_positions - len(own.text_ld)) - length)
            known = min(context, free, len(tokens))  # tokens to start from
            before = len(tokens) - known
            text_ld, away_ld, given = read_after(parts[number - 1] if known else None, own, empty_ld, options)
            request = TokenRequest.of(given, known + length, False, tokens[before:], before)
            steps = self.engine.stream([request], text_ld[None], torch.ones(1, len(text_ld), dtype=torch.bool), away_ld)
            sampled: list[SampledTokens] = yield from clock.around(steps)
            tokens += sampled[0].tokens[known:].tolist()
            traces.append(sampled[0].trace.after(known))
        ids = np.array(tokens, dtype=np.int64)
        motion = Motion(self.tokenizer.decode(ids), self.fps)
        facts = self.card, clock.elapsed(), self.engine.place
        made = Generation(prompts, lengths, options, ids, motion, Trace.joined(traces), *facts)
        return self._noted(made, mask_bl, are_read=True)

    def _noted(self, made: Generation, mask_bl: Tensor, are_read: bool, rows: int = 1) -> Generation:
        """The same with its notes; mask_bl tells the vectors of each prompt, are_read whether they are of its words."""
        encoder = self._text_encoder if are_read else None
        vectors = (mask_bl.sum(dim=1) * are_read).tolist()
        facts = [
            facts_of(encoder, prompt.text or "", count) for prompt, count in zip(made.prompts, vectors, strict=True)
        ]
        cut, read = zip(*facts, strict=True)
        notes = prompt_notes(made.prompts, made.lengths, self.tokenizer.config, cut, MAX_WORD_PIECES, read)
        return replace(made, notes=(*notes, *batch_notes(rows, made.place)))

    def _prefix(
        self, prompts: Sequence[Prompt], embedding: Tensor | None, is_guided: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the transformer reads: text float32 [b, l, d], its mask bool [b, l], and for guidance the empty text."""
        texts = [] if embedding is not None else [prompt.text or "" for prompt in prompts]
        encoded = self._encode([*texts, *([""] if is_guided else [])])
        empty_ld = encoded.pop() if is_guided else None
        rows = encoded if embedding is None else [embedding] * len(prompts)
        if any(facts_of(self._text_encoder, text, len(row)).is_cut for text, row in zip(texts, rows, strict=False)):
            warnings.warn(f"a prompt reaches {MAX_WORD_PIECES} word pieces; what comes after is not read", stacklevel=2)
        mask_bl = torch.arange(max(map(len, rows))) < torch.tensor([[len(row)] for row in rows])
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), mask_bl, empty_ld

    def _encode(self, texts: Sequence[str]) -> list[Tensor]:
        """One embedding float32 [l, d] per text, by one call of the encoder."""
        if not texts:
            return []
        encoder = self.text_encoder
        text_bld, mask_bl = encoder.encode(texts)
        if self._release:
            encoder.release()
        check_width(text_bld.shape[-1], self.engine.config.text_width, self.card.text_encoder)
        return [text_ld[mask_l] for text_ld, mask_l in zip(text_bld, mask_bl, strict=True)]

    def _check_encoder(self, rows: Sequence[_Row], embedding: Tensor | None) -> None:
        is_guided = any(row.options.guidance != 1 for row in rows)
        if embedding is None or is_guided:
            check_known(self._text_encoder, self.card.text_encoder, self.card.name, embedding is None)

    def _given(self, embedding: ArrayLike | Tensor | None) -> Tensor | None:
        """A ready embedding, checked; None where there is none."""
        if embedding is None:
            return None
        return checked_embedding(embedding, self.engine.config.text_width, self.card.text_encoder)


load = MotionPipeline.from_pretrained
"""A model, ready to generate; see MotionPipeline.from_pretrained."""


class _Row(NamedTuple):
    prompt: Prompt
    options: GenerationOptions
    request: TokenRequest


def _first(counts: Counts[list[Any]]) -> Counts[Any]:
    return (yield from counts)[0]
