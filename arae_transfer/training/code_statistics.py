"""Figures of codes, for the log."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def code_statistics(name: str, code: Tensor, mask: Tensor) -> dict[str, float]:
    """Return the mean L2 norm and the summed variance over dimensions of code vectors (paper, Figure 2)."""
    vectors = code[mask].float()  # (real vectors, size)
    return {
        f"{name}_norm": float(vectors.norm(dim=1).mean()),
        f"{name}_variance": float(vectors.var(dim=0).sum()) if len(vectors) > 1 else 0.0,
    }
