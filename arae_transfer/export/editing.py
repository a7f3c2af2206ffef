"""Export of models that rewrite by edits."""

from __future__ import annotations

from collections.abc import Sequence

from arae_transfer.errors import AraeError
from arae_transfer.tasks.task import ExportRequest


def export_editor(request: ExportRequest, probe_lines: Sequence[str]) -> list[str]:
    """Write an exported model that edits.

    Raises:
        AraeError: It cannot be written, or does not answer as the trained model does.
    """
    raise AraeError(f"{request.run} edits, and cannot be exported yet", "rewrite with the run itself.")
