"""Data of a generation: sentences of one class, validated by generated sentences."""

from __future__ import annotations

import torch

from arae_transfer.model.arae import ARAE
from arae_transfer.training.data import PreparedText
from arae_transfer.training.validation import (
    ValidationReport,
    generate_part,
    generation_scores,
    report_validation,
    validate_part,
)


class PreparedGeneration(PreparedText):
    """The tokenized sentences of a run; see ``PreparedText``."""

    def validate(self, model: ARAE, device: torch.device) -> ValidationReport | None:
        """Score reconstructions and generated sentences; only the leading process gets the report."""
        part = validate_part(model, self.recipe, self.tokenizer, list(self.valid.values()), device, self.processes)
        if self.recipe.adversary.weight > 0:
            generate_part(model, self.recipe, self.tokenizer, part, device, self.processes)
        parts = self.processes.to_leader(part)
        return report_validation(parts, generation_scores) if self.processes.leads else None
