"""Where models compute: which devices there are, in which type, with how much memory, and whose turn it is.

All that is asked of a GPU is asked of DEVICES. A test puts a stand-in there, and needs no GPU.

Seeds. A seed stands for the random numbers; the tokens follow from them and from the logits.
- CPU, float32: the same seed gives the same tokens, alone, in a batch and after a start, on every run. Only a random
  number that hits the border between two tokens to six digits could make a difference between these.
- CPU, float16, bfloat16 or int8: the same for the same request on the same machine. A batch may round otherwise.
- GPU, any type: the same for the same request (same batch, type, PyTorch and kind of GPU). In float32 the logits differ
  from the CPU's by rounding only, so nearly all tokens are the CPU's; where two tokens are about equally likely another
  may be taken, and all after it follow that one. In bfloat16 and float16 that is common.
The tokenizer is float32 everywhere: the same tokens give the same motion to about a tenth of a millimetre.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

VARIABLE = "SCAMO_DEVICE"
NAMES = "auto, cpu, cuda, cuda:1 or mps"
_WAIT = 0.2  # seconds between two reports of a generation that waits for its turn
_TEXT_ROOM = 2 << 30  # bytes; with less left on a GPU, a text encoder does not stay there
_FULL = re.compile(r"out of memory|can't allocate memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED", re.I)

T = TypeVar("T")


class DeviceFull(ValueError):
    """A device has no memory left for what was asked; the message names the remedy."""


@dataclass(frozen=True)
class Memory:
    """A device's memory in bytes: what may still be taken, and all of it."""

    free: int
    total: int


@dataclass(frozen=True)
class Place:
    """Where a transformer computes, by names of torch: "cuda:0", "bfloat16". why: what `auto` went by, in words."""

    device: str
    dtype: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.device} in {self.dtype}"


class Devices:
    """What PyTorch knows of this machine's devices."""

    def gpus(self) -> list[str]:
        """The GPUs that PyTorch can use, CUDA before MPS: ["cuda:0", "cuda:1"], ["mps"] or none."""
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return [f"cuda:{index}" for index in range(count)] + ["mps"] * torch.backends.mps.is_available()

    def why_none(self, kind: str) -> str:
        """Why there is no GPU of a kind, "cuda" or "mps", and what helps."""
        import torch

        if kind == "mps":
            return "MPS is Apple's, on macOS 12.3 or later"
        if torch.version.cuda is None and torch.version.hip is None:
            return "this PyTorch is built for the CPU alone; install its CUDA build from pytorch.org"
        return "PyTorch finds no GPU and driver; see what nvidia-smi says"

    def is_gpu(self, device: torch.device) -> bool:
        """Whether a device has memory of its own, and computes for one after another."""
        return device.type in ("cuda", "mps")

    def dtype(self, device: torch.device) -> torch.dtype:
        """The type that a transformer computes in by default: bfloat16 on GPUs that have it, float16 on others."""
        import torch

        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
        return torch.float16 if device.type == "mps" else torch.float32

    def memory(self, device: torch.device) -> Memory | None:
        """A GPU's memory; what PyTorch keeps for later use counts as free. None where it is not known."""
        import torch

        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            return Memory(free + kept, total)
        if device.type == "mps":
            total = torch.mps.recommended_max_memory()
            return Memory(max(total - torch.mps.current_allocated_memory(), 0), total)
        return None

    def empty_cache(self, device: torch.device) -> None:
        """Give back what PyTorch keeps for later use."""
        import torch

        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.empty_cache()
        elif device.type == "mps":
            torch.mps.empty_cache()

    def prepare(self, device: torch.device) -> None:
        """Let convolutions compute in float32. By default those of CUDA round to 10 bits, too few for the tokenizer."""
        import torch

        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False


DEVICES = Devices()


def default_device() -> str:
    """What SCAMO_DEVICE says, or "auto"."""
    return os.environ.get(VARIABLE, "").strip() or "auto"


def is_auto(device: str | torch.device) -> bool:
    """Whether a name leaves the choice to the program."""
    return str(device).strip().lower() == "auto"


