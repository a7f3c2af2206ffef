"""Write the metrics of a run for TensorBoard, if it is installed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any


class TensorBoardWriter:
    """Writes figures as TensorBoard's event files.

    The first figure opens the file, so a run without figures leaves no file. TensorBoard itself drops what an
    interrupted training wrote at and after the first step of this one, because those steps are repeated. A failure (a
    full disk, an incompatible library) is reported once and ends the writing; the run's own metrics are complete
    without it.

    Args:
        folder: The folder of the event files.
        message: Reports a failure in one sentence.
    """

    def __init__(self, folder: Path, message: Callable[[str], None]) -> None:
        self._folder = folder
        self._message = message
        self._writer: Any = None
        self._failed = False

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write the figures of a step."""
        if self._failed:
            return
        try:
            if self._writer is None:
                writer = import_module("torch.utils.tensorboard").SummaryWriter
                _silence_threads()
                self._writer = writer(str(self._folder), purge_step=step)
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()
        except Exception as error:  # whatever another library may raise: it must not end a training
            self._failed = True
            self._message(f"TensorBoard gets no more figures: {_reason(error)}; {self._folder.parent} has all of them")

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None and not self._failed:
            self._writer.close()
        self._writer = None


def open_tensorboard(folder: Path, message: Callable[[str], None]) -> TensorBoardWriter | None:
    """Return a writer where the ``tensorboard`` package is installed, otherwise None.

    Args:
        folder: The folder of the event files.
        message: Reports a failure in one sentence.
    """
    try:
        installed = find_spec("tensorboard") is not None
    except ValueError:  # a module of that name that Python did not find by itself
        installed = False
    return TensorBoardWriter(folder, message) if installed else None


def _silence_threads() -> None:
    """Suppress the traceback of TensorBoard's thread for a full disk, which is reported in one sentence."""
    before = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        if not type(failure.thread).__module__.startswith("tensorboard."):
            before(failure)

    threading.excepthook = hook


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
