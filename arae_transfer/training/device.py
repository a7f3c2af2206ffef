"""Choose the device and the precision of training."""

from __future__ import annotations

import os

import torch

from arae_transfer.errors import AraeError
from arae_transfer.training.processes import ALONE, Processes
from arae_transfer.training.processor import multiplies_bf16, runs_bf16


def choose_device(wish: str, processes: Processes = ALONE) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda[:N]``; several processes get one GPU each.

    Raises:
        AraeError: The device does not exist here.
    """
    if wish == "auto":
        wish = "cuda" if torch.cuda.is_available() else "cpu"
    if processes.size > 1 and wish.startswith("cuda"):
        if wish != "cuda":
            raise AraeError(
                f"--device {wish} gives one GPU to {processes.local_size} processes",
                "use --device cuda, and select GPUs with CUDA_VISIBLE_DEVICES.",
            )
        wish = f"cuda:{processes.local_rank}"
    try:
        device = torch.device(wish)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise AraeError(f"there is no device {wish!r}", "use --device auto, cpu, cuda or cuda:N.")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise AraeError(
                f"--device {wish}: this machine has {count} usable CUDA devices",
                "use --device cpu, or install a CUDA build of torch and a driver.",
            )
    return device


def use_threads(wish: int | None, processes: Processes = ALONE) -> None:
    """Set torch's number of CPU threads; None: this process's share of the available CPUs."""
    if wish is None:
        affinity = getattr(os, "sched_getaffinity", None)
        wish = len(affinity(0)) if affinity else os.cpu_count() or 1
        wish = max(1, wish // processes.local_size)
    torch.set_num_threads(wish)


def choose_precision(wish: str, device: torch.device) -> str:
    """Return ``fp32`` or ``bf16``.

    Raises:
        AraeError: bf16 is asked for and the GPU or the CPU does not have it.
    """
    capable = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
    if wish == "fast" and device.type == "cpu":
        return "bf16" if multiplies_bf16() else "fp32"
    if wish in ("auto", "fast"):
        return "bf16" if capable else "fp32"
    if wish == "bf16" and device.type == "cuda" and not capable:
        raise AraeError(f"{device} does not support bf16", "set training.precision to auto or fp32.")
    if wish == "bf16" and device.type == "cpu" and not runs_bf16():
        raise AraeError(
            "torch does not run LSTMs in bf16 on this processor, which lacks AVX-512",
            "set training.precision to auto or fp32.",
        )
    return wish
