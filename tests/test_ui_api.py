"""What programs get: the queue by itself, and the endpoints over real HTTP."""

from __future__ import annotations

import ast
import asyncio
import io
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gradio")

from scamo import registry
from scamo.io.write import export
from scamo.motion import Motion
from scamo.pipeline import Prompt
from scamo.ui import api as programs
from scamo.ui.model_pool import Studio
from tests.motions import walk


class Slow:
    """Answers with what it was asked, in the company it came in, once it is let go."""

    def __init__(self) -> None:
        self.go, self.begun = threading.Event(), threading.Event()
        self.batches: list[tuple[str, list[int]]] = []

    def __call__(self, kind: str, asked: list[int]) -> list[int]:
        self.batches.append((kind, list(asked)))
        self.begun.set()
        assert self.go.wait(60)
        if kind == "wrong":
            raise ValueError("no such model")
        return [-one for one in asked]


@pytest.fixture
def slow() -> Iterator[Slow]:
    one = Slow()
    yield one
    one.go.set()


def test_what_waits_for_one_kind_is_answered_together(slow):
    queue = programs.Batches(slow, most=3)
    first = queue.ask("a", 0)
    assert slow.begun.wait(60)  # from now on the others wait
    others = [queue.ask(kind, number) for number, kind in enumerate("abaaab", 1)]
    assert others[3].cancel()  # left before its turn
    slow.go.set()
    assert first.result(60) == 0
    assert [one.result(60) for one in others if not one.cancelled()] == [-1, -2, -3, -5, -6]
    assert slow.batches == [("a", [0]), ("a", [1, 3]), ("b", [2, 6]), ("a", [5])]


def test_a_fault_reaches_those_it_concerns(slow):
    queue = programs.Batches(slow)
    slow.go.set()
    with pytest.raises(ValueError, match="no such model"):
        queue.ask("wrong", 1).result(60)
    assert queue.ask("right", 1).result(60) == -1


def test_who_comes_too_late_is_told_so(slow, monkeypatch):
    monkeypatch.setattr(programs, "WAITING", 2)
    queue = programs.Batches(slow)
    queue.ask("a", 0)
    assert slow.begun.wait(60)
    assert [queue.ask("a", 1), queue.ask("b", 1)]
    with pytest.raises(ValueError, match="busy"):
        queue.ask("a", 2)


def test_a_batch_gives_each_what_it_gets_alone():
    studio = Studio()
    kind = (studio.card(1024, "1M"), 0.7)
    asked = [
        (Prompt("a person walks forward", 2.0), 3), (Prompt("an old man bows, then waves", 1.0), 3),
        (Prompt("a person runs", None), 5), (Prompt("a person walks forward", 2.0), 4),
    ]  # fmt: skip
    together = programs.generations(studio, kind, asked)
    alone = [programs.generations(studio, kind, [one])[0] for one in asked]
    assert [one.tokens.tolist() for one in together] == [one.tokens.tolist() for one in alone]
    assert together[0].tokens.tolist() != together[3].tokens.tolist()
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.motion.features, other.motion.features)


@pytest.fixture
def client(served, tmp_path):
    from gradio_client import Client

    return Client(served, download_files=str(tmp_path), verbose=False)


def test_three_endpoints_and_no_more_are_there(client):
    told = client.view_api(return_format="dict")
    assert sorted(told["named_endpoints"]) == ["/generate", "/models", "/reconstruct"]
    assert told["unnamed_endpoints"] == {}
    parameters = {one["parameter_name"]: one for one in told["named_endpoints"]["/generate"]["parameters"]}
    assert list(parameters) == ["prompt", "codebook", "size", "seconds", "seed", "temperature", "video"]
    assert "256" in parameters["codebook"]["python_type"]["type"]
    assert parameters["video"]["python_type"]["type"] == "bool"


def test_programs_generate(client):
    cells = client.predict(api_name="/models")
    assert {"codebook": 256, "size": "0.3M"}.items() <= cells[0].items()
    video, features, joints, recipe = client.predict("a person walks", 256, "0.3M", 1.0, 3, 1.0, api_name="/generate")
    assert np.load(features).shape == (20, 263)
    assert np.load(joints).shape == (20, 22, 3)
    assert Path(video["video"] if isinstance(video, dict) else video).stat().st_size > 1000
    assert recipe["seed"] == 3
    for wrong, words in (({"prompt": "x" * 10_000}, "10,000"), ({"seconds": 99}, "1 to 10"), ({"size": "9T"}, "9T")):
        with pytest.raises(Exception, match=words):
            client.predict(**{"prompt": "a person walks", "codebook": 256, **wrong}, api_name="/generate")


def test_programs_reconstruct(client, tmp_path):
    from gradio_client import handle_file

    truth = Motion.from_joints(walk(61))
    export(truth, "npy,bvh", tmp_path, "walk")
    tokenizer = registry.load_tokenizer(registry.BUNDLED / "tokenizer-1024")
    for name in ("walk_features.npy", "walk_joints.npy", "walk.bvh"):
        report, features, joints = client.predict(handle_file(tmp_path / name), 1024, api_name="/reconstruct")
        frames = report["frames"]
        assert frames in (56, 60)  # joints give one frame less: the velocities take it
        assert len(report["tokens"]) == frames // 4
        back = np.load(joints)
        assert back.shape == (frames, 22, 3)
        gap = (back - back[:, :1]) - (truth.joints - truth.joints[:, :1])[:frames]
        if name == "walk_features.npy":
            assert report["tokens"] == tokenizer.encode(truth.features).tolist()
            assert report["mpjpe_mm"] == pytest.approx(1000 * np.linalg.norm(gap, axis=-1).mean(), rel=0.01)
        np.testing.assert_allclose(np.load(features), tokenizer.decode(np.array(report["tokens"])), atol=1e-4)
    (tmp_path / "words.npy").write_bytes(b"no motion")
    with pytest.raises(Exception, match="numpy file"):
        client.predict(handle_file(tmp_path / "words.npy"), 1024, api_name="/reconstruct")


