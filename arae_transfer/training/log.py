"""Log of a run: metrics as JSON lines and sample rewrites, with each step once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from arae_transfer.atomic import append_text, write_bytes, write_text
from arae_transfer.layout import RunLayout
from arae_transfer.training.validation import ValidationReport


class ScalarWriter(Protocol):
    """Another receiver of all metrics."""

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write the figures of a step, by ``kind/name``."""

    def close(self) -> None:
        """Stop writing."""


class RunLog:
    """Writes the metrics and samples of a run, and removes the steps that a resumed run repeats.

    Args:
        layout: The files of the run.
        sentences_per_step: The training sentences of a step, classes together.
        scalars: Gets the figures as well.
    """

    def __init__(self, layout: RunLayout, sentences_per_step: int, scalars: ScalarWriter | None = None) -> None:
        self._layout = layout
        self._sentences_per_step = sentences_per_step
        self._scalars = scalars

    def metrics(self, kind: str, step: int, values: Mapping[str, float]) -> dict[str, float]:
        """Append one line of figures under ``kind/name``, and return them as written.

        Raises:
            AraeError: The file cannot be written.
        """
        scalars = {f"{kind}/{name}": _rounded(value) for name, value in values.items()}
        record = {"step": step, "sentences": step * self._sentences_per_step} | scalars
        append_text(self._layout.metrics, json.dumps(record) + "\n")
        if self._scalars is not None:
            self._scalars.write(step, scalars)
        return scalars

    def samples(self, step: int, report: ValidationReport) -> None:
        """Append the probe sentences of a validation, or write its picture.

        Raises:
            AraeError: The file cannot be written.
        """
        if report.picture is not None:
            write_bytes(self._layout.sample_picture(step), report.picture)
            return
        lines = [f"step {step}"]
        for probe in report.probes:
            lines += [f"  [{probe.label}] {probe.source}", f"    = {probe.reconstruction}"]
            lines += [f"    ▸ {name}: {text}" for name, text in probe.rewrites.items()]
        append_text(self._layout.samples, "\n".join(lines) + "\n")

    def trim(self, step: int) -> list[dict[str, Any]]:
        """Remove everything after a step, because those steps are repeated.

        Args:
            step: The step of the checkpoint that the run continues from.

        Returns:
            The records of the metrics that were kept, in order.
        """
        for picture in self._layout.sample_pictures.glob("*.png"):
            if picture.stem.isdecimal() and int(picture.stem) > step:
                picture.unlink()
        self._trim_samples(step)
        return self._trim_metrics(step)

    def close(self) -> None:
        """Close the other receivers; this log itself is always complete."""
        if self._scalars is not None:
            self._scalars.close()

    def _trim_metrics(self, step: int) -> list[dict[str, Any]]:
        if not self._layout.metrics.exists():
            return []
        kept, lines = [], []
        for line in self._layout.metrics.read_text("utf-8").splitlines():
            try:
                record = json.loads(line)
                if record["step"] <= step:
                    kept.append(record)
                    lines.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue  # a line cut short when the process was killed
        write_text(self._layout.metrics, "".join(lines))
        return kept

    def _trim_samples(self, step: int) -> None:
        if not self._layout.samples.exists():
            return
        kept, keeping = [], True
        for line in self._layout.samples.read_text("utf-8", errors="replace").splitlines(keepends=True):
            word, _, number = line.strip().partition(" ")
            if word == "step" and number.isdecimal() and not line.startswith(" "):
                keeping = int(number) <= step
            if keeping:
                kept.append(line)
        write_text(self._layout.samples, "".join(kept))


def _rounded(value: float) -> float:
    """Round to six decimals, or small numbers to six digits."""
    return round(value, 6) if abs(value) >= 0.1 else float(f"{value:.6g}")
