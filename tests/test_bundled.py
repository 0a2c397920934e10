"""The models in the package: complete, licensed, small, honest about their figures, and able to do what they say."""

import json
from pathlib import Path

import numpy as np
import pytest

import scamo
from scamo import checkpoint, registry
from scamo.options import Prompt
from scamo.rotation import quat_rotate
from scamo.text import load_text_encoder
from tests.golden import bundled_tokens
from training.json_files import read_json
from training.measure import readme_tables as readme
from training.measure.action_checks import BY_ACTION
from training.measure.asked import share
from training.measure.joint_measures import LEFT, RIGHT, above_head, forward_metres, speed, sways, turned_degrees
from training.measure.prompt_checks import PLAIN

CODEBOOKS, SIZES = (256, 1024, 4096), ("0.3M", "1M", "4M")


def bundled() -> list[scamo.ModelCard]:
    return [card for card in scamo.models() if card.source == "bundled"]


def test_three_codebooks_times_three_sizes_in_at_most_60_megabytes() -> None:
    cards = bundled()
    assert sorted(card.name for card in cards) == sorted(f"{c}-{s}" for c in CODEBOOKS for s in SIZES)
    assert {(card.codebook, card.size) for card in cards} == {(c, s) for c in CODEBOOKS for s in SIZES}
    assert sum(path.stat().st_size for path in registry.BUNDLED.rglob("*") if path.is_file()) < 60e6


def test_the_default_is_the_largest_of_1024() -> None:
    (default,) = [card for card in bundled() if card.is_default]
    assert registry.find_model() == default
    assert registry.find_model(codebook=1024, size="1M").name == "1024-1M"
    assert default.name == "1024-4M"


def test_all_know_the_same_and_ask_for_guidance() -> None:
    (known,) = {card.knows for card in bundled()}
    assert "crawling" in known and "Bandai" not in known
    assert all(card.sampling["guidance"] > 1 for card in bundled())


def test_a_prompt_for_something_else_is_told_of() -> None:
    pipeline = scamo.load(codebook=256, size="0.3M")
    asked = ["she plays the piano", "he solves a quadratic equation", "a person jumps, then kicks"]
    made = pipeline.generate_batch(asked, seconds=1, seeds=range(3))
    assert ["not clear" in " ".join(one.notes) for one in made] == [True, True, False]
    given = pipeline.generate(asked[0], embedding=np.zeros((4, 384)), seconds=1)
    assert not given.notes  # those words were not read


@pytest.mark.parametrize("codebook", CODEBOOKS)
@pytest.mark.parametrize("action", ["crouch", "stand-up", "get-up", "crawl", "pick-up", "jump"])
def test_the_largest_of_every_codebook_does_rare_actions(codebook: int, action: str) -> None:
    made = scamo.load(codebook=codebook, size="4M").generate_batch([PLAIN[action]] * 5, seeds=range(5))
    assert sum(BY_ACTION[action].check(one.motion.joints.astype(float)) for one in made) >= 4


def test_a_timeline_is_the_same_where_its_prompts_are_kept_on_disk(tmp_path: Path) -> None:
    """What a prompt was read as is not on disk, and decides how a part is read."""
    parts, made = [Prompt("a person walks forward", 2.0), Prompt("a person bows", 2.0)], []
    for _ in range(2):
        encoder = load_text_encoder(str(registry.BUNDLED / "text-encoder"), cache_dir=tmp_path)
        pipeline = scamo.load(codebook=256, size="0.3M", text_encoder=encoder)
        made.append(pipeline.timeline(parts, seed=0).tokens.tolist())
    assert made[0] == made[1] and len(list(tmp_path.iterdir())) == 3


def test_a_timelines_second_part_does_what_it_asks_for(largest: scamo.MotionPipeline) -> None:
    """By its own words alone, behind two seconds of walking, most walk on."""
    passed = []
    for seed, action in enumerate(("wave-left", "crouch", "run", "kick", "spin", "punch", "raise-both", "jump")):
        made = largest.timeline([Prompt("a person walks forward", 4.0), Prompt(PLAIN[action], 5.0)], seed=seed)
        joints = made.motion.joints.astype(float)
        passed.append(any(BY_ACTION[action].check(joints[80 + late :]) for late in (0, 10, 25)))
    assert sum(passed) >= 6


@pytest.mark.parametrize("folder", sorted(registry.BUNDLED.glob("*/card.json")), ids=lambda path: path.parent.name)
def test_a_card_says_where_its_model_comes_from(folder: Path) -> None:
    card = checkpoint.read_card(folder.parent)
    checkpoint.read_tensors(folder.parent)  # every byte against the card
    if card["kind"] == "text_encoder":  # it has learned from sentences alone
        assert "MIT" in card["licence"] and "Apache-2.0" in card["licence"]
    else:
        assert card["licence"].startswith("CC BY-NC 4.0")
        assert "Bandai" in card["attribution"]
        assert ("CMU" in card["licence"]) == ("mocap.cs.cmu.edu" in card["attribution"])
    for fact in ("seed", "commit", "steps", "seconds", "device"):
        assert fact in card["training"], fact
    wanted = {
        "tokenizer": ("l1", "mpjpe_mm"), "transformer": ("nll", "normalised_loss"), "text_encoder": ("first_action",),
    }  # fmt: skip
    assert all(np.isfinite(card["metrics"][name]) for name in wanted[card["kind"]])
    assert "/" not in json.dumps({k: v for k, v in card["training"].items() if k != "device"}), "a path of the trainer"


