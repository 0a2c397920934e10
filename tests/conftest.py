"""Fixtures that several test files share."""

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("SCAMO_DEVICE", "cpu")  # where the tests without the mark "gpu" are meant to run

# Fixtures are known by their names.
from tests.browser import chromium, served, visit  # noqa: F401
from tests.ui import encoder, pool, shared_pool, slow_pool, tiny_models  # noqa: F401


@pytest.fixture(autouse=True)
def same_weights() -> None:
    """Networks of chance have the same weights in every run, in whichever order tests run."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference material beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip("no ../shared with the reference material here")
    return folder
