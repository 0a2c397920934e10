"""The tokens of a motion as a strip of buttons that show how sure the model was of each."""

from __future__ import annotations

import html
import math

import numpy as np

from scamo.pipeline import Generation
from scamo.ui.formatting import percent
from scamo.ui.jobs.token_changes import TokenChange

# A click on a token is the component's click and takes the player there; the token that is played is marked.
FOLLOW_PLAYER = """const playerOf = () => document.querySelector("#%s .scamo-player");
element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-option]");
    if (!button) return;
    const { player } = playerOf() ?? {};
    player?.play(false);
    player?.seek(Number(button.dataset.from) + 1e-4);
    trigger("click", {option: button.dataset.option});
});
const mark = () => {
    const buttons = [...element.querySelectorAll("button[data-option]")];
    const time = playerOf()?.player?.time ?? 0;
    const now = buttons.findLast((button) => Number(button.dataset.from) <= time);
    for (const button of buttons)
        if ((button === now) !== button.hasAttribute("aria-current"))
            button === now ? button.setAttribute("aria-current", "time") : button.removeAttribute("aria-current");
};
const follow = (event) => {
    if (!element.isConnected) document.removeEventListener("motion-time", follow);
    else if (event.target === playerOf()) mark();
};
document.addEventListener("motion-time", follow);
watch("value", () => requestAnimationFrame(mark));"""


def token_strip(change: TokenChange | None, place: int | None = None) -> str:
    """A button for each token: the surer the model, the fuller the colour.

    The bar under each is its entropy, full where all codes were equally likely. Changed tokens have a ring, and
    the one at `place` is picked.
    """
    if change is None:
        return ""
    now, most = change.now, math.log(change.now.card.tokenizer.codebook_size)
    tokens, before = now.tokens.tolist(), (change.before or now).tokens.tolist()
    buttons = []
    for index, (token, share, entropy) in enumerate(
        zip(tokens, now.trace.probability.tolist(), now.trace.entropy.tolist(), strict=True)
    ):
        names = ["picked"] * (index == place) + ["changed"] * (index >= len(before) or token != before[index])
        sure = html.escape(percent(share))
        about = f"{time_of(now, index):.1f} s: token {token}, {sure}, entropy {entropy:.2f} nats"
        marks = f"--sure: {100 * share**0.5:.0f}%; --open: {100 * entropy / most:.0f}%"
        buttons.append(
            f'<button type="button" data-option="{index}" data-from="{time_of(now, index):.3f}" title="{about}" '
            f'aria-label="{about}" class="{" ".join(names)}" style="{marks}">'
            f"<b>{token}</b><small>{sure}</small></button>"
        )
    return f'<div class="strip">{"".join(buttons)}</div>'


def alternatives(now: Generation, place: int) -> list[tuple[str, int]]:
    """The tokens that are likeliest at a place, likeliest first, as the choices of a Radio."""
    current = int(now.tokens[place])
    top, shares = now.trace.top[place].tolist(), now.trace.top_probability[place].tolist()
    return [
        (f"{token} · {percent(share)}{' · now' * (token == current)}", token)
        for token, share in zip(top, shares, strict=True)
    ]


def certainty(now: Generation) -> str:
    """How sure the model was, in one line."""
    tokens, trace = now.tokens.tolist(), now.trace
    usual = percent(float(np.exp(np.mean(np.log(np.maximum(trace.probability, 1e-12))))))
    codes = now.card.tokenizer.codebook_size
    return (
        f"{len(tokens)} tokens of {codes} kinds, {len(set(tokens))} different. On average the model gave a "
        f"token {usual} and had an entropy of {np.mean(trace.entropy):.2f} nats. Click a token."
    )


def time_of(now: Generation, place: int) -> float:
    """The second at which a token begins."""
    return place / now.card.tokenizer.tokens_per_second
