"""Picture files: videos through imageio's ffmpeg, stills through imageio, and the metadata in both.

GIF and WebP animations go through Pillow itself, because imageio keeps all their frames in memory and gives each frame
of a GIF its own palette. Every file appears when it is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from scamo.atomic import replacing_file

from .canvas import Frame

# The colour space is converted and named: otherwise players guess, and the guess depends on the picture's size.
_BT709 = (
    "scale=out_color_matrix=bt709:out_range=tv,pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white,format=yuv420p",
    ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"],
)
_CODECS = {
    # Beside "veryfast" at 21: two fifths of the time, the same error of the pixels, and files 1.8 times as large.
    ".mp4": [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-crf",
        "26",
        "-x264-params",
        "cabac=1:no-deblock=0",
        "-movflags",
        "+faststart",
    ],
    ".webm": ["-c:v", "libvpx-vp9", "-crf", "33", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "7"],
}
_SMALL = 640 * 640  # pixels of a frame; one thread encodes such a video as fast as it is drawn
_PIPE = 1 << 20  # bytes that wait on their way to ffmpeg: a frame, not a fourteenth of one
_READ_SECONDS = 20.0  # that ffmpeg may take for the metadata of a file
_MAX_ALLOC = 64 << 20  # bytes that ffmpeg may take at once for it
_MAX_COMMENT = 4 << 20  # bytes
_MAX_PIXELS = 50_000_000  # of a picture whose metadata is read; 8K has 33 million
SUFFIXES = (".mp4", ".webm", ".gif", ".webp")


def write_video(
    frames: Iterable[Frame],
    path: str | os.PathLike[str],
    fps: float = 20.0,
    *,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Encode frames uint8 [H, W, 3] as mp4, webm, gif or webp, by the path's suffix, and return the path.

    Frames are taken one at a time. A failure of any kind, or an exception from `frames` (a user's Stop), leaves nothing
    behind and an older file untouched. metadata: kept as JSON in the file's comment. ValueError for another suffix, no
    frames, or frames of different shapes; OSError with a remedy if the folder or the disk refuses.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f'A video cannot be written as "{path.name}"; end the name in {", ".join(SUFFIXES)}.')
    if not fps > 0:
        raise ValueError(f"A video cannot run at {fps} frames a second; pass a positive number such as 20.")
    comment = _comment(metadata)
    encode = _encode_ffmpeg if suffix in _CODECS else _encode_pillow
    with replacing_file(path) as temporary:
        encode(_checked(frames), temporary, suffix, fps, comment)
    return path


def write_image(picture: Frame, path: str | os.PathLike[str], *, metadata: Mapping[str, Any] | None = None) -> Path:
    """Write one picture uint8 [H, W, 3] as PNG, whole or not at all; metadata goes into its comment as JSON."""
    import imageio.v3 as imageio
    from PIL.PngImagePlugin import PngInfo

    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f'A still picture cannot be written as "{path.name}"; end the name in .png.')
    text = PngInfo()
    if comment := _comment(metadata):
        text.add_itxt("Comment", comment)
    checked = next(_checked([picture]))
    with replacing_file(path) as temporary:
        imageio.imwrite(temporary, checked, plugin="pillow", extension=".png", pnginfo=text)
    return path


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata that `write_video` or `write_image` kept in a file; {} if there is none.

    OSError where a picture cannot be read, or is larger than any that is written here. Only the file itself is read.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    comment = _video_comment(path, suffix) if suffix in _CODECS else _picture_comment(path, suffix)
    try:
        value = json.loads(comment)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _video_comment(path: Path, suffix: str) -> str:
    """The comment of a video through ffmpeg, which gets the format named and may open nothing but this file."""
    kind = suffix.removeprefix(".")
    limits = ["-max_alloc", str(_MAX_ALLOC), "-protocol_whitelist", "file", "-f", kind]
    command = [_ffmpeg(), "-nostdin", "-v", "error", *limits, "-i", f"file:{path.absolute()}", "-f", "ffmetadata", "-"]
    with tempfile.TemporaryFile() as output:  # on disk: a file may hold any amount
        try:
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL, check=False,
                timeout=_READ_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise OSError(f"ffmpeg did not read it in {_READ_SECONDS:g} s") from error
        output.seek(0)
        text = output.read(_MAX_COMMENT).decode("utf-8", "replace")
    lines = (line for line in _unescape_lines(text) if line.lower().startswith("comment="))
    return next(lines, "=").split("=", 1)[1]


def _picture_comment(path: Path, suffix: str) -> str:
    """The comment of a picture through Pillow, which gets the format named; its size is looked at before."""
    from PIL import Image

    with path.open("rb") as file:
        width, height = _announced_size(file.read(64), suffix)
    if width * height > _MAX_PIXELS:
        raise OSError(f"it announces {width} x {height} pixels, more than any picture made here")
    with Image.open(path, formats=[suffix.removeprefix(".").upper()]) as picture:
        info = dict(picture.info)
    found = info.get("Comment") or info.get("comment") or info.get("xmp") or b""
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


def _announced_size(start: bytes, suffix: str) -> tuple[int, int]:
    """Width and height that a picture's first bytes announce; (0, 0) where they say nothing."""
    if suffix == ".png" and start[12:16] == b"IHDR":
        return int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")
    if suffix == ".gif":
        return int.from_bytes(start[6:8], "little"), int.from_bytes(start[8:10], "little")
    if suffix == ".webp" and start[12:16] == b"VP8X":  # the other kinds have one picture, which Pillow bounds
        return int.from_bytes(start[24:27], "little") + 1, int.from_bytes(start[27:30], "little") + 1
    return 0, 0


