"""The report of an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from arae_transfer.export.agreement import Agreement
from arae_transfer.export.graph import Storage
from arae_transfer.export.parity import Parity


@dataclass(frozen=True)
class ExportReport:
    """The result of an export.

    Attributes:
        folder: The exported model.
        name: Its name.
        classes: Its classes in order.
        sizes: The bytes of each file, by file name.
        parity: The comparison of its answers with the model's.
        agreement: The same for its 8-bit graphs.
        half_agreement: The same for its fp16 graphs; None: it has none, because its weights are stored in fp32.
    """

    folder: Path
    name: str
    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    parity: Parity
    agreement: Agreement
    half_agreement: Agreement | None = None

    def describe(self, weights: Storage) -> list[str]:
        """Return lines about the export for the user."""
        parity, size = self.parity, sum(self.sizes.values()) / 1e6
        lines = [
            f"{self.name}: {', '.join(self.classes)}; {size:.1f} MB in {len(self.sizes)} files",
            f"{parity.identical:,} of {parity.compared:,} rewrites are the model's, token by token; "
            f"{parity.near_ties:,} part at a near tie, {parity.different:,} differ",
        ]
        if parity.unrounded_identical < 1:
            share = 100 * (1 - parity.unrounded_identical)
            lines.append(f"{share:.1f} % of rewrites changed by rounding the weights to {weights}")
        for name, agreement, places in (("fp16", self.half_agreement, "GPUs"), ("int8", self.agreement, "CPUs")):
            if agreement is not None:
                lines.append(describe_variant(name, agreement, places, judged=len(self.classes) > 1))
        return lines


def describe_variant(name: str, agreement: Agreement, places: str, *, judged: bool) -> str:
    """Describe how a variant's answers agree with the model's, and where it runs."""
    style = f"{agreement.style_cost:.2f} points of style and " if judged else ""
    return (
        f"{name}: {100 * agreement.identical:.1f} % of rewrites are the model's, "
        f"{100 * agreement.tokens:.1f} % of tokens; "
        f"it costs {style}{agreement.self_bleu_cost:.2f} points of BLEU to the source, "
        f"{f'and is used on {places}' if agreement.accepted else f'so that it is used only with --variant {name}'}"
    )
