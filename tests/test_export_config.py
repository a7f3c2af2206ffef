"""One description of an export: what is written is what is read, old files as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from arae_transfer.export_config import (
    CLASSIFICATION,
    FP16,
    FP32,
    GENERATION,
    IMAGE,
    INT8,
    REWRITING,
    Classifier,
    ExportConfig,
    FileRecord,
    Generator,
    ImageShape,
    Variant,
)

SHIPPED = sorted((Path(__file__).parent.parent / "exported").glob("*/config.json"))
CLASSES = ("bad", "good")
FP32_GRAPHS = Variant(
    "encoder.onnx",
    {name: f"decoder.{name}.onnx" for name in CLASSES},
    "weights.bin",
    class_weights={name: f"decoder.{name}.bin" for name in CLASSES},
    storage=FP16,
)


def text_config(task: str) -> ExportConfig:
    candidates = {name: f"candidates.{name}.onnx" for name in CLASSES}
    variants = {FP32: replace(FP32_GRAPHS, candidates=candidates, agreement={"compared": 3})}
    variants[FP16] = replace(variants[FP32], accepted=False)
    variants[INT8] = replace(variants[FP32], storage=INT8, weights="weights.int8.bin")
    config = ExportConfig(
        name="moods",
        classes=CLASSES,
        task=task,
        variants=variants,
        maximum_tokens=12,
        form={"lower_case": True},
        tokenizer="tokenizer.model",
        scorer="scorer.onnx",
        language_models={name: f"language.{name}.npz" for name in CLASSES},
        beam=5,
        generator=Generator("generator.onnx", 8, 1, (1, 2)),
        shortlist={"tokens": 4, "accepted": True},
        arae_version="1",
        training={"sentences": 7, "runs": 2},
        recipe={"name": "moods"},
    )
    return with_files(config)


def with_files(config: ExportConfig) -> ExportConfig:
    return replace(config, files={name: FileRecord("00", 1) for name in config.file_names})


CONFIGS = {
    REWRITING: text_config(REWRITING),
    GENERATION: text_config(GENERATION),
    CLASSIFICATION: with_files(
        ExportConfig(
            "moods",
            CLASSES,
            CLASSIFICATION,
            {FP32: Variant("encoder.onnx", storage=FP16)},
            maximum_tokens=12,
            tokenizer="tokenizer.model",
            classifier=Classifier("classifier.onnx", pairs=True),
        )
    ),
    IMAGE: with_files(
        ExportConfig(
            "digits",
            CLASSES,
            IMAGE,
            {FP32: replace(FP32_GRAPHS, weights=None, class_weights={}, storage=FP32)},
            generator=Generator("generator.onnx", 8, 1),
            image=ImageShape(28, 28, 2),
        )
    ),
}


@pytest.mark.parametrize("task", CONFIGS)
def test_what_is_written_is_read(task: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(CONFIGS[task].to_json())
    assert ExportConfig.read(path) == CONFIGS[task]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_a_shipped_description_survives_reading_and_writing(path: Path) -> None:
    assert ExportConfig.read(path).to_json() == path.read_bytes()


@pytest.mark.parametrize("task", CONFIGS)
def test_a_file_without_a_record_is_refused(task: str) -> None:
    for name in CONFIGS[task].file_names:
        table = json.loads(CONFIGS[task].to_json())
        del table["files"][name]
        with pytest.raises(KeyError, match=f"files.{name}"):
            ExportConfig.from_dict(table)