def find_device(name: str | torch.device) -> torch.device:
    """The device of a name; "auto" is CUDA where there is it, then MPS, then the CPU.

    Raises ValueError with the remedy for what is no device, and for one that this machine does not have.
    """
    import torch

    wanted = str(name).strip().lower()
    if wanted == "cpu":
        return torch.device("cpu")
    gpus = DEVICES.gpus()
    if wanted == "auto":
        return torch.device(gpus[0] if gpus else "cpu")
    match = re.fullmatch(r"(cuda|mps)(:\d+)?", wanted)
    if match is None:
        raise ValueError(f'there is no device "{name}" on this machine; give {NAMES}')
    kind = match[1]
    fitting = [gpu for gpu in gpus if wanted in (gpu, gpu.partition(":")[0]) or (gpu == "mps" and wanted == "mps:0")]
    if not fitting:
        same = [gpu for gpu in gpus if gpu.startswith(kind)]
        reason = f"there are: {', '.join(same)}" if same else DEVICES.why_none(kind)
        raise ValueError(f'there is no device "{name}" on this machine ({reason}); or use "cpu"')
    return torch.device(fitting[0])


def text_device(device: torch.device, needed: int) -> torch.device:
    """Where a text encoder of so many bytes goes, beside a model on `device`: the CPU where it has no room there."""
    import torch

    memory = DEVICES.memory(device) if DEVICES.is_gpu(device) else None
    return torch.device("cpu") if memory is not None and memory.free < needed else device


def is_short(device: torch.device) -> bool:
    """Whether a GPU has so little memory left that a text encoder should leave it after use."""
    memory = DEVICES.memory(device) if DEVICES.is_gpu(device) else None
    return memory is not None and memory.free < _TEXT_ROOM


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is a device's, or this machine's, lack of memory. PyTorch has several ways to say it."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError" or bool(_FULL.search(str(error)))
    )


def remedy(device: torch.device, dtype: str) -> str:
    """What helps where memory is short, in words, for a model that computes in `dtype`."""
    words = ["choose a smaller size"]
    if DEVICES.is_gpu(device):
        words += ["start with --dtype bfloat16"] if dtype == "float32" else []
        words += ["start with --device cpu --dtype int8"]
    elif dtype != "int8":
        words += ["start with --dtype int8"]
    return ", or ".join(words)


def full(device: torch.device, dtype: str) -> DeviceFull:
    """The error for a device whose memory ran out."""
    memory = DEVICES.memory(device) if DEVICES.is_gpu(device) else None
    free = "" if memory is None else f" ({memory.free / 1e9:.1f} of {memory.total / 1e9:.1f} GB are free now)"
    return DeviceFull(f"the memory of {device} ran out{free}; {remedy(device, dtype)}, or ask for less at once")


class Turn:
    """Whose turn it is on a device. On a GPU one generation follows the other, as memory is planned for one.

    The CPU has no turns: its memory is the machine's.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for the turn, and have it in the block."""
        with self._lock if DEVICES.is_gpu(self.device) else contextlib.nullcontext():
            yield

    def around(
        self, counts: Generator[int, None, T], dtype: str, when_full: Callable[[], None] | None = None
    ) -> Generator[int, None, T]:
        """Pass on what a generation yields, all in one turn. While it waits it yields 0, so that it can be stopped.

        Where memory runs out, everything the generation held is let go, `when_full` is called, and DeviceFull raised.
        """
        shared = DEVICES.is_gpu(self.device)
        while shared and not self._lock.acquire(timeout=_WAIT):
            yield 0
        try:
            return (yield from counts)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        finally:
            counts.close()
            if shared:
                self._lock.release()  # perhaps by another thread than took it, which only a plain Lock allows
        # Outside of the block, the error and all tensors that its traceback held are gone.
        if when_full is not None:
            when_full()
        DEVICES.empty_cache(self.device)
        raise full(self.device, dtype)


_turns: dict[str, Turn] = {}
_turns_lock = threading.Lock()


def turn_on(device: torch.device) -> Turn:
    """The one Turn of a device in this process."""
    with _turns_lock:
        return _turns.setdefault(str(device), Turn(device))
