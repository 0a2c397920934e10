"""The endpoints: by themselves with tiny models, and over real HTTP."""

from __future__ import annotations

import ast
import asyncio
import io
import re
import urllib.error
import urllib.request
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

pytest.importorskip("gradio")

from scamo import registry
from scamo.io.bvh import write_bvh
from scamo.io.read import load_joints
from scamo.io.write import export
from scamo.io.write_options import WriteOptions
from scamo.motion import Motion
from scamo.options import GenerationOptions, Prompt
from scamo.ui import api
from scamo.ui.model_pool import ModelPool
from scamo.ui.page import MAX_WAITING as CLICKS_WAITING
from tests.motions import walk
from tests.rigs import write_bvh as write_flat


def test_a_batch_gives_each_what_it_gets_alone():
    pool = ModelPool()
    kind = (pool.card(1024, "1M"), GenerationOptions(temperature=0.7))
    requests = [
        (Prompt("a person walks forward", 2.0), 3), (Prompt("an old man bows, then waves", 1.0), 3),
        (Prompt("a person runs", None), 5), (Prompt("a person walks forward", 2.0), 4),
    ]  # fmt: skip
    together = api.generate_together(pool, kind, requests)
    alone = [api.generate_together(pool, kind, [request])[0] for request in requests]
    assert [one.tokens.tolist() for one in together] == [one.tokens.tolist() for one in alone]
    assert together[0].tokens.tolist() != together[3].tokens.tolist()
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.motion.features, other.motion.features)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prompt": None}, "no text"),
        ({"prompt": ["a person walks"]}, "no text"),
        ({"prompt": " "}, "empty"),
        ({"codebook": 1.5}, "whole number"),
        ({"seed": True}, "whole number"),
        ({"seconds": "4"}, "1 to 10"),
        ({"temperature": -1}, "Temperature -1"),
    ],
)
def test_fields_that_make_no_sense_are_refused_in_words(shared_pool, wrong, words):
    fields = {
        "prompt": "a person walks", "codebook": 256, "size": "0.3M", "seconds": 1.0, "seed": 0, "temperature": 1.0,
        "video": False, **wrong,
    }  # fmt: skip
    with pytest.raises(gr.Error, match=words):
        asyncio.run(api.Endpoints(shared_pool).generate(**fields))


def test_a_motion_and_its_recipe_come_out(shared_pool):
    given = ("a person walks", 256, "0.3M", 1.0, 3.0, 0.5, False)
    video, features, joints, recipe = asyncio.run(api.Endpoints(shared_pool).generate(*given))
    assert video is None
    assert np.load(features).shape == (20, 263) and np.load(joints).shape == (20, 22, 3)
    assert (recipe["seed"], recipe["temperature"], recipe["seconds"]) == (3, 0.5, 1.0)


def z_up_file(folder: Path) -> Path:
    """A walk with Z up in centimetres at 30 fps, of a rig that nobody knows, as BVH."""
    path = write_flat(folder / "odd.bvh", 100 * walk(61)[..., [0, 2, 1]] * [1, -1, 1], "lafan1", 30.0)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("LeftUpLeg", "Oberschenkel"), encoding="utf-8")
    return path


def test_a_motion_of_others_comes_out_for_another_program(shared_pool, tmp_path):
    endpoints = api.Endpoints(shared_pool)
    source = str(z_up_file(tmp_path))
    files, notes = endpoints.export(source, "bvh", rig="unreal", unit="cm", fps=60, joints={"left_hip": "Oberschenkel"})
    assert [Path(path).name for path in files] == ["odd.bvh"] and "Z is up" in notes
    text = Path(files[0]).read_text(encoding="ascii")
    assert "ROOT root" in text and "JOINT thigh_l" in text
    assert f"Frame Time: {1 / 60:.9g}" in text
    usual, _ = endpoints.export(source, "bvh", joints='{"left_hip": "Oberschenkel"}')
    faster, _ = endpoints.export(source, "bvh", source_fps=60.0, up="z", source_unit="cm",
                                 joints='{"left_hip": "Oberschenkel"}')  # fmt: skip
    frames = [len(load_joints(path)[0]) for (path,) in (usual, faster)]
    assert frames == [40, 20]
    report, *_ = endpoints.reconstruct(source, 256, joints={"left_hip": "Oberschenkel"})
    assert report["notes"] == [*notes] and report["frames"] == 40


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"up": "w"}, "no up axis"), ({"up": ["z"]}, "no up axis"), ({"source_fps": 0}, "cannot run at 0"),
        ({"source_fps": "fast"}, "cannot run at fast"), ({"source_fps": True}, "cannot run"),
        ({"source_unit": "ell"}, "choose from m, cm"), ({"joints": "{"}, "no JSON"), ({"joints": "[1]"}, "no mapping"),
        ({"joints": {"left_hip": 3}}, "calls left_hip"), ({"joints": ["left_hip"]}, "no mapping"),
        ({"joints": {"tail": "Tail"}}, 'names "tail"'), ({"rig": "maya"}, "choose from humanml3d"),
        ({"unit": "inch"}, 'choose "m"'), ({"fps": -1}, "cannot run at -1"), ({"fps": "30"}, "cannot run"),
        ({"exact": "yes"}, "true or false"), ({"loop": 1}, "true or false"), ({"format": "exe"}, "choose from bvh"),
        ({"format": "glb", "unit": "m"}, 'no option "unit"'), ({"motion": None}, "give a file"),
    ],
)  # fmt: skip
def test_options_of_files_that_make_no_sense_are_refused_in_words(shared_pool, tmp_path, wrong, words):
    path = write_bvh(walk(9), tmp_path / "walk.bvh")
    with pytest.raises(gr.Error, match=words) as refused:
        api.Endpoints(shared_pool).export(**{"motion": str(path), "format": "bvh", **wrong})
    assert "\n" not in str(refused.value)
    if not {"rig", "unit", "fps", "exact", "loop", "format"} & wrong.keys():
        with pytest.raises(gr.Error, match=words):
            api.Endpoints(shared_pool).reconstruct(**{"motion": str(path), "codebook": 256, **wrong})


