"""Exports in format 1 are read as ever, and written in the newest format without a change of their answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto

from arae_transfer.errors import AraeError
from arae_transfer.export.export import export_model
from arae_transfer.export.external_weights import load_whole_graph, refer
from arae_transfer.export.folder import records_of
from arae_transfer.export.upgrade import upgrade_export
from arae_transfer.export_config import ExportConfig
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.runtime.decoding import DecodingOptions
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.tokenizer import Tokenizer
from tests.descriptions import as_exported

Make = Callable[..., tuple[ARAE, Recipe]]
VARIANTS = ("fp32", "fp16", "int8")


@pytest.fixture
def exported(make_model: Make, tokenizer: Tokenizer, lines: list[str], tmp_path: Path) -> Path:
    model, recipe = make_model(bidirectional=True)
    export_model(
        model,
        recipe,
        tokenizer,
        tmp_path / "tiny",
        name="tiny",
        probe_lines=lines,
        languages=["en"],
        evaluation="Good.",
    )
    return tmp_path / "tiny"


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write_in_format_1(source: Path, destination: Path) -> Path:
    """Write an export as the first format had it: weights lie in graphs, and other graphs say where in these."""
    folder = ModelFolder.read(source)
    contents = {name: folder.read_file(name) for name in folder.files if not name.endswith(".bin")}
    config = json.loads((source / "config.json").read_text()) | {"format_version": 1}
    main = folder.config.fp32

    def refer_to(file: str, *, holder: str) -> None:
        graph = load_whole_graph(folder, file)
        for tensor in graph.graph.initializer:
            values = tensor.raw_data
            if len(values) >= 1 << 10 and values in contents[holder]:
                refer(tensor, holder, contents[holder].find(values), len(values))
        contents[file] = graph.SerializeToString()

    for precision, variant in folder.variants.items():
        for file in [variant.encoder, *variant.decoders.values()]:
            contents[file] = load_whole_graph(folder, file).SerializeToString()
        holders = main if precision == "fp16" else variant
        if holders is not variant:
            refer_to(variant.encoder, holder=holders.encoder)
        for label, decoder in variant.decoders.items():
            assert variant.candidates is not None
            for file in (variant.candidates[label], decoder):
                if file != holders.decoders[label]:
                    refer_to(file, holder=holders.decoders[label])
    for table in (config, config["variants"]["int8"], config["variants"]["fp16"]):
        table["weights_file"] = None
        table.pop("class_weights", None)
    config["variants"]["fp16"]["weights_in"] = "fp32"
    config["files"] = {name: {"sha256": each.sha256, "bytes": each.size} for name, each in records_of(contents).items()}
    destination.mkdir()
    for name, content in contents.items():
        (destination / name).write_bytes(content)
    (destination / "config.json").write_text(as_exported(config))
    (destination / "README.md").write_bytes((source / "README.md").read_bytes())
    return destination


def answers(folder: Path, lines: list[str], variant: str, **options: Any) -> list[str]:
    rewriter = Rewriter.load(folder, device="cpu", threads=1, variant=variant)
    return list(rewriter.transfer(lines, "good", options=DecodingOptions(**options)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_format_1_answers_as_before(exported: Path, lines: list[str], tmp_path: Path, variant: str) -> None:
    old = write_in_format_1(exported, tmp_path / "old")
    for options in ({"beam": 1, "if_unchanged": "keep"}, {"beam": 3}):
        assert answers(old, lines, variant, **options) == answers(exported, lines, variant, **options)


def test_format_1_holds_weights_in_graphs(exported: Path, tmp_path: Path) -> None:
    old = write_in_format_1(exported, tmp_path / "old")
    for name in ("candidates.good.onnx", "decoder.good.fp16.onnx", "encoder.fp16.onnx"):
        graph = onnx.load(old / name, load_external_data=False).graph
        assert any(each.data_location == TensorProto.EXTERNAL for each in graph.initializer), name


def test_upgrading_gives_what_the_export_would_write(exported: Path, tmp_path: Path) -> None:
    old = write_in_format_1(exported, tmp_path / "old")
    upgrade_export(old, tmp_path / "new", name="tiny")
    assert contents_of(tmp_path / "new") == contents_of(exported)


def test_upgrading_changes_name_beam_and_card_when_asked(exported: Path, lines: list[str], tmp_path: Path) -> None:
    before = answers(exported, lines, "int8", beam=2)
    upgrade_export(exported, tmp_path / "moods", name="moods", beam=2, evaluation="Better.", languages=["de"])
    config = ExportConfig.read(tmp_path / "moods" / "config.json")
    assert (config.name, config.beam) == ("moods", 2)
    card = (tmp_path / "moods" / "README.md").read_text()
    assert "Better." in card and "Good." not in card and '- "de"' in card and '"en"' not in card
    assert answers(tmp_path / "moods", lines, "int8") == before


def test_upgrading_in_place_survives_a_damaged_file(exported: Path, tmp_path: Path) -> None:
    (exported / "decoder.good.bin").write_bytes(b"")
    before = contents_of(exported)
    with pytest.raises(AraeError, match=r"decoder\.good\.bin is damaged"):
        upgrade_export(exported, exported, name="tiny")
    assert contents_of(exported) == before
