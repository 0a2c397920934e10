"""Fixtures that several test files share."""

from pathlib import Path

import pytest

from tests.browser import chromium, served, visit  # noqa: F401 (fixtures are known by their names)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference material beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip("no ../shared with the reference material here")
    return folder
