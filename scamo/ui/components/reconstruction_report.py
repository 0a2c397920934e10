"""What codebooks made of one motion: a table, and the error over time."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import pandas as pd

from scamo.skeleton import JOINTS
from scamo.ui.jobs.reconstruction import Reconstruction


def error_table(found: Sequence[Reconstruction]) -> str:
    """Tokens used, mean error and the error of every joint, a column for each codebook; HTML."""
    head = "".join(f"<th>{html.escape(one.label)}</th>" for one in found)
    rows = [
        ("Tokens", [str(len(one.tokens)) for one in found]),
        ("Different ones", [str(len(set(one.tokens.tolist()))) for one in found]),
        ("Mean error, mm", [f"{1000 * one.error_over_time.mean():.0f}" for one in found]),
        ("Worst moment, mm", [f"{1000 * one.error_over_time.max():.0f}" for one in found]),
    ]
    rows += [
        (name.replace("_", " "), [f"{1000 * one.joint_errors[joint]:.0f}" for one in found])
        for joint, name in enumerate(JOINTS)
        if joint  # the pelvis lies on the pelvis
    ]
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{value}</td>' for value in values)}</tr>"
        for name, values in rows
    )
    return (
        f'<div class="sheet"><table><thead><tr><th>Codebook</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def error_curves(found: Sequence[Reconstruction]) -> pd.DataFrame:
    """The error over time in millimetres, one row for a frame of a codebook."""
    parts = [
        pd.DataFrame(
            {
                "seconds": np.arange(len(one.error_over_time)) / one.motion.fps,
                "error in mm": 1000 * one.error_over_time,
                "codebook": one.label,
            }
        )
        for one in found
    ]
    return pd.concat(parts)
