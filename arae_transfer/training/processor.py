"""Settings of this process for fast training on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from arae_transfer.training.memory import keep_freed_memory


def prepare_processor() -> None:
    """Set this process up for training; results change in their last digits only."""
    # Probabilities far below any that matter would otherwise slow the processor down a hundredfold.
    torch.set_flush_denormal(True)
    keep_freed_memory()
    use_onednn_products()


def _processor() -> dict[str, Any]:
    """Return torch's name of the processor, or nothing if torch does not report it."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    return dict(ask()) if ask is not None else {}


def multiplies_bf16() -> bool:
    """Return whether the CPU multiplies bfloat16 in hardware."""
    processor = _processor()
    return bool(processor.get("avx512_bf16") or processor.get("amx_bf16"))


@cache
def runs_bf16() -> bool:
    """Return whether LSTMs run in bfloat16 on this CPU; oneDNN requires AVX-512."""
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            torch.nn.LSTM(8, 8, batch_first=True)(torch.zeros(1, 2, 8))
    except RuntimeError:
        return False
    return True


def use_onednn_products() -> bool:
    """Use oneDNN instead of MKL for fp32 products if that is faster: on AMD processors with AVX-512.

    MKL, with which torch comes, uses half of their vector width (106 against 235 GFLOP/s on one core of an EPYC with
    AVX-512). torch uses oneDNN for fp32 products only if bfloat16 is allowed inside of them. oneDNN uses that
    permission only on processors with AMX; so this is done only without AMX, and after a test product has shown that
    nothing is rounded. On GPUs nothing changes.

    Returns:
        Whether oneDNN multiplies now.
    """
    processor = _processor()
    known = "AMD" in str(processor.get("cpu_name")) and processor.get("avx512_f") and not processor.get("amx_bf16")
    settings: Any = getattr(torch.backends.mkldnn, "matmul", None)
    if not known or settings is None:
        return False
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    # One more than a power of two, and a bit that bfloat16 has no place for.
    fine = torch.full((128, 128), 1.0 + 2.0**-20)
    if torch.equal(fine @ torch.eye(128), fine):
        return True
    settings.fp32_precision = before
    return False


@contextmanager
def torchs_own_products() -> Iterator[None]:
    """Use torch's own matrix products in a block, in spite of ``use_onednn_products``."""
    settings: Any = getattr(torch.backends.mkldnn, "matmul", None)
    if settings is None:
        yield
        return
    before = settings.fp32_precision
    settings.fp32_precision = "none"
    try:
        yield
    finally:
        settings.fp32_precision = before
