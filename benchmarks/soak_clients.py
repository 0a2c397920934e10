"""The clients of a soak: what each asks of the page, and whether the answer is the one to its own question."""

from __future__ import annotations

import contextlib
import io
import json
import random
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from benchmarks import soak_answers as answers
from benchmarks.soak_answers import CODEBOOK, FORMATS, KEPT, PROMPTS, SECONDS, SEEDS, TEMPERATURE, Answers, Question

TIMEOUT = 120.0  # seconds that a client waits for anything
REFUSALS = (
    "This page is busy: too many requests wait already. Try again in a few seconds.",
    "This page can store no more files now. Try again in some minutes.",
    "Queue is full! Please try again.",  # what gradio_client says instead of the first
)
"""The words of docs/programs.md."""
_HALF = 1_000_000  # bytes of an upload that is cut off
_FILE = {"meta": {"_type": "gradio.FileData"}}


class Refused(Exception):
    """The page said that it is busy, in its own words."""


class Mixed(Exception):
    """An answer is not the one to the question."""


class Unexpected(Exception):
    """An answer that the documentation does not know."""


class Client:
    """One of many. Every method of KINDS asks something and checks the answer: raises Refused, Mixed or Unexpected."""

    def __init__(
        self, address: str, expected: Answers, functions: dict[str, int], seed: int, http: httpx.Client | None = None
    ) -> None:
        """functions: the page's functions by name, from `functions_of`. http: what sends the requests."""
        self._address, self._expected, self._functions = address.rstrip("/"), expected, functions
        self._draw = random.Random(seed)
        self._api = f"{self._address}/gradio_api"
        # Connections that rest are let go before the page does it, whose end may cross a request.
        limits = httpx.Limits(keepalive_expiry=2)
        self._http = http or httpx.Client(timeout=TIMEOUT, trust_env=False, limits=limits)
        self._gradio: Any = None

    def close(self) -> None:
        """Let all connections go."""
        self._http.close()

    def open(self) -> None:
        """GET / as a browser does."""
        answer = self._http.get(f"{self._address}/")
        if answer.status_code != 200 or "ScaMo" not in answer.text:
            raise Unexpected(f"GET / gave {answer.status_code}")

    def models(self) -> None:
        """The endpoint /models, which is never refused."""
        (listed,) = self._call("models", [])
        found = [row["size"] for row in listed if row["codebook"] == CODEBOOK]
        if found != self._expected.sizes:
            raise Mixed(f"/models lists {found}")

    def generate(self) -> None:
        """The endpoint /generate without a video, and its file now and then."""
        question = self._draw.choice(self._expected.questions)
        _, features, joints, recipe = self._call("generate", [*self._fields(question), False])
        self._check_recipe(question, recipe)
        if self._draw.random() < 0.25:
            made = np.load(io.BytesIO(self._file(joints)))
            if made.shape != (len(recipe["tokens"]) * 4, 22, 3) or not features["url"]:
                raise Mixed(f"joints {made.shape} for {len(recipe['tokens'])} tokens")

    def video(self) -> None:
        """The same with a video, whose recipe is looked into."""
        from scamo.io.recipe import read_recipe

        question = self._draw.choice(self._expected.questions)
        film, _, _, recipe = self._call("generate", [*self._fields(question), True])
        self._check_recipe(question, recipe)
        path = Path(f"/tmp/scamo-soak-{secrets.token_hex(8)}.mp4")
        path.write_bytes(self._file(film.get("video", film)))
        try:
            if list(read_recipe(path).tokens) != recipe["tokens"]:
                raise Mixed("a video of another motion")
        finally:
            path.unlink()

    def python(self) -> None:
        """The same through gradio_client."""
        from gradio_client import Client as GradioClient
        from gradio_client.exceptions import AppError
        from gradio_client.utils import QueueError

        question = self._draw.choice(self._expected.questions)
        fields = dict(zip(("prompt", "codebook", "size", "seconds", "seed", "temperature"), self._fields(question),
                          strict=True))  # fmt: skip
        try:
            if self._gradio is None:
                self._gradio = GradioClient(
                    self._address, verbose=False, download_files=False, httpx_kwargs={"timeout": TIMEOUT}
                )
            recipe = self._gradio.predict(**fields, video=False, api_name="/generate")[3]
        except (AppError, QueueError, ValueError) as error:
            raise _refusal(str(error)) from error
        self._check_recipe(question, recipe)

    def reconstruct(self) -> None:
        """An upload, and the endpoint /reconstruct."""
        number = self._draw.randrange(len(self._expected.files))
        report, *_ = self._call("reconstruct", [self._upload(number), CODEBOOK, None, None, None, None])
        wanted = self._expected.reports[number]
        if report["tokens"] != wanted["tokens"] or abs(report["mpjpe_mm"] - wanted["mpjpe_mm"]) > 0.01:
            raise Mixed(f"the report of another file than {number}")

    def export(self) -> None:
        """An upload, and the endpoint /export."""
        number, format = self._draw.randrange(len(self._expected.files)), self._draw.choice(FORMATS)
        fields = [self._upload(number), format, None, None, None, False, False, False, None, None, None, None]
        files, _ = self._call("export", fields)
        if self._file(files[0]) != self._expected.exports[number, format]:
            raise Mixed(f"{format} of another file than {number}")

    def compare(self) -> None:
        """A click of the page: one prompt for several sizes, whose figures are looked at."""
        prompt, seed = self._draw.choice(PROMPTS), self._draw.choice(SEEDS)
        sizes = self._draw.sample(self._expected.sizes, self._draw.choice([2, 3]))
        keys = [[CODEBOOK, size] for size in sizes]
        with self._visit() as session:
            shown = self._click("_generate", [seed, prompt, keys, SECONDS, False, TEMPERATURE, 0, 1], session)
        found = {figure["label"]: answers.unpacked(figure) for figure in _figures(shown)}
        if sorted(found) != sorted(sizes):
            raise Mixed(f"figures of {sorted(found)} instead of {sorted(sizes)}")
        for size in sizes:
            if not answers.is_same(found[size], self._expected.places[Question(prompt, seed, size)]):
                raise Mixed(f"the figure of another request for {size}")

    def story(self) -> None:
        """Two clicks of one visit: prompts after each other, then a continuation."""
        (seed, size), wanted = self._draw.choice(list(self._expected.stories.items()))
        parts: list[Any] = []
        for text in (*answers.parts_of(seed), "", "", ""):
            parts += [text, SECONDS]
        with self._visit() as session:
            first = self._click("_generate_1", [CODEBOOK, size, TEMPERATURE, 0, seed, *parts], session)
            last = self._click("_continue", [None, KEPT, PROMPTS[2], SECONDS, TEMPERATURE, 0, seed], session)
        for shown, places in zip((first, last), wanted, strict=True):
            if not answers.is_same(answers.unpacked(_figures(shown)[-1]), places):
                raise Mixed("the story of another request")

    def leave(self) -> None:
        """A click or a request whose sender goes away before it is answered."""
        question = self._draw.choice(self._expected.questions)
        deadline = time.monotonic() + self._draw.uniform(0, 1)
        if self._draw.random() < 0.5:
            stream = self._events(f"call/generate/{self._begin('call/generate', [*self._fields(question), False])}")
        else:
            session = secrets.token_hex(6)
            fields = [question.seed, question.prompt, [[CODEBOOK, question.size]], SECONDS, False, TEMPERATURE, 0, 1]
            self._join("_generate", fields, session)
            stream = self._events(f"queue/data?session_hash={session}")
        with contextlib.closing(stream):
            for _ in stream:
                if time.monotonic() > deadline:
                    break

    def half(self) -> None:
        """An upload that is cut off in its middle."""
        place = urlsplit(self._address)
        head = (
            f"POST /gradio_api/upload HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {3 * _HALF}\r\n"
            "Content-Type: multipart/form-data; boundary=cut\r\n\r\n--cut\r\n"
            'Content-Disposition: form-data; name="files"; filename="cut.npy"\r\n\r\n'
        )
        with contextlib.suppress(ConnectionError), socket.create_connection((place.hostname, place.port), 20) as line:
            line.sendall(head.encode() + bytes(_HALF))

    def _fields(self, question: Question) -> list[Any]:
        return [question.prompt, CODEBOOK, question.size, SECONDS, question.seed, TEMPERATURE]

    def _check_recipe(self, question: Question, recipe: dict[str, Any]) -> None:
        found = (recipe["prompt"], recipe["seed"], recipe["size"], recipe["tokens"])
        size = question.size.split(" ")[0]  # a label may have the model's family behind its size
        if found != (question.prompt, question.seed, size, self._expected.tokens[question]):
            raise Mixed(f"{question} was answered with {found}")

    def _call(self, name: str, data: list[Any]) -> list[Any]:
        """An endpoint's answer over plain HTTP."""
        event = self._begin(f"call/{name}", data)
        for kind, said in self._events(f"call/{name}/{event}"):
            if kind == "complete":
                return said
            if kind == "error":
                raise _refusal(said.get("error") if isinstance(said, dict) else said)
        raise Unexpected(f"/{name} ended without an answer")

    def _begin(self, route: str, data: list[Any], **more: Any) -> str:
        answer = self._http.post(f"{self._api}/{route}", json={"data": data, **more})
        if answer.status_code == 503:
            raise _refusal(answer.json().get("detail"))
        if answer.status_code != 200:
            raise Unexpected(f"{route} gave {answer.status_code}: {answer.text[:200]}")
        return answer.json()["event_id"]

    def _events(self, route: str) -> Iterator[tuple[str, Any]]:
        """The events of a stream: their kind, "" where none is named, and their data."""
        kind = ""
        with self._http.stream("GET", f"{self._api}/{route}") as answer:
            for line in answer.iter_lines():
                name, _, rest = line.partition(":")
                if name == "event":
                    kind = rest.strip()
                elif name == "data":
                    yield kind, json.loads(rest)

    def _file(self, record: dict[str, Any]) -> bytes:
        answer = self._http.get(record["url"])
        if answer.status_code != 200:
            raise Unexpected(f"a file gave {answer.status_code}")
        return answer.content

    def _upload(self, number: int) -> dict[str, Any]:
        files = {"files": (f"take-{number}.npy", self._expected.files[number])}
        answer = self._http.post(f"{self._api}/upload", files=files)
        if answer.status_code != 200:
            raise _refusal(answer.text)
        return {"path": answer.json()[0], **_FILE}

    @contextlib.contextmanager
    def _visit(self) -> Iterator[str]:
        """A visit of the page: its name, while its heart beats as in a browser."""
        session = secrets.token_hex(6)
        with self._http.stream("GET", f"{self._api}/heartbeat/{session}"):
            yield session

    def _join(self, function: str, data: list[Any], session: str) -> str:
        more = {"fn_index": self._functions[function], "session_hash": session, "trigger_id": None, "event_data": None}
        return self._begin("queue/join", data, **more)

    def _click(self, function: str, data: list[Any], session: str) -> list[Any]:
        """All values that a click gave for its outputs, one list an output."""
        from gradio_client.utils import apply_diff

        event = self._join(function, data, session)
        now: list[Any] = []
        given: list[list[Any]] = []
        for _, message in self._events(f"queue/data?session_hash={session}"):
            if message.get("event_id") not in (None, event):
                raise Mixed("an event of another click")
            kind, output = message["msg"], message.get("output") or {}
            if kind == "process_completed" and not message["success"]:
                raise _refusal(output.get("error"))
            if kind in ("process_generating", "process_completed") and "data" in output:
                is_change = kind == "process_generating" and bool(now)
                new = output["data"]
                now = [apply_diff(old, one) for old, one in zip(now, new, strict=True)] if is_change else list(new)
                given.append(now)
            if kind == "process_completed":
                return [value for values in given for value in values]
            if kind in ("unexpected_error", "close_stream"):
                break
        raise Unexpected(f"the click {function} ended without an answer")


KINDS = {
    "open": 20, "models": 10, "generate": 20, "video": 3, "python": 8, "reconstruct": 10, "export": 10, "compare": 10,
    "story": 5, "leave": 6, "half": 4,
}  # fmt: skip
"""What clients do, and how often."""


def functions_of(address: str) -> dict[str, int]:
    """The page's functions by name, as its configuration lists them."""
    listed = httpx.get(f"{address.rstrip('/')}/config", timeout=TIMEOUT, trust_env=False).json()["dependencies"]
    return {row["api_name"]: row["id"] for row in listed if row.get("api_name")}


def _figures(values: list[Any]) -> list[dict[str, Any]]:
    """The figures of the last value of a player."""
    shown = [value for value in values if isinstance(value, dict) and value.get("figures")]
    if not shown:
        raise Unexpected("no figure was shown")
    return shown[-1]["figures"]


def _refusal(words: Any) -> Exception:
    """A refusal in the documented words, or what else was said."""
    said = str(words)
    return Refused(said) if any(known in said for known in REFUSALS) else Unexpected(said[:300])
