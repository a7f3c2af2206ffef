"""Names of files: they sort by step, and any class name survives in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from arae_transfer.layout import ExportLayout, RunLayout


def test_checkpoints_sort_by_step() -> None:
    run = RunLayout(Path("run"))
    names = [run.checkpoint(step).name for step in (0, 9, 10, 99_999, 1_000_000)]
    assert names == sorted(names)
    assert run.checkpoint(7).parent == run.checkpoints


@pytest.mark.parametrize(
    "name", ["positive", "Shakespeare's own", "a.b", "%41", "A", "ünï", "..", "a:b*?", "x\\y", "💬"]
)
def test_decoder_files_have_plain_and_distinct_names(name: str) -> None:
    export = ExportLayout(Path("model"))
    path = export.decoder(name)
    assert path.parent == export.root
    assert path.name.isascii() and not set(path.name) & set(' /\\:*?"<>|')
    others = {export.decoder(other) for other in ("positive", "a.b", "A", "%41", "a%2Eb") if other != name}
    assert path not in others


def test_no_class_has_the_file_of_another_arithmetic() -> None:
    export = ExportLayout(Path("model"))
    others = {export.decoder("good", "fp16"), export.decoder("good", "int8")}
    own = {export.decoder("good.fp16"), export.decoder("good.int8"), export.decoder("good")}
    assert len(own) == 3 and not own & others
