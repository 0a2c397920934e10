"""ScaMo: text to human motion with an FSQ tokenizer and a prefix transformer.

import scamo
scamo.load(codebook=1024, size="4M").generate("a person walks forward", seed=0, seconds=4).motion.joints
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scamo.motion import (
        Motion,
        Statistics,
        features_from_joints,
        joints_from_features,
        mirror_features,
        mirror_joints,
    )
    from scamo.pipeline import Generation, Generator, ModelCard, Prompt, Sampling, Timeline, Trace
    from scamo.registry import load, load_tokenizer, models
    from scamo.tokenizer import MotionTokenizer
    from scamo.transformer import PrefixTransformer

__version__ = "0.1.0"

__all__ = [
    "Generation",
    "Generator",
    "ModelCard",
    "Motion",
    "MotionTokenizer",
    "PrefixTransformer",
    "Prompt",
    "Sampling",
    "Statistics",
    "Timeline",
    "Trace",
    "__version__",
    "features_from_joints",
    "joints_from_features",
    "load",
    "load_tokenizer",
    "mirror_features",
    "mirror_joints",
    "models",
]

_HOMES = {
    "pipeline": ("Generation", "Generator", "ModelCard", "Prompt", "Sampling", "Timeline", "Trace"),
    "motion": (
        "Motion",
        "Statistics",
        "features_from_joints",
        "joints_from_features",
        "mirror_features",
        "mirror_joints",
    ),
    "tokenizer": ("MotionTokenizer",),
    "transformer": ("PrefixTransformer",),
    "registry": ("load", "load_tokenizer", "models"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import scamo` takes no time and no torch."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"scamo.{module}"), name)
    raise AttributeError(f"module 'scamo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
