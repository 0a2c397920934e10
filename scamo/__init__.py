"""ScaMo: text to human motion with an FSQ tokenizer and a prefix transformer.

import scamo
scamo.load(codebook=1024, size="4M").generate("a person walks forward", seed=0, seconds=4).motion.save("walk.bvh")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scamo.version import VERSION as __version__

if TYPE_CHECKING:
    from scamo.convert import convert_official
    from scamo.engine import Trace
    from scamo.io.read import load_motion
    from scamo.io.recipe import Recipe, read_recipe
    from scamo.io.write import export
    from scamo.motion import (
        Motion,
        Statistics,
        features_from_joints,
        joints_from_features,
        mirror_features,
        mirror_joints,
    )
    from scamo.options import GenerationOptions, Prompt
    from scamo.pipeline import Generation, MotionPipeline, load
    from scamo.registry import ModelCard, load_tokenizer, models
    from scamo.tokenizer import MotionTokenizer
    from scamo.transformer import PrefixTransformer

_HOMES = {
    "convert": ("convert_official",),
    "engine": ("Trace",),
    "io.recipe": ("Recipe", "read_recipe"),
    "io.read": ("load_motion",),
    "io.write": ("export",),
    "motion": (
        "Motion",
        "Statistics",
        "features_from_joints",
        "joints_from_features",
        "mirror_features",
        "mirror_joints",
    ),
    "options": ("GenerationOptions", "Prompt"),
    "pipeline": ("Generation", "MotionPipeline", "load"),
    "registry": ("ModelCard", "load_tokenizer", "models"),
    "tokenizer": ("MotionTokenizer",),
    "transformer": ("PrefixTransformer",),
}

__all__ = [
    "Generation",
    "GenerationOptions",
    "ModelCard",
    "Motion",
    "MotionPipeline",
    "MotionTokenizer",
    "PrefixTransformer",
    "Prompt",
    "Recipe",
    "Statistics",
    "Trace",
    "__version__",
    "convert_official",
    "export",
    "features_from_joints",
    "joints_from_features",
    "load",
    "load_motion",
    "load_tokenizer",
    "mirror_features",
    "mirror_joints",
    "models",
    "read_recipe",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import scamo` is quick and loads no torch."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"scamo.{module}"), name)
    raise AttributeError(f"module 'scamo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
