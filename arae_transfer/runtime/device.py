"""Where a model runs: the CPU or a GPU, and how many threads there are."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from arae_transfer.errors import AraeError


@dataclass(frozen=True)
class Device:
    """Where a model runs.

    Attributes:
        kind: ``"cpu"`` or ``"cuda"``.
        index: The number of the CUDA device.
    """

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


CPU = Device("cpu")


def default_threads() -> int:
    """Return the number of processors that this process may use.

    onnxruntime's own default pins threads to every processor of the machine, which fails or stalls inside
    containers and batch systems that allow only some of them.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_device(wish: str) -> tuple[Device, str | None]:
    """Return the device and, if ``auto`` falls back to the CPU, the reason.

    Args:
        wish: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Raises:
        AraeError: The wish is none of these, or CUDA is asked for and this onnxruntime has no CUDA in it.
    """
    match = re.fullmatch(r"(auto|cpu|cuda)(?::([0-9]+))?", wish)
    if match is None or (match[2] and match[1] != "cuda"):
        raise AraeError(f"unknown device {wish!r}", "use auto, cpu, cuda or cuda:N.")
    if match[1] == "cpu" or (match[1] == "auto" and not gpu_visible()):
        return CPU, None
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        if match[1] == "auto":
            return CPU, "there is a GPU, but this onnxruntime is built without CUDA"
        raise AraeError(
            "this onnxruntime is built without CUDA",
            "pip uninstall onnxruntime && pip install --force-reinstall onnxruntime-gpu, or --device cpu.",
        )
    return Device("cuda", int(match[2] or 0)), None


def gpu_visible() -> bool:
    """Return whether a CUDA driver is installed, without the seconds that initializing CUDA would take."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    if sys.platform == "win32":
        return Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvcuda.dll").exists()
    return any(Path(place).exists() for place in ("/dev/nvidiactl", "/dev/dxg"))


def load_cuda_libraries() -> None:
    """Load CUDA and cuDNN from their Python packages; creating a session reports what is missing."""
    # Its failures are printed on stdout, among the answers.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
        onnxruntime.preload_dlls()
