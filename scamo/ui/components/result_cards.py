"""What stands under the player in the tab "Compare": how a motion was made and measured, and its model's samples."""

from __future__ import annotations

import html

from scamo.ui.formatting import byte_count
from scamo.ui.jobs.compare import Comparison, ModelResult

MEASURES = (
    "Foot slide: how fast the toes move over the floor while they stand on it. Shaking: how abruptly the joints change "
    "their course (the mean jerk). Lower is better in both."
)
SCORE = (
    " Score: half of it foot slide, half shaking, each against the mean of these samples; the lowest is shown first. A "
    "figure that hardly moves scores well too, and none of this reads the prompt, so look for yourself."
)


def prompt_line(comparison: Comparison) -> str:
    """The prompt and the seed of all motions."""
    return f"<p>“{html.escape(comparison.prompt)}”<br><small>seed {comparison.seed}</small></p>"


def title(result: ModelResult) -> str:
    """The model that made a motion."""
    return f"<h3>{html.escape(result.card.size)} <small>codebook {result.card.codebook}</small></h3>"


def video_place(problem: str = "") -> str:
    """What stands in a video's place until it is drawn, or because it cannot be."""
    words = html.escape(problem) if problem else "The video is being drawn."
    return f'<div class="video-place{" problem" * bool(problem)}" role="status"><p>{words}</p></div>'


def facts(result: ModelResult) -> str:
    """The motion that is shown, as a list of names and values."""
    sample, count = result.samples[result.picked], len(result.samples)
    tokens = sum(len(one.recipe.tokens) for one in result.samples)
    lines = {
        "Motion": f"{result.motion.seconds:.1f} s, {len(sample.recipe.tokens)} tokens",
        "Made in": f"{result.elapsed:.2f} s{f' (all {count})' * (count > 1)}, {tokens / result.elapsed:.0f} tokens/s",
        "Computed on": str(result.place or "unknown"),
        "Model": f"{byte_count(result.card.memory_bytes)} of memory",
        "Foot slide": f"{100 * sample.foot_slide:.1f} cm/s",
        "Shaking": f"{sample.jitter:.0f} m/s³",
    }
    why = result.place.why if result.place else ""
    if why:
        lines["Computed on"] += f"<br><small>{html.escape(why)}</small>"
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in lines.items())}</dl>"


def sample_table(result: ModelResult) -> str:
    """All samples of a model as a table of buttons, the smoothest first."""
    rows = "".join(
        f'<tr><td><button type="button" data-option="{place}" aria-pressed="{str(place == result.picked).lower()}">'
        f"{one.recipe.options.seed}</button></td><td>{100 * one.foot_slide:.1f}</td><td>{one.jitter:.0f}</td>"
        f"<td>{one.roughness:.2f}</td></tr>"
        for place, one in enumerate(result.samples)
    )
    head = "<th>Seed</th><th>Slide, cm/s</th><th>Shaking, m/s³</th><th>Score</th>"
    return f'<div class="samples"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
