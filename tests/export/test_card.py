"""The model card: what must be in it, and what must not."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arae_transfer.export.card import RewritingCard
from arae_transfer.export.card_parts import EVALUATION_BEGIN, EVALUATION_END, TAGS
from arae_transfer.export.hub_metadata import NO_SOURCE, front_matter, license_text
from arae_transfer.export_config import ExportConfig, FileRecord, Variant

EXPORTED = Path(__file__).resolve().parents[2] / "exported"


def variant(**changes: Any) -> Variant:
    decoders = {"sad": "decoder.sad.onnx", "very happy": "decoder.very%20happy.onnx"}
    return replace(Variant("encoder.onnx", decoders, storage="fp16"), **changes)


CONFIG = ExportConfig(
    name="moods",
    classes=("sad", "very happy"),
    scorer="scorer.onnx",
    variants={"fp32": variant()},
    files={"encoder.onnx": FileRecord("00", 2_000_000), "decoder.sad.onnx": FileRecord("00", 3_000_000)},
    maximum_tokens=30,
    form={"lower_case": True, "tokens": "penn-treebank", "number": "_num_"},
    sizes={
        "parameters": 1234567,
        "vocabulary": 8000,
        "code": "single",
        "code_size": 64,
        "embedding": 32,
        "hidden": 48,
        "encoder_layers": 1,
        "bidirectional": False,
        "decoder_layers": 2,
    },
    parity={
        "probe_lines": 400,
        "random_lines": 0,
        "compared": 900,
        "identical": 899,
        "near_ties": 1,
        "different": 0,
        "code_difference": 1.2e-7,
        "unrounded_identical": 0.987,
        "batch_sizes": [1, 7, 64],
        "torch": "2.11.0",
        "onnxruntime": "1.28.0",
    },
    scores={"self_bleu": 51.25, "style": 88.5},
    training={"sentences": 1400000, "minutes": 42.4},
)


def card(evaluation: str = "", **changes: Any) -> str:
    source = 'Diaries: "public domain", no terms.'
    return RewritingCard(replace(CONFIG, **changes), "Moods of diaries.", source, evaluation, ["en"]).render()


def prose(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_what_a_stranger_must_know_is_there() -> None:
    text = prose(card())
    for fact in (
        "# moods",
        "Moods of diaries.",
        "arae transfer --model moods --to 'very happy'",
        "| sad | decoder.sad.onnx |",
        'Diaries: "public domain", no terms.',
        "1,234,567 parameters",
        "| together | 5.00 MB |",
        "1,400,000 sentences seen, 42 minutes",
        "| style | 88.50 |",
        "Of 900 rewrites 899 are identical",
        "leaves 98.7 % of the rewrites",
        "up to 29 tokens",
        "in lower case, with words and punctuation separated as in penn-treebank, with `_num_` for numbers",
        "Matrices are stored as fp16; arithmetic is fp32.",
    ):
        assert fact in text, fact


def test_other_arithmetic_is_told_with_its_agreement() -> None:
    agreement = {"identical": 0.988, "style_cost": 0.1, "self_bleu_cost": -0.01}
    variants = dict(CONFIG.variants) | {"fp16": variant(agreement=agreement)}
    text = prose(card(variants=variants))
    assert "The `fp16` files are graphs for the same weights" in text
    assert "98.8 % of the rewrites" in text
    assert "changes by -0.10 points, BLEU to the source changes by +0.01. They are what runs on a GPU." in text
    assert "`int8`" not in text
    variants["int8"] = variant(agreement=agreement, accepted=False)
    assert "They run with `--variant int8` only." in prose(card(variants=variants))


@pytest.mark.parametrize("cost", [0.0, -0.0, 0.004, -0.004])
def test_no_difference_has_no_sign(cost: float) -> None:
    agreement = {"identical": 1.0, "style_cost": cost, "self_bleu_cost": cost}
    text = prose(card(variants={"fp32": variant(), "int8": variant(agreement=agreement)}))
    assert "changes by 0.00 points, BLEU to the source changes by 0.00." in text


def test_all_runs_of_a_training_are_counted() -> None:
    training = {"sentences": 3_000_000, "minutes": 90.0, "runs": 3, "complete": True}
    assert "3,000,000 sentences seen, 90 minutes, in 3 runs" in prose(card(training=training))
    assert "at least 3,000,000 sentences" in prose(card(training=training | {"complete": False}))


def test_what_is_not_known_is_not_invented() -> None:
    bare = RewritingCard(replace(CONFIG, scores={}, training={}, form={}), "", "")
    text = prose(bare.render())
    assert "does not say where the data come from" in text
    assert "sentences seen" not in text
    assert "Validation scores" not in text
    assert "The training text is written" not in text
    assert "language:" not in text


def test_the_head_has_what_the_hub_knows() -> None:
    assert card().startswith("---\n")
    head = card().split("---\n")[1]
    fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    assert fields == {
        "license": "other",
        "license_name": "terms-of-the-training-data",
        "license_link": "LICENSE",
        "library_name": "arae-transfer",
        "pipeline_tag": "text-generation",
    }
    assert 'language:\n- "en"\n' in head
    assert "tags:\n- text-style-transfer\n" in head


@pytest.mark.parametrize("folder", sorted(EXPORTED.glob("*/config.json")), ids=lambda path: path.parent.name)
def test_shipped_models_have_the_head_and_the_terms_of_new_ones(folder: Path) -> None:
    config = json.loads(folder.read_bytes())
    head = front_matter("text-generation", ["text-style-transfer", *TAGS], ["en"])
    assert (folder.parent / "README.md").read_text("utf-8").startswith(head)
    terms = license_text(config["name"], config["recipe"]["data_source"])
    assert (folder.parent / "LICENSE").read_text("utf-8") == terms


def test_the_terms_name_model_and_data() -> None:
    text = license_text("moods\n", "Diaries: no terms.")
    assert text.startswith("Terms of the model moods\n")
    assert "learned from these data: Diaries: no terms." in prose(text)
    assert NO_SOURCE in prose(license_text("moods", ""))


def evaluation_of(text: str) -> str:
    return text.split(EVALUATION_BEGIN)[1].split(EVALUATION_END)[0].strip()


def test_the_evaluation_stands_between_its_marks() -> None:
    assert evaluation_of(card()).startswith("Not evaluated yet")
    assert evaluation_of(card("| a | b |\n")) == "| a | b |"


def test_an_evaluation_names_no_folder_of_the_machine() -> None:
    assert evaluation_of(card("Judge: /home/some-body/re.views/test.txt, seed 1")) == "Judge: test.txt, seed 1"
    assert evaluation_of(card(r"Judge: C:\Users\somebody\test.txt")) == "Judge: test.txt"
    for harmless in (
        "and/or",
        "words / source's",
        "1/2",
        "https://example.org/a/b",
        "nrefs:4|tok:13a",
        "exported/mine",
    ):
        assert evaluation_of(card(harmless)) == harmless


@pytest.mark.parametrize("name", ["a|b", "two\nlines"])
def test_odd_class_names_do_not_break_the_table(name: str) -> None:
    text = card(classes=(name,), variants={"fp32": variant(decoders={name: "decoder.odd.onnx"})})
    (row,) = (line for line in text.splitlines() if line.endswith("| decoder.odd.onnx |"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 3
