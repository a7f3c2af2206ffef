"""What a run has written down of its codes while it trained: their norm and their variance."""

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
        """Return the last value, or None where there is none."""
        return self.values[-1] if self.values else None


def read_series(layout: RunLayout, key: str) -> Series:
    """Return a figure of the run's metrics, such as ``train/real_norm``; empty where the run has none.

    Raises:
        AraeError: The metrics are missing or damaged.
    """
    try:
        lines = layout.metrics.read_text("utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        found = [(int(record["sentences"]), float(record[key])) for record in records if key in record]
    except OSError as error:
        raise AraeError(
            f"cannot read {layout.metrics}: {error.strerror or error}", "give the folder of a run, metrics and all."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise AraeError(f"{layout.metrics} is damaged ({error})", "remove the line that is not whole.") from error
    return Series([sentences for sentences, _ in found], [value for _, value in found])
