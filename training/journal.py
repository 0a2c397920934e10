"""The metrics of a run: JSON lines in its folder and, on request, curves for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scamo.atomic import explaining
from training.json_files import read_whole_rows, row_line, write_rows


class Journal:
    """Metrics of a run, one line a row. Rows of steps that a resumed run repeats are dropped first."""

    def __init__(self, path: Path, start: int, active: bool = True, tensorboard: bool = False) -> None:
        """start: the steps that are done already; active: False in all processes but the one that writes."""
        self.path, self.active = path, active
        self._board: Any = None
        if active:
            write_rows(path, [row for row in read_whole_rows(path) if row["step"] <= start])
        if active and tensorboard:
            self._board = _open_board(path.parent / "tensorboard", start)

    def write(self, row: dict[str, Any]) -> None:
        """Append one line: {"step", numbers} or {"step", "validation": {numbers}}."""
        if not self.active:
            return
        with explaining(self.path), self.path.open("ab") as file:
            file.write(row_line(row))
        if self._board is not None:
            held_out = "validation" in row
            for name, value in (row["validation"] if held_out else row).items():
                self._board.add_scalar(f"{'validation' if held_out else 'training'}/{name}", value, row["step"])

    def close(self) -> None:
        """Write what TensorBoard still holds in memory."""
        if self._board is not None:
            self._board.close()


def _open_board(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError('TensorBoard is not installed; pip install "scamo[train]", or leave --tensorboard.') from error
    return SummaryWriter(str(folder), purge_step=start + 1)
