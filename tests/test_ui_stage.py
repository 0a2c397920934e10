"""What tabs share: one figure for the page, in the player and in videos, and motions that go from tab to tab."""

from __future__ import annotations

import io
import urllib.request

import gradio as gr
import numpy as np
import pytest

pytest.importorskip("gradio")

from scamo.body.person import REGIONS, load_person
from scamo.ui.components.figure_choice import FigureChoice
from scamo.ui.components.stage import WAYS, Stage
from scamo.ui.page import TABS, build
from tests.test_body_smpl import fake

PLAYER = "document.querySelector('#{} .scamo-player')?.player"


def likeness(picture: np.ndarray, region: str) -> np.ndarray:
    """Where a picture [H, W, 3] has the hue of a man's skin, shirt or trousers in any light."""
    colour = load_person("man").colours[REGIONS.index(region)]
    hues = picture[..., :3] / np.maximum(picture[..., :3].sum(axis=-1, keepdims=True), 1)
    return (np.abs(hues - colour / colour.sum()).max(axis=-1) < 0.02) & (picture[..., :3].max(axis=-1) > 40)


def shows_a_man(picture: np.ndarray) -> bool:
    """Skin and shirt are there, and the highest skin, which is the head's, lies above the shirt."""
    skin, shirt = likeness(picture, "skin"), likeness(picture, "shirt")
    if min(skin.sum(), shirt.sum()) < 60:
        return False
    return bool(np.argwhere(skin)[:, 0].min() < np.median(np.argwhere(shirt)[:, 0]))


def cloth(picture: np.ndarray) -> int:
    """Pixels with the hue of shirt or trousers. A stick figure has some too, for its limbs have colours."""
    return int((likeness(picture, "shirt") | likeness(picture, "trousers")).sum())


def first_frame(page) -> np.ndarray:
    """The first frame of the only video."""
    import imageio.v3 as imageio

    with urllib.request.urlopen(page.get_attribute("#results video", "src")) as answer:
        return imageio.imread(io.BytesIO(answer.read()), extension=".mp4", index=0).astype(int)


def one_model(page) -> None:
    """Tick the first model of 1024 codes and no other."""
    first, *others = page.locator('#cells [aria-label="Codebook 1024"] input').all()
    first.check()
    for box in others:
        box.uncheck()


def seen(page, element: str) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(page.locator(element).screenshot())).convert("RGB")).astype(int)


def test_smpl_is_offered_to_those_who_have_a_file(tmp_path, monkeypatch):
    monkeypatch.delenv("SCAMO_BODY_MODEL", raising=False)
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **fake())
    with gr.Blocks():
        without, given = FigureChoice(), FigureChoice(tmp_path / "SMPL_NEUTRAL.npz")
    offered = [[value for _, value in choice.body.choices] for choice in (without, given)]
    assert offered == [["person", "stick"], ["person", "stick", "smpl"]]
    assert given.style("smpl", "auto").body_model == tmp_path / "SMPL_NEUTRAL.npz"
    with pytest.raises(ValueError, match="smpl"):
        without.style("smpl", "auto")


def test_a_body_file_that_is_not_there_ends_the_start(tmp_path, monkeypatch):
    monkeypatch.setenv("SCAMO_BODY_MODEL", str(tmp_path / "none.npz"))
    with pytest.raises(ValueError, match=r"none\.npz"):
        build()


def test_ways_lead_to_tabs_that_there_are():
    assert set(WAYS) <= set(TABS)
    with gr.Blocks():
        assert "data-option" in Stage().pass_on(gr.State(None), lambda value: value, but=["Tokens"]).value


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_browser_shows_the_chosen_figure_in_player_and_video(visit, width, dark):
    page, player = visit(width=width, dark=dark), PLAYER.format("stage")
    one_model(page)
    page.get_by_label("number input for Length in seconds").locator("visible=true").fill("1")
    page.fill("#composer textarea", "a man walks forward")
    page.click("#generate")
    page.wait_for_function(f"{player}.figures.length && {player}.people.get('man')")
    page.click("#stage .play")
    page.wait_for_function(f"!{player}.playing && {player}.asked === null")
    played = seen(page, "#stage canvas")
    assert shows_a_man(played)
    page.wait_for_selector("#results video")
    person = first_frame(page)
    assert shows_a_man(person)

    old = page.get_attribute("#results video", "src")
    page.get_by_label("Sticks").check()
    page.wait_for_function(f"{player}.shape === 'sticks' && {player}.asked === null")
    assert cloth(seen(page, "#stage canvas")) < cloth(played) / 3
    page.wait_for_function(f"document.querySelector('#results video')?.src && "
                           f"document.querySelector('#results video').src !== '{old}'")  # fmt: skip
    sticks = first_frame(page)
    assert cloth(sticks) < cloth(person) / 3
    body = np.abs(person - sticks).max(axis=-1) > 24  # both have the same floor and camera
    assert 0.01 < body.mean() < 0.3
    assert likeness(person, "shirt")[body].mean() > 0.05
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_browser_passes_a_motion_through_all_tabs(visit):
    """Tokens, Continue and the lab have not been opened before, and each gets what the one before it had."""
    page = visit()
    one_model(page)
    page.get_by_label("number input for Length in seconds").locator("visible=true").fill("2")
    page.fill("#composer textarea", "a woman bows")
    page.click("#generate")
    page.locator(".card button[data-option=Tokens]").click()

    player = PLAYER.format("tokens-stage")
    page.wait_for_function(f"{player}?.figures.length === 1 && {player}.figures[0].person === 'woman'")
    page.get_by_text("“a woman bows”: 10 tokens").wait_for()
    assert page.locator("#strip button").count() == 10
    page.locator("#strip button").nth(7).click()
    page.locator("#choice label:not(:has-text('now')):visible").first.wait_for()
    assert page.evaluate(f"[{player}.playing, {player}.time.toFixed(2)]") == [False, "1.40"]
    marked = "[...document.querySelectorAll('#strip button')].findIndex((b) => b.hasAttribute('aria-current'))"
    page.wait_for_function(f"{marked} === 7")
    page.fill("#tokens-stage .scrub", "0.3")
    page.wait_for_function(f"{marked} === 1")
    page.locator("#choice label:not(:has-text('now')):visible").first.click()
    page.click("#replace")
    page.wait_for_function(f"{player}.figures.length === 2")
    assert page.locator("#tokens-stage .legend button").all_inner_texts() == ["before", "after"]

    page.locator("button[data-option=Continue]:visible").click()
    player = PLAYER.format("continue-stage")
    page.wait_for_function(f"{player}?.figures.length === 1")
    page.get_by_label("number input for Keep the first seconds").fill("1")
    page.get_by_label("and then").fill("she waves")
    page.get_by_label("number input for for so many seconds").fill("1")
    page.click("#go-on")
    page.wait_for_function(f"{player}.figures.length === 2")  # it goes on in another way than before

    page.locator("button[data-option='Tokenizer lab']:visible").click()
    page.get_by_text("a woman bows, then she waves: 2.0 s").wait_for()
    player = PLAYER.format("lab-stage")
    page.wait_for_function(f"{player}?.figures.length === 5")
    assert page.evaluate(f"{player}.figures.map((figure) => Boolean(figure.errors))") == [False] + [True] * 4
    page.get_by_text("mm or more").wait_for()
    page.locator("button[data-option=Tokens]:visible").click()
    page.get_by_text("“a woman bows, then she waves”: 10 tokens").wait_for()
