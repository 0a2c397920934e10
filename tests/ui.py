"""The tiny models and the pools that the tests of the page share; conftest.py makes these fixtures known to them.

`pool` is a test's own: nothing is loaded, and its `encoder` counts what it reads. `shared_pool` keeps its models for
the whole run, for tests that only use them. `slow_pool` holds codecs that do not make 5 tokens a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from scamo.ui.model_pool import ModelPool
    from tests.tiny import FakeEncoder

CODEBOOKS, SIZES = (256, 1024), ("0.3M", "1M")


def make_pool(bundled: Path, folders: Sequence[Path] = (), encoder: Any = None, **options: Any) -> ModelPool:
    """A pool in which a folder takes the place of the bundled models, with a fake text encoder."""
    from scamo import registry
    from scamo.ui.model_pool import ModelPool
    from tests.tiny import FakeEncoder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "BUNDLED", bundled)
        patch.delenv(registry.MODELS_VARIABLE, raising=False)
        return ModelPool(folders, load_encoder=lambda name: encoder or FakeEncoder(), **options)


def write_slow_models(folder: Path) -> Path:
    """Two models: HumanML3D's with three halvings (2.5 tokens a second), and KIT-ML's (3.125 a second)."""
    import math

    from scamo.configs import TokenizerConfig, TransformerConfig
    from scamo.tokenizer import MotionTokenizer
    from scamo.transformer import PrefixTransformer
    from tests.tiny import ABOUT

    configs = {
        "three-halvings": TokenizerConfig((8, 6, 5), 16, 16, depth=1, halvings=3),
        "kit": TokenizerConfig((8, 8, 8), 16, 16, depth=1, features=251, fps=12.5),
    }
    for name, config in configs.items():
        MotionTokenizer(config).save_pretrained(folder / f"tokenizer-{name}", ABOUT)
        network = PrefixTransformer(TransformerConfig(math.prod(config.levels), 4, 4, 64, 384))
        network.save_pretrained(
            folder / name, {**ABOUT, "name": name, "tokenizer": f"../tokenizer-{name}", "text_encoder": "minilm"}
        )
    return folder


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of random weights for each of CODEBOOKS and SIZES."""
    from tests.tiny import write_models

    return write_models(tmp_path_factory.mktemp("models"), CODEBOOKS, SIZES)


@pytest.fixture
def encoder() -> FakeEncoder:
    """The text encoder of `pool`."""
    from tests.tiny import FakeEncoder

    return FakeEncoder()


@pytest.fixture
def pool(tiny_models: Path, encoder: FakeEncoder) -> ModelPool:
    """The tiny models, none loaded yet."""
    return make_pool(tiny_models, encoder=encoder)


@pytest.fixture(scope="session")
def shared_pool(tiny_models: Path) -> ModelPool:
    """The tiny models; what one test has loaded is there for the next."""
    return make_pool(tiny_models)


@pytest.fixture(scope="session")
def slow_pool(tmp_path_factory: pytest.TempPathFactory) -> ModelPool:
    """Models whose codecs do not make 5 tokens a second."""
    return make_pool(write_slow_models(tmp_path_factory.mktemp("slow")))