def test_a_larger_codebook_reconstructs_better_and_every_model_predicts_better_than_frequencies() -> None:
    errors = [checkpoint.read_card(registry.BUNDLED / f"tokenizer-{c}")["metrics"]["mpjpe_mm"] for c in CODEBOOKS]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 31
    losses = {card.name: card.metrics["normalised_loss"] for card in bundled()}
    assert max(losses.values()) < -1.5
    assert losses["4096-1M"] < losses["4096-0.3M"]  # the 4M learn rare takes by heart: docs/actions.md


def test_models_do_what_they_are_asked() -> None:
    rows = read_json(readme.ROOT / "docs" / "tables" / "asked.json")["rows"]
    assert {row["model"]: row["sha256"] for row in rows} == {card.name: card.sha256 for card in bundled()}
    for row in rows:
        assert min(share(row[words]) for words in ("plain", "kept_apart", "second_set")) > 0.9, row["model"]
        if row["model"].endswith("-4M"):
            assert min(share(row[words]) for words in ("plain", "kept_apart", "second_set")) > 0.95, row["model"]


def test_no_action_is_missing_from_the_default() -> None:
    rows = read_json(readme.ROOT / "docs" / "abilities.json")["rows"]
    assert {row["action"] for row in rows} >= BY_ACTION.keys()
    for row in rows:
        assert row["passed"] >= 0.8 * row["seeds"] and row["kept_apart_passed"] >= 0.8 * row["kept_apart"], row


def test_a_larger_model_is_nearer_to_real_motions_and_their_sentences() -> None:
    rows = read_json(readme.ROOT / "docs" / "tables" / "bundled-generation.json")["rows"]
    for codebook in CODEBOOKS:
        found = [next(row for row in rows if row.get("model") == f"{codebook}-{size}")["metrics"] for size in SIZES]
        nearness = [metrics["r_precision_3"][0] for metrics in found]
        distance = [metrics["fid"][0] for metrics in found]
        assert nearness == sorted(nearness) and distance == sorted(distance, reverse=True)


@pytest.mark.parametrize("page", readme.PAGES)
def test_pages_say_what_was_measured(page: str) -> None:
    assert readme.filled(page) == (readme.ROOT / page).read_text(encoding="utf-8"), (
        "run python -m training.measure.readme_tables"
    )


@pytest.fixture(scope="module")
def largest() -> scamo.MotionPipeline:
    return scamo.load(codebook=4096, size="4M")


@pytest.mark.parametrize(
    ("prompt", "check"),
    [
        ("a person walks forward", lambda j: forward_metres(j) > 1),
        ("a person raises the left hand", lambda j: above_head(j, LEFT) and not above_head(j, RIGHT)),
        ("a person turns left", lambda j: turned_degrees(j) > 30),
    ],
)
def test_words_mean_what_they_say(largest: scamo.MotionPipeline, prompt: str, check) -> None:
    made = largest.generate_batch([prompt] * 5, seconds=4, seeds=range(5))
    assert sum(bool(check(one.motion.joints.astype(float))) for one in made) >= 4


def test_a_seed_is_a_motion_alone_and_in_company(largest: scamo.MotionPipeline) -> None:
    prompts = ["a person walks forward", "a tired man bows and then waves goodbye with both hands"]
    alone = [largest.generate(prompt, seconds=2, seed=7).tokens for prompt in prompts]
    together = largest.generate_batch(prompts, seconds=2, seed=7)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other.tokens)


def test_the_geometry_behind_the_ability_table() -> None:
    from tests.test_motion import walker

    ahead = walker(81)
    assert forward_metres(ahead) == pytest.approx(4.0, abs=0.05)
    assert speed(ahead) == pytest.approx(1.0, abs=0.01)
    heading = np.linspace(0, np.pi / 2, 81) / 2
    turn = np.stack([np.cos(heading), 0 * heading, np.sin(heading), 0 * heading], -1)
    assert turned_degrees(quat_rotate(turn[:, None], ahead[:1])) == pytest.approx(90, abs=1e-6)
    waving = ahead.copy()
    waving[:, 20] = waving[:, 15] + [0, 0.2, 0]
    waving[:, 20, 0] += 0.2 * np.sin(np.arange(81) * 2 * np.pi / 20)
    assert above_head(waving, LEFT)
    assert not above_head(waving, RIGHT)
    assert sways(waving, LEFT) >= 6
    assert sways(waving, RIGHT) == 0


@pytest.mark.parametrize("card", bundled(), ids=lambda card: card.name)
def test_tokens_are_those_of_the_day_the_model_was_bundled(card: scamo.ModelCard) -> None:
    expected = json.loads(bundled_tokens.FILE.read_text(encoding="utf-8"))
    assert bundled_tokens.sampled(card) == expected[card.name]