def test_the_documents_client_runs_as_it_stands(served, monkeypatch, capsys):
    document = (Path(__file__).parents[1] / "docs" / "programs.md").read_text()
    code = document.split("<!-- client -->\n```python\n")[1].split("```")[0]
    exec(code.replace("http://127.0.0.1:7860", served), {})
    told = capsys.readouterr().out
    assert "1024 4M CC-BY-NC-4.0" in told.replace("CC BY-NC 4.0", "CC-BY-NC-4.0")
    assert "(80, 22, 3)" in told


def test_a_minute_can_be_uploaded_and_no_flood(client, served, tmp_path):
    from gradio_client import handle_file

    np.save(tmp_path / "minute.npy", walk(1_201))  # float64, 0.6 MB
    assert client.predict(handle_file(tmp_path / "minute.npy"), 256, api_name="/reconstruct")[0]["frames"] == 1_200
    np.save(tmp_path / "longer.npy", np.repeat(walk(1_000), 4, axis=0))
    with pytest.raises(Exception, match="minute at most"):
        client.predict(handle_file(tmp_path / "longer.npy"), 256, api_name="/reconstruct")
    for path, size in (("/gradio_api/queue/join", 2_100_000), ("/gradio_api/upload", 16_100_000)):
        request = urllib.request.Request(served + path, b"x" * size, {"content-type": "application/json"})
        with pytest.raises((urllib.error.HTTPError, OSError)) as refused:  # it may hang up before all is sent
            urllib.request.urlopen(request, timeout=300)
        assert getattr(refused.value, "code", 413) == 413


def test_a_language_model_makes_a_motion_and_reconstructs_it(served):
    """As an agent does: lists the tools, chooses by their schemas, and hands the URL of one answer to the next tool."""
    pytest.importorskip("mcp", reason='the extra is not installed: pip install -e ".[mcp]"')
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def agent() -> None:
        async with (
            streamable_http_client(f"{served}/gradio_api/mcp/") as (read, write, *_),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            assert sorted(tools) == ["generate", "models", "reconstruct"]
            for tool in tools.values():
                assert "Returns" in (tool.description or "")
                assert all(part.get("description") for part in tool.inputSchema["properties"].values())
            assert tools["generate"].inputSchema["properties"]["codebook"]["enum"] == [256, 1024, 4096]

            async def call(tool: str, **arguments: object) -> tuple[bool, str]:
                answer = await session.call_tool(tool, arguments)
                return bool(answer.isError), "\n".join(part.text for part in answer.content)

            failed, text = await call("models")
            assert not failed
            assert {"codebook": 256, "size": "0.3M"}.items() <= ast.literal_eval(text)[0].items()
            chosen = {"codebook": 256, "size": "0.3M", "seconds": None, "seed": 3, "temperature": 0, "video": False}
            failed, text = await call("generate", prompt="a person walks", **chosen)
            assert not failed, text
            picture, features, joints, recipe = ast.literal_eval(text)
            assert (picture, recipe["seed"]) == (None, 3)
            with urllib.request.urlopen(joints["url"]) as answer:
                assert np.load(io.BytesIO(answer.read())).shape == (4 * len(recipe["tokens"]), 22, 3)
            failed, text = await call("reconstruct", motion=features["url"], codebook=1024)
            assert not failed, text
            assert len(ast.literal_eval(text)[0]["tokens"]) == len(recipe["tokens"])
            for wrong, words in (({"seconds": 99}, "1 to 10"), ({"codebook": 77}, "1024"), ({"prompt": " "}, "empty")):
                failed, text = await call("generate", **{"prompt": "a person walks", "video": False, **wrong})
                assert failed and words in text
            elsewhere = features["url"].split("file=")[0] + "file=" + str(Path(__file__).resolve())
            failed, text = await call("reconstruct", motion=elsewhere)
            assert failed and "cannot be fetched" in text

    asyncio.run(agent())


def test_many_at_once_get_their_own_motion_and_leave_room_for_people(client, visit):
    def one(seed: int, video: bool = False) -> list[int] | str:
        try:
            made = client.predict("a person walks", 256, "0.3M", 1.0, seed, 1.0, video, api_name="/generate")
        except Exception as error:  # what gradio_client raises for a refusal
            return str(error)
        return made[-1]["tokens"] if made[-1]["seed"] == seed else "somebody else's"

    alone = {seed: one(seed) for seed in (0, 1, 2)}
    page = visit()
    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(one, seed % 3, seed % 2 == 0) for seed in range(40)]
        page.get_by_role("tab", name="Scaling").click()
        page.fill("#budget textarea", "1e17")
        page.locator("#plan").get_by_text("1e17 FLOPs; ").wait_for()
        assert not all(future.done() for future in asked)  # what needs no model does not wait for those who do
        page.get_by_role("tab", name="Compare").click()
        page.fill("#composer textarea", "a person waves")
        page.click("#generate")
        busy = page.get_by_text(re.compile("queue is full|busy", re.IGNORECASE))
        page.locator("#results video").or_(busy).first.wait_for()
        answers = [future.result() for future in asked]
    right = [answer == alone[seed % 3] for seed, answer in enumerate(answers)]
    assert all(isinstance(tokens, list) for tokens in alone.values())
    assert all(ok or "busy" in str(answer) for ok, answer in zip(right, answers, strict=True)), answers
    assert sum(right) >= programs.WAITING
