"""The variants of a model: which precision runs on which device."""

from __future__ import annotations

from arae_transfer.errors import AraeError
from arae_transfer.export_config import FP16, FP32, INT8
from arae_transfer.runtime.model_folder import ModelFolder

VARIANTS = ("auto", FP32, FP16, INT8)
# The variant that is preferred on a device, if the export found its answers close enough to the trained model's.
_PREFERRED = {"cpu": INT8, "cuda": FP16}


def preferred_variant(folder: ModelFolder, kind: str) -> str:
    """Return the default variant for a kind of device.

    Args:
        folder: The model.
        kind: ``"cpu"`` or ``"cuda"``.
    """
    preferred = _PREFERRED[kind]
    found = folder.variants.get(preferred)
    return preferred if found is not None and (found.accepted or FP32 not in folder.variants) else FP32


def check_variant(folder: ModelFolder, variant: str, device: str) -> None:
    """Raise an error for a variant that the model lacks or that the device cannot run.

    Args:
        folder: The model.
        variant: One of ``VARIANTS``.
        device: As ``choose_device`` takes it.

    Raises:
        AraeError: The variant cannot be used.
    """
    if variant not in VARIANTS:
        raise AraeError(f"unknown variant {variant!r}", f"use {', '.join(VARIANTS)}.")
    if variant not in ("auto", *folder.variants):
        again = "export it again with this arae" + (" and --weights fp16" if variant == FP16 else "")
        if FP32 not in folder.variants:
            raise AraeError(
                f"the model {folder.name} has no {variant} variant",
                f"use --variant {' or '.join(folder.variants)}, or export its run again with --weights fp16.",
            )
        raise AraeError(f"the model {folder.name} has no {variant} variant", f"use --variant fp32, or {again}.")
    if device.startswith("cuda") and (variant == INT8 or set(folder.variants) == {INT8}):
        other = ", or --variant fp32" if FP32 in folder.variants else ""
        raise AraeError("int8 runs on the CPU alone", f"use --device cpu{other}.")
