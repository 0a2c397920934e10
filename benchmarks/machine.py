"""What every benchmark shares: facts of this machine, timing of tasks in turns, and reports as JSON and tables.

Nothing here imports numpy or torch at the top: their thread counts are set before they are first imported.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

OUT = Path("out/performance")  # git ignores it
PACKAGES = ("torch", "numpy", "transformers", "gradio", "matplotlib", "imageio-ffmpeg")
EXTENSIONS = ("avx", "avx2", "fma", "f16c", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "neon", "asimd", "sve")


def set_threads(threads: int) -> int:
    """Let numpy and torch use so many threads, 0: as many as there are cores. Returns how many that is.

    Call it before numpy is imported: its BLAS reads the environment once.
    """
    count = threads or os.cpu_count() or 1
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(count)
    import torch

    torch.set_num_threads(count)
    return count


def machine_facts() -> dict[str, Any]:
    """What figures depend on: processor, vector extensions, GPU, versions, date, and how busy the machine is now."""
    import torch

    cpu, flags = platform.processor() or platform.machine(), ""
    if Path("/proc/cpuinfo").exists():
        lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()]
        facts = {name.strip(): value.strip() for name, _, value in lines}
        cpu, flags = facts.get("model name", cpu), facts.get("flags", facts.get("Features", ""))
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "extensions": [name for name in EXTENSIONS if name in flags.split()],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "load": load_average(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def load_average() -> float | None:
    """Processes that ran or waited over the last minute, this one among them."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def take_turns(
    tasks: Mapping[str, Callable[[], Any]], repetitions: int, synchronise: Callable[[], Any] = lambda: None
) -> dict[str, dict[str, list[float]]]:
    """Wall and CPU seconds of every task. All run once per repetition, so that a busy moment hits each alike."""
    times: dict[str, dict[str, list[float]]] = {name: {"seconds": [], "cpu": []} for name in tasks}
    for _ in range(repetitions):
        for name, task in tasks.items():
            wall, cpu = time_call(task, synchronise)
            times[name]["seconds"].append(wall)
            times[name]["cpu"].append(cpu)
    return times


def time_call(task: Callable[[], Any], synchronise: Callable[[], Any] = lambda: None) -> tuple[float, float]:
    """Wall and CPU seconds of one call; `synchronise` waits for a GPU."""
    synchronise()
    wall, cpu = time.perf_counter(), time.process_time()
    task()
    synchronise()
    return time.perf_counter() - wall, time.process_time() - cpu


def median_ratio(one: list[float], other: list[float]) -> float:
    """How many times longer `one` took: the median over repetitions, each compared with its own turn."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def bandwidth(device: str = "cpu", megabytes: int = 256) -> float:
    """Bytes per second of reading the device's memory, the best of five."""
    import torch

    block = torch.ones(megabytes << 18, device=device)
    wait = synchroniser(device)
    return block.numel() * 4 / min(time_call(block.sum, wait)[0] for _ in range(5))


def synchroniser(device: str) -> Callable[[], Any]:
    """A function that waits until a device has done its work."""
    import torch

    return torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda: None


def resident_bytes(field: str = "VmRSS") -> int:
    """A figure of this process's memory ("VmHWM" is its peak); 0 where the system does not state it."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), 0)


@contextlib.contextmanager
def recorded(args: Any) -> Iterator[dict[str, Any]]:
    """A report to fill, written to `args.out` at the end with the arguments, the threads and the load before and after.

    args: a dataclass with `out`, and `threads` where a benchmark has a choice of them.
    """
    threads = set_threads(getattr(args, "threads", 0))
    arguments = {**asdict(args), "out": args.out.name, "threads": threads}
    report: dict[str, Any] = {"arguments": arguments, "load": [load_average()]}
    yield report
    report["load"].append(load_average())
    write_report(args.out, report)


def write_report(out: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON, with the facts of this machine."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": machine_facts(), **rounded(report)}, indent=1) + "\n", encoding="utf-8")


def rounded(value: Any) -> Any:
    """The same with four digits at most; no measurement of time is good to the sixteenth."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, (list, tuple)) else value


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
