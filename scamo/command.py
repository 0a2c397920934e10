"""How commands are started, here and in training: arguments from dataclasses, and mistakes as one line.

class Args: ...            # a dataclass; its fields are the options, their docstrings the help
run_command(main, Args)
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scamo.atomic import UnwrittenError, is_disk_full

MOTION_SUFFIXES = (".npy", ".npz", ".bvh", ".glb", ".gltf", ".vrma")
EXPECTED = (ValueError, ImportError, OSError, FloatingPointError)
"""What a command ends with in a line; everything else is a defect and shows where it happened."""


def run_command(
    main: Callable[[Any], Any],
    args: Any,
    *,
    argv: Sequence[str] | None = None,
    name: str | Callable[[Any], str] | None = None,
    **options: Any,
) -> int:
    """Read `args` (a dataclass, or a union of some) from the command line and run `main` on them.

    argv: instead of the process's own. name: what the messages begin with, or a function of what was read that gives
    it. options: tyro's. Returns the exit code:
    what `main` returns (None counts as 0), 2 for a mistake of the user, 130 for Ctrl-C. Warnings become lines too.
    """
    import tyro

    title = name if isinstance(name, str) else Path(sys.argv[0]).stem
    try:
        given = tyro.cli(args, args=argv, **options)
        title = name(given) if callable(name) else title
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"{title}: {message}", file=sys.stderr)
            status = main(given)
    except EXPECTED as error:
        print(f"{title}: {explanation(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{title}: stopped", file=sys.stderr)
        return 130
    return status if isinstance(status, int) else 0


def for_each_file(
    source: Path,
    out: Path,
    target_name: Callable[[Path], str],
    convert: Callable[[Path, Path], None],
    file_suffixes: Sequence[str] = (),
) -> None:
    """Call convert(file, target) for a file, or for every motion file below a folder.

    `out` is the target itself where one file goes to a name with one of `file_suffixes`; else it is a folder, in which
    the source's subfolders are repeated. A file that fails, for whatever reason, is named and the others go on; the
    command then fails with ValueError.
    """
    if source.is_file():
        target = out if out.suffix.lower() in file_suffixes else out / target_name(source)
        convert(source, target)
        print(out)
        return
    if not source.exists():
        raise ValueError(f"there is no {source}; give a motion file ({', '.join(MOTION_SUFFIXES)}) or a folder of them")
    from tqdm import tqdm

    files = list(_motion_files(source))
    if not files:
        raise ValueError(f"{source} holds no motion; give a folder with {', '.join(MOTION_SUFFIXES)} files")
    failed = 0
    taken: set[Path] = set()
    for file in tqdm(files, unit="file", disable=None):
        try:
            target = out / file.relative_to(source).parent / target_name(file)
            if target in taken:  # walk.npy and walk.bvh must not end in the same walk.mp4
                target = target.with_name(f"{target.stem}-{file.suffix[1:]}{target.suffix}")
            taken.add(target)
            convert(file, target)
        except ImportError:
            raise  # no file is at fault
        except Exception as error:  # one file, however damaged, does not stop the others
            if is_disk_full(error):
                raise
            failed += 1
            reason = one_line(error)
            tqdm.write(reason if str(file) in reason else f"{file}: {reason}", file=sys.stderr)
    print(out)
    if failed:
        rest = "the others are done" if failed < len(files) else "none is left"
        raise ValueError(f"{failed} of {len(files)} files could not be used (named above); {rest}")


def explanation(error: BaseException) -> str:
    """What a command says of an error that it ends with: a line."""
    said = one_line(error)
    if is_disk_full(error) and not isinstance(error, UnwrittenError):
        return f"the disk is full ({said}); free space and start the same command again, nothing finished is lost"
    return said


def one_line(error: BaseException) -> str:
    """An error's message in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _motion_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in MOTION_SUFFIXES and path.is_file())
