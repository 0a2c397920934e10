"""How files of a motion are written: the options that the command line, the page and the endpoints share."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

RigName = Literal["humanml3d", "smpl", "mixamo", "unreal", "vrm"]
Unit = Literal["m", "cm"]

RIG_NAMES: tuple[str, ...] = get_args(RigName)
UNIT_NAMES: tuple[str, ...] = get_args(Unit)
MAX_FPS = 10_000.0


@dataclass(frozen=True)
class WriteOptions:
    """What a file is written for. Raises ValueError where a value makes no sense."""

    rig: RigName | None = None
    """Joint names and rest pose of bvh, glb and fbx."""
    unit: Unit | None = None
    """What one unit of bvh and fbx is; without it what the rig's programs expect."""
    fps: float | None = None
    """Frame rate of bvh, glb, fbx and vrma; without it the motion's."""
    exact: bool = False
    """Keep every joint of a bvh where it is, with bones that change their length."""
    in_place: bool = False
    """Keep the pelvis above one spot, for game engines."""
    loop: bool = False
    """Cut and blend it, so that it repeats without a seam."""

    def __post_init__(self) -> None:
        if self.rig is not None and self.rig not in RIG_NAMES:
            raise ValueError(f'There is no rig "{self.rig}" to write for; choose from {", ".join(RIG_NAMES)}.')
        if self.unit is not None and self.unit not in UNIT_NAMES:
            raise ValueError(f'There is no unit "{self.unit}"; choose "m" (Blender) or "cm" (MotionBuilder, Unreal).')
        if self.fps is not None and not _is_rate(self.fps):
            raise ValueError(f"A file cannot run at {self.fps!r} frames a second; pass 20 or 30.")
        for name in ("exact", "in_place", "loop"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it is on or off, true or false.")

    @classmethod
    def of_fields(cls, values: Any) -> WriteOptions:
        """The options of a form's fields, "" and None being what is left out. ValueError for what is no option."""
        if not isinstance(values, Mapping):
            raise ValueError("The options of a file are no mapping; give names with values.")
        known = [one.name for one in fields(cls)]
        if unknown := [str(name)[:40] for name in values if name not in known]:
            raise ValueError(f'There is no option "{", ".join(unknown)}"; the options are {", ".join(known)}.')
        return cls(**{name: value for name, value in values.items() if value is not None and value != ""})

    def given(self) -> dict[str, Any]:
        """What differs from the defaults, as arguments of `scamo.io.write.export`."""
        return {name: value for name, value in asdict(self).items() if value is not None and value is not False}


def _is_rate(value: object) -> bool:
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and 0 < value <= MAX_FPS  # type: ignore[operator]
