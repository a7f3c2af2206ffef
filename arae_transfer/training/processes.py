"""Data-parallel training: several processes train one model on parts of each batch.

Synchronous data parallelism: every process holds the whole model, makes the whole batch of a step from seed and step,
and keeps its own rows of it. The gradients of a network are averaged over the processes after each of its backward
passes, before they are clipped, so that all take the same step. (``DistributedDataParallel`` does the same for one
module with one backward pass; here five networks share modules, freeze each other, and the critic's penalty
differentiates twice.) Random numbers and normalizations of a batch are those of the whole batch:

* * input noise is part of making the batch; * noise on codes, noise for the generator and the penalty's mixtures are
drawn for all rows, and each process takes its own; their generator is seeded by seed and step; * the generator, which
has batch normalisation, generates for all rows in each process; * * the weight of a mean over tokens is the process's
share of the batch's tokens.

So the losses are those of one process, except for the random numbers of dropout and of noise on rewrites (in the
cycle): each process draws these itself, by seed, step and rank.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed
from torch import Tensor

from arae_transfer.corpus.batches import IntegerArray
from arae_transfer.errors import AraeError

# The search for pairs and the tokenizing of a large corpus are done by one process while the others wait. A process
# that died is noticed at once, because its connections close.
TIMEOUT = timedelta(hours=12)

T = TypeVar("T")


class LostProcess(AraeError):
    """Another process of the group has ended."""


class Processes:
    """The processes of a run, from the view of one of them; a single process is a group of one.

    Attributes:
        rank: The number of this process.
        size: The number of processes.
        local_rank: The number of this process among those of its machine.
        local_size: The number of processes of its machine.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0, local_size: int = 1) -> None:
        self.rank = rank
        self.size = size
        self.local_rank = local_rank
        self.local_size = local_size

    @property
    def leads(self) -> bool:
        """Whether this process shows, logs and saves."""
        return self.rank == 0

    def name(self) -> str:
        """Name of this process in a message."""
        return f"process {self.rank} of {self.size}"

    def description(self) -> str:
        """Return the start of a line about a run with several processes."""
        return f"{self.size} processes · " if self.size > 1 else ""

    # --- what belongs to whom ---------------------------------------------------------------------------------

    def rows(self, number: int, classes: int) -> IntegerArray:
        """Return the indices of this process's rows in a batch that is sorted by class.

        Args:
            number: The rows of the whole batch; each process gets as many of each class.
            classes: The number of classes.
        """
        places = np.arange(number).reshape(classes, self.size, -1)  # (classes, processes, rows of each)
        return places[:, self.rank].reshape(-1)

    def check_batch_size(self, size: int) -> None:
        """Raise an error for a batch size that the number of processes does not divide.

        Raises:
            AraeError: The message names valid sizes.
        """
        if size % self.size:
            nearest = max(1, round(size / self.size)) * self.size
            raise AraeError(
                f"training.batch_size = {size} is not divisible by {self.size} processes",
                f"set it to a multiple of {self.size}, such as {nearest}.",
            )

    def own_randomness(self, generator: np.random.Generator) -> np.random.Generator:
        """Return a random generator for this process's own rows."""
        if self.size == 1:
            return generator
        return np.random.default_rng([*generator.integers(0, 2**32, 2).tolist(), self.rank])

    # --- what is said -----------------------------------------------------------------------------------------

    def from_leader(self, make: Callable[[], T]) -> T:
        """Compute a value in the leading process, and return it in all processes."""
        if self.size == 1:
            return make()
        box: list[Any] = [make() if self.leads else None]
        with self._talking():
            torch.distributed.broadcast_object_list(box, src=0)
        result: T = box[0]
        return result

    def to_leader(self, part: T) -> list[T]:
        """Collect the values of all processes in the leading process; return nothing in the others."""
        if self.size == 1:
            return [part]
        parts: list[Any] | None = [None] * self.size if self.leads else None
        with self._talking():
            torch.distributed.gather_object(part, parts, dst=0)
        return parts or []

    def first_on_each_machine(self, make: Callable[[], T]) -> T:
        """Run something in the first process of each machine before the others."""
        if self.size == 1:
            return make()
        result = make() if self.local_rank == 0 else None
        self.maximum(0)  # wait
        return make() if result is None else result

    def any(self, flag: bool) -> bool:
        """Return whether a flag is set in any process."""
        return self.maximum(int(flag)) > 0

    def maximum(self, value: int) -> int:
        """Return the maximum over all processes."""
        if self.size == 1:
            return value
        box = torch.tensor([value])
        with self._talking():
            torch.distributed.all_reduce(box, torch.distributed.ReduceOp.MAX)
        return int(box)

    def mean(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return the means over all processes of figures with equal names."""
        if self.size == 1:
            return dict(figures)
        box = torch.tensor(list(figures.values()), dtype=torch.float64)
        with self._talking():
            torch.distributed.all_reduce(box)
        return dict(zip(figures, (box / self.size).tolist(), strict=True))

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace gradients by their means over all processes."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        with self._talking():
            torch.distributed.all_reduce(flat)
        flat /= self.size
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [part.view_as(own) for part, own in zip(parts, gradients, strict=True)])

    def take_over(self, tensors: Iterable[Tensor]) -> None:
        """Broadcast the leading process's values."""
        if self.size == 1:
            return
        with self._talking():
            for tensor in tensors:
                torch.distributed.broadcast(tensor.detach(), src=0)

    def whole_mask(self, mask: Tensor, classes: int) -> Tensor:
        """Join the masks of all processes: (own rows, vectors) to (all rows, vectors), sorted by class."""
        if self.size == 1:
            return mask
        own = mask.to(torch.uint8).contiguous()
        parts = [torch.empty_like(own) for _ in range(self.size)]
        with self._talking():
            torch.distributed.all_gather(parts, own)
        vectors = mask.size(1)
        whole = torch.stack(parts).view(self.size, classes, -1, vectors).transpose(0, 1)
        return whole.reshape(-1, vectors).bool()

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Report the loss of another process in a clear message."""
        try:
            yield
        except RuntimeError as error:
            raise LostProcess(
                f"{self.name()} lost another process, which has ended",
                "read the message of that process; continue from the last checkpoint with --resume.",
            ) from error


# The group of a process that trains by itself.
ALONE = Processes()


def is_launched() -> bool:
    """Return whether torchrun or ``arae train --devices`` started this process in a group."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def join_processes() -> Processes:
    """Connect to the other processes of the run, if there are any.

    Raises:
        AraeError: They cannot be reached.
    """
    if not is_launched():
        return Processes()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local_rank, local_size = (
        int(os.environ.get(f"LOCAL_{name}", value)) for name, value in (("RANK", rank), ("WORLD_SIZE", size))
    )
    # Objects and flags go by the processor, gradients by the device that they are on.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        torch.distributed.init_process_group(backend, rank=rank, world_size=size, timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise AraeError(
            f"process {rank} of {size} cannot connect to the others: {error}",
            "start all of them with `arae train --devices N` or torchrun.",
        ) from error
    return Processes(rank, size, local_rank, local_size)


def leave_processes() -> None:
    """Disconnect from the other processes."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
