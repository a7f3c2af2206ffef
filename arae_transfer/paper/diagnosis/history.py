"""Norm and variance of the codes over a run's training, from its log."""

from __future__ import annotations

import json
from dataclasses import dataclass

from arae_transfer.errors import AraeError
from arae_transfer.layout import RunLayout


@dataclass(frozen=True)
class Series:
    """One figure over the training.

    Attributes:
        sentences: Training sentences seen.
        values: The figure there, the mean since the preceding one.
    """

    sentences: list[int]
    values: list[float]

    @property
    def last(self) -> float | None:
        """Last value, or None without any."""
        return self.values[-1] if self.values else None


def read_series(layout: RunLayout, key: str) -> Series:
    """Return a figure of the run's metrics, such as ``train/real_norm``; empty if the run does not have it.

    Raises:
        AraeError: The metrics are missing or damaged.
    """
    try:
        lines = layout.metrics.read_text("utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        found = [(int(record["sentences"]), float(record[key])) for record in records if key in record]
    except OSError as error:
        raise AraeError(
            f"cannot read {layout.metrics}: {error.strerror or error}", "give the folder of a run with its metrics."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise AraeError(f"{layout.metrics} is damaged ({error})", "remove the incomplete line.") from error
    return Series([sentences for sentences, _ in found], [value for _, value in found])
