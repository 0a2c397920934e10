"""What a caller knows of a file better than the reader."""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from scamo.io.frame_rates import MAX_FPS, MIN_FPS
from scamo.io.upright import AXES, UNITS, Axis

if TYPE_CHECKING:
    from scamo.body.smpl import SmplSkeleton


_MAX_MAP = 20_000  # characters of a joint map; 22 names need a thousand


class ReadOptions(NamedTuple):
    """joints: our names -> the file's; up, fps, unit: the file's; skeleton: poses SMPL files. None: found by itself."""

    joints: Mapping[str, str] | None = None
    up: Axis | None = None
    fps: float | None = None
    unit: str | None = None
    skeleton: SmplSkeleton | None = None

    @classmethod
    def of_fields(cls, up: Any = None, fps: Any = None, unit: Any = None, joints: Any = None) -> ReadOptions:
        """The options of a form's fields, in which "" and None are what is found by itself.

        joints: a mapping, or the text of a JSON file. ValueError for a value that is none.
        """
        up, fps, unit, joints = (None if isinstance(one, str) and not one.strip() else one
                                 for one in (up, fps, unit, joints))  # fmt: skip
        options = cls(read_joint_map(joints) if isinstance(joints, str) else joints, up, fps, unit)
        options.check()
        return options

    @property
    def given(self) -> dict[str, Any]:
        """What a file does not say of itself, as arguments of `scamo.io.read.read_motion`."""
        return {"joints": self.joints, "up": self.up, "fps": self.fps, "unit": self.unit}

    def check(self) -> None:
        """ValueError for an option that is none."""
        if self.unit is not None and self.unit not in tuple(UNITS):
            raise ValueError(f'There is no unit "{self.unit}"; choose from {", ".join(UNITS)}.')
        if self.up is not None and self.up not in AXES:
            raise ValueError(f'There is no up axis "{self.up}"; choose x, y or z, or -y where Y points down.')
        if self.joints is not None and not isinstance(self.joints, Mapping):
            raise ValueError("The joint map is no mapping; give our joint names with the file's, such as "
                             '{"left_hip": "LThigh"}.')  # fmt: skip
        if self.fps is not None and not _is_rate(self.fps):
            raise ValueError(f"A motion cannot run at {self.fps} frames a second; give a number such as 20.")


def read_joint_map(text: str | bytes) -> dict[str, str]:
    """Our joint names -> a file's, of the text of a JSON file. ValueError says what is wrong with it."""
    if len(text) > _MAX_MAP:
        raise ValueError("The joint map is too long; give our 22 joint names with the file's.")
    try:
        found = json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'The joint map is no JSON ({error}); write it as {{"left_hip": "LThigh"}}.') from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise ValueError("The joint map is no mapping of names; give our joint names with the file's, such as "
                         '{"left_hip": "LThigh"}.')  # fmt: skip
    return found


def _is_rate(value: object) -> bool:
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and MIN_FPS <= value <= MAX_FPS  # type: ignore[operator]
