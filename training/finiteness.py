"""Whether a training is still finite, and what is at fault where it is not: the data of a batch, or the optimiser.

Losses and gradients are watched on their device at every step without waiting for it. They are looked at when something
is logged or saved, and so are weights and the optimiser's state before every save.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

NOT_YET = -1
STATE = -2  # no step was seen to fail, but weights or the optimiser's state are not finite

Batch = Callable[[int, int, int], Mapping[str, Any]]


class FinitenessGuard:
    """Watches the steps of one process; all processes of a training find and explain a fault together."""

    def __init__(self, accelerator: Any) -> None:
        self._accelerator = accelerator
        self._first = torch.full((1,), NOT_YET, dtype=torch.int64, device=accelerator.device)

    def watch(self, step: int, loss: Tensor, gradient_norm: Any) -> None:
        """Remember the first step (0-based) whose loss or gradients are not finite."""
        norm = _whole(torch.as_tensor(gradient_norm, device=self._first.device))
        is_bad = ~(torch.isfinite(loss.detach()) & torch.isfinite(norm)).reshape(1)
        self._first = torch.where((self._first == NOT_YET) & is_bad, step, self._first)

    def find(self, state: tuple[nn.Module, Any] | None = None) -> int | None:
        """The first step that any process saw fail, STATE where only weights or optimiser are not finite, or None.

        state: the network and its optimiser, if they are to be looked at. Every process calls it.
        """
        own = self._first
        if state is not None:
            is_broken = torch.tensor([not all_finite(*state)], device=own.device)
            own = torch.where((own == NOT_YET) & is_broken, STATE, own)
        seen = self._accelerator.gather(own).tolist()
        steps = [step for step in seen if step >= 0]
        return min(steps) if steps else STATE if STATE in seen else None

    def explain(self, fault: int, done: int, batch: Batch, accumulate: int, rate: Callable[[int], float]) -> str:
        """What is at fault, in sentences. The batch is a function of its step, so it is made again and looked at."""
        from accelerate.utils import gather_object

        remedy = "continue with a lower rate: the same command with --continue-lr and, say, half the rate."
        if fault == STATE:
            return (
                f"The weights or the optimiser's state are not finite after step {done}, though all losses were; the "
                f"optimiser is at fault, at a learning rate of {rate(done - 1):.3g}. To go on, {remedy}"
            )
        parts = self._accelerator.num_processes * accumulate
        first = self._accelerator.process_index * accumulate
        own = [
            f"part {part + 1} of {parts} in {name}"
            for part in range(first, first + accumulate)
            for name, value in batch(fault, part, parts).items()
            if isinstance(value, Tensor) and not bool(torch.isfinite(value).all())
        ]
        places = gather_object(own) if self._accelerator.num_processes > 1 else own
        if places:
            return (
                f"The loss or its gradients are not finite at step {fault + 1}. The data is at fault: the batch of "
                f"that step holds NaN or infinite values ({'; '.join(places)}). Mend or leave out these clips, and "
                "prepare the data again."
            )
        return (
            f"The loss or its gradients are not finite at step {fault + 1}. The batch of that step is finite, so the "
            f"optimiser is at fault, at a learning rate of {rate(fault):.3g}. To go on, {remedy}"
        )


def all_finite(model: nn.Module, optimiser: Any) -> bool:
    """Whether this process's weights, buffers and optimiser state are finite; waits for their device once."""
    found = torch.zeros((), dtype=torch.float64)
    for tensor in _floats(model, optimiser):
        # A sum is finite only if every term is; in float64 it cannot overflow.
        found = found.to(tensor.device) + tensor.sum(dtype=torch.float64)
    return bool(torch.isfinite(found))


def _floats(model: nn.Module, optimiser: Any) -> Iterator[Tensor]:
    states = (value for state in optimiser.state.values() for value in state.values())
    for tensor in (*model.parameters(), *model.buffers(), *states):
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.ndim:
            yield _local(tensor.detach())


def _local(tensor: Any) -> Tensor:
    """This process's part of a tensor that is spread over several."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _whole(tensor: Any) -> Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
