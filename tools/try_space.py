"""Starts the repository as a Hugging Face Space and as an installed wheel would start it, and asks for a motion.

    python tools/try_space.py

It does what a Gradio Space does: an empty virtual environment gets the packages of requirements.txt and the version of
Gradio that README's head names, with the extras and packages that Spaces add; the tracked files are copied to a new
folder; another user, with a HOME, a PORT and a SPACE_ID of his own, runs `python app.py`. Then a wheel is built and
installed into the same environment, and `scamo app` is started outside of any checkout. Both must answer with the page
and with a motion. A Space listens on all addresses; this script keeps to the loopback address.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ADDED_BY_SPACES = ("uvicorn>=0.14.0", "websockets>=10.4", "spaces")
EXTRAS = "oauth,mcp"
PROMPT = "a person walks forward"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--wait", type=float, default=120.0, help="seconds for the page, and for its motion")


def front_matter(readme: Path) -> dict[str, Any]:
    """The YAML at the head of README, which configures a Space. ValueError where there is none."""
    from huggingface_hub import metadata_load

    found = metadata_load(readme)
    if found is None:
        raise ValueError(f"{readme} does not begin with the lines that configure a Space.")
    return found


def copy_tracked_files(source: Path, target: Path) -> None:
    """Copy what a clone would have, in the state of the working tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=source, check=True, capture_output=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (source / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


def other_user(python: Path) -> pwd.struct_passwd | None:
    """A user beside root who can run this Python; None where this process may not become another user, or none can."""
    if os.getuid() != 0:
        return None
    user = pwd.getpwnam("nobody")
    tried = subprocess.run(
        [python, "-c", ""], user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd="/", capture_output=True,
        check=False,
    )  # fmt: skip
    return user if tried.returncode == 0 else None


def readable_python() -> Path:
    """The Python to make environments of: this one, or the system's where another user could not run this one."""
    own = Path(sys._base_executable).resolve()
    for python in (own, Path(f"/usr/bin/python3.{sys.version_info.minor}")):
        try:
            if other_user(python) and not subprocess.run([python, "-m", "ensurepip", "--version"], check=False,
                                                         capture_output=True).returncode:  # fmt: skip
                return python
        except OSError:
            continue
    return own


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def started(
    command: Sequence[str | Path], folder: Path, env: Mapping[str, str], user: pwd.struct_passwd | None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server with its output in folder/server.log; it is ended with all that it started."""
    identity: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            list(map(str, command)), cwd=folder, env=dict(env), stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True, **identity,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def wait_for_page(url: str, process: subprocess.Popen[bytes], seconds: float) -> float:
    """Seconds until the page answers. RuntimeError where the server ended or the time is over."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                if answer.status == 200:
                    return time.monotonic() - began
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the page did not answer within {seconds:g} s")


def ask_for_motion(url: str, seconds: float) -> str:
    """Have the page make a motion, as a program does; what the answer says of it. RuntimeError where it is none.

    Raises TimeoutError after so many seconds without an answer.
    """
    from gradio_client import Client

    asked = Client(url, verbose=False).submit(prompt=PROMPT, seed=0, seconds=2.0, api_name="/generate")
    answer = asked.result(timeout=seconds)
    files = [Path(path) for part in answer for path in _paths(part) if Path(path).is_file()]
    if not files or not all(path.stat().st_size for path in files):
        raise RuntimeError(f"/generate answered without a motion: {answer}")
    return ", ".join(f"{path.name} of {path.stat().st_size:,} bytes" for path in files)


def _paths(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from _paths(value)
    elif isinstance(part, Sequence):
        for value in part:
            yield from _paths(value)


def try_server(name: str, command: Sequence[str | Path], folder: Path, env: Mapping[str, str],
               user: pwd.struct_passwd | None, wait: float) -> None:  # fmt: skip
    """Start it, wait for the page, ask for a motion, and print how long each took."""
    url = f"http://127.0.0.1:{env['GRADIO_SERVER_PORT']}/"
    with started(command, folder, env, user) as process:
        try:
            answered = wait_for_page(url, process, wait)
            began = time.monotonic()
            made = ask_for_motion(url, wait)
        except Exception:
            print((folder / "server.log").read_text(errors="replace")[-4000:])
            raise
        took = time.monotonic() - began
        print(f"{name}: the page answers after {answered:.1f} s, a motion {took:.1f} s later ({made})")


def main(args: argparse.Namespace) -> None:
    """Try both ways."""
    head = front_matter(ROOT / "README.md")
    python = readable_python()
    user = other_user(python)
    with tempfile.TemporaryDirectory(prefix="space-") as made:
        place = Path(made)
        space, home, outside, wheels = (place / name for name in ("app", "home", "outside", "wheels"))
        for folder in (space, home, outside, wheels):
            folder.mkdir()
        place.chmod(0o755)
        copy_tracked_files(ROOT, space)
        began = time.monotonic()
        subprocess.run([python, "-m", "venv", place / "venv"], check=True)
        pip = [place / "venv/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        gradio = f"gradio[{EXTRAS}]=={head['sdk_version']}"
        subprocess.run([*pip, "-r", space / "requirements.txt", gradio, *ADDED_BY_SPACES], check=True)
        print(f"installed requirements.txt and {gradio} in {time.monotonic() - began:.0f} s")
        port = str(free_port())
        env = {
            "PATH": f"{place / 'venv/bin'}:/usr/bin:/bin", "HOME": str(home), "PORT": port, "GRADIO_SERVER_PORT": port,
            "GRADIO_SERVER_NAME": "127.0.0.1", "SPACE_ID": "somebody/scamo", "SYSTEM": "spaces", "LANG": "C.UTF-8",
            "TMPDIR": str(home),
        }  # fmt: skip
        if user:
            for path in (space, home, outside, *space.rglob("*")):
                os.chown(path, user.pw_uid, user.pw_gid)
        who = f"as {user.pw_name}" if user else "as this user, for it cannot become another one"
        command = [place / "venv/bin/python", head["app_file"]]
        try_server(f"Space, {who}", command, space, env, user, args.wait)

        wheel = [*pip[:3], "wheel", "-q", "--disable-pip-version-check", "--no-deps", "-w", wheels, space]
        subprocess.run(wheel, check=True)
        subprocess.run([*pip, "--no-deps", *wheels.glob("*.whl")], check=True)
        env = {name: value for name, value in env.items() if name not in ("SPACE_ID", "SYSTEM", "PORT")}
        try_server("wheel", [place / "venv/bin/scamo", "app"], outside, env, user, args.wait)


if __name__ == "__main__":
    main(parser.parse_args())