def _comment(metadata: Mapping[str, Any] | None) -> str:
    return json.dumps(dict(metadata), ensure_ascii=False, default=str) if metadata else ""


def _unescape_lines(text: str) -> Iterator[str]:
    """The lines of ffmpeg's metadata format: a backslash keeps the next character, a newline ends a line."""
    line, escaped = "", False
    for letter in text:
        if escaped or letter not in "\\\n":
            line, escaped = line + letter, False
        elif letter == "\\":
            escaped = True
        else:
            yield line
            line = ""
    yield line


def _checked(frames: Iterable[Frame]) -> Iterator[Frame]:
    shape = None
    for index, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
            raise ValueError(f"Frame {index} is {frame.dtype} {list(frame.shape)}; frames must be uint8 [H, W, 3].")
        if shape not in (None, frame.shape):
            raise ValueError(f"Frame {index} is {list(frame.shape)}, the first was {list(shape or ())}; keep one size.")
        shape = frame.shape
        yield frame
    if shape is None:
        raise ValueError("There are no frames to encode; the motion is empty.")


def _ffmpeg() -> str:
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise OSError("no ffmpeg was found, run `pip install --force-reinstall imageio-ffmpeg`") from error


def _encode_ffmpeg(frames: Iterator[Frame], path: Path, suffix: str, fps: float, comment: str) -> None:
    first = next(frames)
    height, width = first.shape[:2]
    filters, colours = _BT709
    padded = _padded(first) is not None
    command = [
        _ffmpeg(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb0" if padded else "rgb24",
        "-s", f"{width}x{height}",
        "-r", str(fps), "-i", "-", "-an", "-vf", filters, *colours, *_CODECS[suffix],
        *(["-threads", "1", "-filter_threads", "1"] if width * height <= _SMALL else []),
        *(["-metadata", f"comment={comment}"] if comment else []), str(path),
    ]  # fmt: skip
    # ffmpeg's messages go to a file: a pipe that is not read while frames are written would block both processes.
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages)
        assert process.stdin is not None
        _widen(process.stdin)
        try:
            with contextlib.suppress(BrokenPipeError):  # the reason stands in `messages` and in the exit status
                for frame in chain([first], frames):
                    whole = _padded(frame) if padded else np.ascontiguousarray(frame)
                    process.stdin.write((np.insert(frame, 3, 0, axis=2) if whole is None else whole).data)
                process.stdin.close()
            status = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        messages.seek(0)
        lines = messages.read().decode("utf-8", "replace").strip().splitlines()
    if status != 0:
        raise OSError(_reason(lines))


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold a frame where the system allows it, which saves many switches between the processes."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)


def _padded(frame: Frame) -> Frame | None:
    """The array of four channels of which the frame is a view of the first three, or None; ffmpeg reads it directly."""
    base, (height, width, _) = frame.base, frame.shape
    if not isinstance(base, np.ndarray) or base.shape != (height, width, 4) or not base.flags.c_contiguous:
        return None
    return base if base.ctypes.data == frame.ctypes.data else None


def _reason(lines: list[str]) -> str:
    full = any("No space left" in line or "File too large" in line for line in lines)
    return "the disk is full" if full else f"ffmpeg failed: {lines[-1] if lines else 'without a message'}"


def _encode_pillow(frames: Iterator[Frame], path: Path, suffix: str, fps: float, comment: str) -> None:
    from PIL import Image

    first = Image.fromarray(next(frames))
    options: dict[str, Any] = {"save_all": True, "duration": round(1000 / fps), "loop": 0}
    rest: Iterator[Image.Image]
    if suffix == ".gif":
        # One palette for the whole clip: colours stay still, and each frame stores only what changed.
        palette = first.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        to_palette: Callable[[Frame], Image.Image] = lambda frame: Image.fromarray(frame).quantize(  # noqa: E731
            palette=palette, dither=Image.Dither.NONE
        )
        first, rest = palette, map(to_palette, frames)
        options |= {"format": "GIF", "comment": comment.encode(), "optimize": False, "disposal": 1}
    else:
        rest = map(Image.fromarray, frames)
        options |= {"format": "WEBP", "quality": 80, "method": 2, "xmp": comment.encode()}
    if not comment:
        options.pop("comment", None)
        options.pop("xmp", None)
    with path.open("wb") as file:
        first.save(file, append_images=rest, **options)
