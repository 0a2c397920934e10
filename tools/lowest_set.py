"""Install the lowest versions that pyproject.toml allows, together, and run the quick tests with them.

    python tools/lowest_set.py                       # in a new virtual environment, which is removed again
    python tools/lowest_set.py --hold torch==2.13.0  # torch's oldest wheels for Linux bring gigabytes of CUDA
    python tools/lowest_set.py --python python3.10 --folder lowest --tests tests/test_text.py

The lowest of the direct dependencies, by uv, which is installed into that environment from the package index. Left out
is what needs a browser or Blender, and the test that spreads weights over two CPUs in place of GPUs, which older torch
cannot. Ends with the exit code of the installation or of pytest.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_OUT = "not browser and not blender and not two_processes"


def main(argv: list[str] | None = None) -> int:
    """Install and test; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the environment")
    parser.add_argument("--hold", action="append", default=[], help="a requirement that is not to be the lowest")
    parser.add_argument("--folder", type=Path, help="keep the environment here, and take it up again")
    parser.add_argument("--tests", nargs="*", default=["tests"], help="files or folders for pytest")
    args = parser.parse_args(argv)
    with _folder(args.folder) as folder:
        own = folder / "bin" / "python"
        if not own.exists():
            _run([args.python, "-m", "venv", str(folder)])
            _run([str(own), "-m", "pip", "install", "-q", "uv"])
        install = [str(folder / "bin" / "uv"), "pip", "install", "-q", "--python", str(own)]
        _run([*install, "--resolution", "lowest-direct", "-e", ".[dev]", *args.hold])
        _run([str(folder / "bin" / "uv"), "pip", "freeze", "-q", "--python", str(own)])
        tests = [str(own), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", LEFT_OUT, *args.tests]
        return subprocess.run(tests, cwd=ROOT, check=False).returncode


def _run(words: list[str]) -> None:
    print("+", *words, flush=True)
    ended = subprocess.run(words, cwd=ROOT, check=False, env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    if ended.returncode:
        raise SystemExit(ended.returncode)


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        yield kept.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="scamo-lowest-") as name:
        yield Path(name)


if __name__ == "__main__":
    sys.exit(main())
