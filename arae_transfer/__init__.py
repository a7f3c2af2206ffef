"""Rewrite text from one style to another with adversarially regularized autoencoders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from arae_transfer.runtime.decoding import DecodingOptions
    from arae_transfer.runtime.options import Ranking
    from arae_transfer.runtime.rewriter import Rewriter

__all__ = ["DecodingOptions", "Ranking", "__version__", "load"]

__version__ = "0.1.0"

# Official builds of onnxruntime send usage events and keep a device id in the home folder unless this is set before the
# library is loaded (its Privacy.md). Every entry passes here first: commands, the Python API, worker processes.
if not os.environ.get("ORT_DISABLE_TELEMETRY"):
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def load(
    model: str | Path | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    variant: str = "auto",
    protect: Iterable[str] = (),
    glossary: Iterable[str] = (),
) -> Rewriter:
    """Load an exported model for rewriting; imports only onnxruntime.

    onnxruntime's telemetry is off, unless the program imports onnxruntime before this package: then it decides itself
    (``ORT_DISABLE_TELEMETRY=1``).

    Args:
        model: A name, the path of an exported folder, or None for ``$ARAE_MODEL``, else the shipped model.
        device: ``auto``, ``cpu`` or ``cuda[:N]``.
        threads: CPU threads; None for all that this process may use.
        variant: ``fp32``, ``fp16``, ``int8`` or ``auto``: int8 on a CPU and fp16 on a GPU, where the export found it
            close enough.
        protect: Regular expressions; what they match in a line stays as it is, as numbers and addresses do.
        glossary: Terms that stay as they are, in this spelling.

    Returns:
        A rewriter, whose ``transfer(lines, to=...)`` yields one answer per line, in order. With ``DecodingOptions``
        the answer is the best of several candidates, and ``rewrites`` tells all of them with their scores.

    Raises:
        AraeError: There is no such model, or it is damaged, or the device cannot be used.
    """
    from arae_transfer.runtime.rewriter import Rewriter

    return Rewriter.load(model, device=device, threads=threads, variant=variant, protect=protect, glossary=glossary)


def __getattr__(name: str) -> Any:  # noqa: ANN401 -- the type of what is asked for
    """Import rarely used names on first use, for a faster start."""
    if name == "Choice":
        import warnings

        warnings.warn("arae_transfer.Choice is now arae_transfer.DecodingOptions", DeprecationWarning, stacklevel=2)
        name = "DecodingOptions"
    if name == "DecodingOptions":
        from arae_transfer.runtime.decoding import DecodingOptions

        return DecodingOptions
    if name == "Ranking":
        from arae_transfer.runtime.options import Ranking

        return Ranking
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