@pytest.fixture
def client(served, tmp_path):
    from gradio_client import Client

    return Client(served, download_files=str(tmp_path), verbose=False)


def test_four_endpoints_and_no_more_are_there(client):
    told = client.view_api(return_format="dict")
    assert sorted(told["named_endpoints"]) == ["/export", "/generate", "/models", "/reconstruct"]
    assert told["unnamed_endpoints"] == {}
    parameters = {one["parameter_name"]: one for one in told["named_endpoints"]["/generate"]["parameters"]}
    assert list(parameters) == ["prompt", "codebook", "size", "seconds", "seed", "temperature", "video"]
    assert "256" in parameters["codebook"]["python_type"]["type"]
    assert parameters["video"]["python_type"]["type"] == "bool"
    parameters = {one["parameter_name"]: one for one in told["named_endpoints"]["/export"]["parameters"]}
    written = [one.name for one in fields(WriteOptions)]
    assert list(parameters) == ["motion", "format", *written, "up", "source_fps", "source_unit", "joints"]
    assert all(parameters[name]["parameter_has_default"] for name in list(parameters)[1:])
    assert "unreal" in parameters["rig"]["python_type"]["type"]


def test_clients_generate(client):
    cells = client.predict(api_name="/models")
    assert {"codebook": 256, "size": "0.3M"}.items() <= cells[0].items()
    video, features, joints, recipe = client.predict("a person walks", 256, "0.3M", 1.0, 3, 1.0, api_name="/generate")
    assert np.load(features).shape == (20, 263)
    assert np.load(joints).shape == (20, 22, 3)
    assert Path(video["video"] if isinstance(video, dict) else video).stat().st_size > 1000
    assert recipe["seed"] == 3
    for wrong, words in (
        ({"prompt": "x" * 10_000}, "10,000"), ({"prompt": None}, "no text"), ({"prompt": ["walks"]}, "no text"),
        ({"seconds": 99}, "1 to 10"), ({"size": "9T"}, "9T"),
    ):  # fmt: skip
        with pytest.raises(Exception, match=words):
            client.predict(**{"prompt": "a person walks", "codebook": 256, **wrong}, api_name="/generate")


def test_clients_reconstruct(client, tmp_path):
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


def test_clients_export(client, tmp_path):
    from gradio_client import handle_file

    given = {"joints": {"left_hip": "Oberschenkel"}, "rig": "mixamo", "in_place": True}
    files, notes = client.predict(handle_file(z_up_file(tmp_path)), "glb", **given, api_name="/export")
    assert [Path(path).suffix for path in files] == [".glb"] and "Z is up" in notes
    assert np.ptp(load_joints(files[0])[0][:, 0, [0, 2]], axis=0).max() < 1e-3
    with pytest.raises(Exception, match="choose from humanml3d"):
        client.predict(handle_file(z_up_file(tmp_path)), "glb", rig="maya", api_name="/export")


def test_the_documents_client_runs_as_it_stands(served, monkeypatch, capsys):
    document = (Path(__file__).parents[1] / "docs" / "programs.md").read_text(encoding="utf-8")
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
            assert sorted(tools) == ["export", "generate", "models", "reconstruct"]
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
    def one(seed: int, video: bool = False, tries: int = 3) -> list[int] | str:
        try:
            made = client.predict("a person walks", 256, "0.3M", 1.0, seed, 1.0, video, api_name="/generate")
        except CancelledError:  # gradio_client's own: its stream closed while it noted this call down
            return one(seed, video, tries - 1) if tries else "given up"
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
    # The words of docs/programs.md: the endpoint's own, and what Gradio's client makes of a refusal by the queue.
    refused = [bool(re.search("busy|Queue is full", str(answer))) for answer in answers]
    assert all(ok or no for ok, no in zip(right, refused, strict=True)), answers
    assert sum(right) >= CLICKS_WAITING  # how many more depends on how fast they come and are answered
