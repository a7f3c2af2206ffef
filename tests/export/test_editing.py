"""Exported models that edit: they answer as the trained model does, in 8 bits nearly so, and say what is damaged."""

from __future__ import annotations

import copy
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from arae_transfer.editing.actions import LONGEST_EDIT, MOST_EDITS, stack_actions
from arae_transfer.editing.edits import Edit, apply_edits
from arae_transfer.errors import AraeError
from arae_transfer.export import edit_decoder_graph, editing
from arae_transfer.export.agreement import compare_answers
from arae_transfer.export.edit_encoder_graph import build_edit_encoder
from arae_transfer.export.edit_parity import EditGraphs, edits_of
from arae_transfer.export.editing import _Files, export_edits, written_tokens
from arae_transfer.export.folder import records_of
from arae_transfer.export.graph import Graph
from arae_transfer.export.parity import probe_rows
from arae_transfer.export.quality_parity import compare_quality
from arae_transfer.export.row_quantization import RowQuantizedGraph
from arae_transfer.export_config import COPY_ABOVE, EDITING_VERSION, ExportConfig
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.model.edit_decoder import NEVER, EditDecoder, EditInputs
from arae_transfer.parallel.examples import ParallelExample
from arae_transfer.runtime.batching import pad
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.runtime.sessions import Sessions
from arae_transfer.text import TextFormat
from arae_transfer.text.words import WordList, pack_words
from arae_transfer.tokenizer import END_ID

LINES = ["the food was cold .", "The Waiter was rude, and 12 rooms were slow!", "good soup .", "the place was lovely"]


@pytest.fixture(scope="module")
def rows(editor: Any) -> list[list[int]]:
    _, recipe, tokenizer = editor
    found, _ = probe_rows(["the food was cold ."], tokenizer, recipe.data.maximum_tokens)
    return found[:40]


def opened(editor: Any, graph: Any, folder: Path) -> EditGraphs:
    model, recipe, tokenizer = editor
    int8 = graph is RowQuantizedGraph
    begins = np.array(tokenizer.begins_word)
    files = _Files.build(model, begins, {}, graph, ExportLayout(folder), int8=int8)
    return files.open(recipe.model.hidden_size)


@torch.no_grad()
def log_probability(model: ARAE, target: int, row: list[int], edits: list[Edit], begins: list[bool]) -> float:
    """Return what the trained model gives to edits, its choices forced."""
    tokens, lengths = (torch.from_numpy(each) for each in pad([row]))
    code, mask = model.encoder(tokens, lengths)
    actions = stack_actions([edits], model.vocabulary_size)
    columns = (actions.token, actions.pointer, actions.cursor, actions.inside)
    allowed = torch.tensor(begins)[tokens]
    allowed[:, 0] = True
    decoder = model.decoders[target]
    assert isinstance(decoder, EditDecoder)
    inputs = EditInputs(*map(torch.from_numpy, columns))
    found = decoder.scores(code, mask, allowed, inputs, decoder.initial_states(1))
    words = decoder.network.output(found.features)[0]
    words[:, : END_ID + 1] = NEVER
    total = 0.0
    for step, choice in enumerate(actions.choice[0].tolist()):
        logits = torch.cat([words[step], found.resume[0, step]]) if actions.inside[0, step] else found.start[0, step]
        total += float(logits.log_softmax(0)[choice])
    return total


@pytest.mark.parametrize("width", [1, 3])
def test_graphs_search_as_the_model_does(editor: Any, rows: list[list[int]], width: int, tmp_path: Path) -> None:
    from arae_transfer.model.edit_search import find_edits_of

    model, _, tokenizer = editor
    graphs = opened(editor, Graph, tmp_path)
    tokens, lengths = pad(rows)
    code, mask = model.encoder(torch.from_numpy(tokens), torch.from_numpy(lengths))
    allowed = torch.tensor(tokenizer.begins_word)[torch.from_numpy(tokens)]
    allowed[:, 0] = True
    lengths_of_edits = set()
    for target in range(2):
        wanted = find_edits_of(model.decoders[target], code.detach(), mask, allowed, width)
        found = graphs.search(rows, target, width)
        for row, own, other in zip(rows, found, wanted, strict=True):
            assert [each.edits for each in own.hypotheses] == [each.edits for each in other.hypotheses]
            assert own.copy == pytest.approx(other.copy, abs=1e-4)
            for each in own.hypotheses:
                forced = log_probability(model, target, row, each.edits, tokenizer.begins_word)
                assert each.total == pytest.approx(forced, abs=1e-3)
                lengths_of_edits |= {len(edit.tokens) for edit in each.edits}
                assert len(each.edits) <= MOST_EDITS
                assert max(len(edit.tokens) for edit in each.edits) <= LONGEST_EDIT
    assert len(lengths_of_edits) > 3  # the model is no constant one


def test_nothing_about_a_row_depends_on_the_others(editor: Any, rows: list[list[int]], tmp_path: Path) -> None:
    for graph in (Graph, RowQuantizedGraph):
        graphs = opened(editor, graph, tmp_path)
        for width in (1, 3):
            together = graphs.search(rows, 1, width)
            assert graphs.search(rows[::-1], 1, width)[::-1] == together
            assert [graphs.search([row], 1, width)[0] for row in rows[:12]] == together[:12]


def test_8_bit_graphs_agree_with_the_model(editor: Any, rows: list[list[int]], tmp_path: Path) -> None:
    model, _, tokenizer = editor
    graphs = opened(editor, RowQuantizedGraph, tmp_path)
    expected = edits_of(model, rows, np.array(tokenizer.begins_word))
    copies = [
        math.exp(a.copy) - math.exp(b.copy)
        for index, name in enumerate(model.classes)
        for a, b in zip(graphs.search(rows, index), expected[name], strict=True)
    ]
    assert np.abs(copies).mean() < 0.02
    assert np.abs(copies).max() > 0  # they are other graphs
    tokens, lengths = pad(rows, least=24)
    (code,) = graphs.encoder.run(["code"], {"tokens": tokens, "lengths": lengths})
    wanted, _ = model.encoder(torch.from_numpy(tokens), torch.from_numpy(lengths))
    assert np.abs(code - wanted.detach().numpy()).max() < 0.15


def test_an_export_says_what_it_is(exported_editor: Path) -> None:
    config = ExportConfig.read(ExportLayout(exported_editor).config)
    assert (config.task, config.copy_above, config.beam) == ("editing", COPY_ABOVE, 3)
    assert set(config.variants) == {"fp32", "int8"}
    assert set(config.files) == {
        *("encoder.onnx", "decoder.onnx", "encoder.int8.onnx", "decoder.int8.onnx", "weights.int8.7bit"),
        *("scorer.onnx", "quality.int8.onnx", "tokenizer.model"),
    }
    assert config.parity["different"] == 0
    assert config.parity["identical"] + config.parity["near_ties"] == config.parity["compared"] > 500
    again = ExportConfig.from_dict(config.to_dict())
    assert again == config
    assert "by edits" in ExportLayout(exported_editor).card.read_text("utf-8")
    old = {**config.to_dict(), "format_version": EDITING_VERSION + 1}
    path = exported_editor.parent / "newer.json"
    path.write_text(json.dumps(old), "utf-8")
    with pytest.raises(AraeError, match="format version 3"):
        ExportConfig.read(path)


def test_8_bit_graphs_may_stand_alone(editor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, recipe, tokenizer = editor
    monkeypatch.setattr(
        editing, "compare_answers", lambda *given: replace(compare_answers(*given), style_cost=0.0, self_bleu_cost=0.0)
    )
    exported = export_edits(model, recipe, tokenizer, tmp_path / "small")
    assert set(exported.sizes) == {
        *("encoder.int8.onnx", "decoder.int8.onnx", "weights.int8.7bit", "scorer.onnx", "quality.int8.onnx"),
        "tokenizer.model",
    }
    folder = ModelFolder.find(tmp_path / "small")
    assert Sessions(folder).variant == "int8"
    for wish in ("fp32", "fp16"):
        with pytest.raises(AraeError, match=f"no {wish} variant") as raised:
            Sessions(folder, variant=wish)
        assert "--variant int8" in (raised.value.hint or "")
    rewriter = Rewriter.load(tmp_path / "small", threads=1)
    assert len(list(rewriter.transfer(LINES, "good"))) == len(LINES)


def test_8_bit_graphs_that_answer_otherwise_do_not_stand_alone(
    editor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, recipe, tokenizer = editor
    monkeypatch.setattr(editing, "compare_answers", lambda *given: replace(compare_answers(*given), style_cost=2.0))
    export_edits(model, recipe, tokenizer, tmp_path / "poor")
    folder = ModelFolder.find(tmp_path / "poor")
    assert folder.variants["fp32"].storage == "fp16"
    assert Sessions(folder).variant == "fp32"


@pytest.mark.parametrize("fault", ["encoder", "decoder"])
def test_graphs_that_disagree_are_refused(
    editor: Any, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, recipe, tokenizer = editor
    if fault == "encoder":
        built = build_edit_encoder

        def wrong(encoder: Any, begins: Any, metadata: Any, graph: Graph) -> Any:
            made = built(encoder, begins, metadata, graph)
            for tensor in made.graph.initializer:
                if tensor.name == "layer.0.middle.bias" or tensor.name == "layer.0.attention_norm.bias":
                    tensor.raw_data = (np.frombuffer(tensor.raw_data, np.float32) + 0.01).tobytes()
            return made

        monkeypatch.setattr(editing, "build_edit_encoder", wrong)
    else:
        monkeypatch.setattr(edit_decoder_graph, "FARTHEST", 2)
    with pytest.raises(AraeError, match="do not answer as the model does"):
        export_edits(model, recipe, tokenizer, tmp_path / "wrong", weights="fp32")
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize("damage", ["flipped", "missing", "cut"])
def test_damaged_weights_are_told(exported_editor: Path, damage: str, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(exported_editor, tmp_path / "copied"))
    path = ExportLayout(copied).weights_packed
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        content[100] ^= 1
        path.write_bytes(content if damage == "flipped" else content[:-7])
    rewriter = Rewriter.load(copied, threads=1, variant="int8")
    with pytest.raises(AraeError, match="missing" if damage == "missing" else "damaged") as raised:
        rewriter.prepare("good")
    assert "export" in (raised.value.hint or "")


def test_an_answer_has_words_of_its_source_and_the_corpus(exported_editor: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported_editor, tmp_path / "listed"))
    corpus = ["i ca n't find the cook 's soup ."] * 2
    _add_words(folder, pack_words(corpus))
    vocabulary = Rewriter.load(folder, threads=1)._vocabulary
    for source, answer, whole in (
        ("the xylo soup", "the xylo soup .", True),
        ("the soup", "the xylo soup", False),
        ("i find it", "i ca n't find it", True),
        ("i can find it", "i can n't find it", False),
        ("the xylo wo n't find it", "the xylo wo find it", False),
        ("the xylo did n't cook", "the xylo 's cook", True),
    ):
        assert vocabulary.has_whole_words(source, answer) is whole, (source, answer)
    assert Rewriter.load(exported_editor, threads=1)._vocabulary.has_whole_words("the soup", "the xylo")
    _add_words(folder, b"no list")
    with pytest.raises(AraeError, match="is no word list"):
        Rewriter.load(folder, threads=1)._vocabulary.has_whole_words("the soup", "the xylo")


def _add_words(folder: Path, content: bytes) -> None:
    """Give an export a word list."""
    layout = ExportLayout(folder)
    layout.words.write_bytes(content)
    config = ExportConfig.read(layout.config)
    files = {**config.files, **records_of({layout.words.name: content})}
    layout.config.write_bytes(replace(config, words=layout.words.name, files=files).to_json())


def test_the_words_of_the_corpus_are_exported(editor: Any, tmp_path: Path) -> None:
    model, recipe, tokenizer = editor
    lines = ["the food was cold .", "the food was warm ."]
    export_edits(model, recipe, tokenizer, tmp_path / "listed", lines=lines, weights="fp32")
    folder = ModelFolder.find(tmp_path / "listed")
    assert folder.words == "words.z"
    words = WordList(folder.read_file(folder.words))
    assert [word in words for word in ("food", "cold", ".")] == [True, False, True]
    plain = replace(recipe, form=TextFormat())
    export_edits(model, plain, tokenizer, tmp_path / "plain", lines=lines, weights="fp32")
    assert ModelFolder.find(tmp_path / "plain").words is None
    cards = [ExportLayout(tmp_path / name).card.read_text("utf-8") for name in ("listed", "plain")]
    assert ["`words.z`" in card for card in cards] == [True, False]


def test_edits_leave_the_end_id_where_it_is(editor: Any, rows: list[list[int]], tmp_path: Path) -> None:
    graphs = opened(editor, Graph, tmp_path)
    for row, found in zip(rows, graphs.search(rows, 0, 3), strict=True):
        for each in found.hypotheses:
            written = apply_edits(row, each.edits)
            assert written[-1] == END_ID
            assert END_ID not in written[:-1]


def test_the_estimator_in_8_bits_shifts_probabilities_little(exported_editor: Path) -> None:
    config = ExportConfig.read(ExportLayout(exported_editor).config)
    assert config.parity["quality"]["compared"] > 100
    assert config.parity["quality"]["shift"] < 0.05


def test_an_estimator_that_judges_otherwise_is_not_exported(editor: Any, rows: list[list[int]], tmp_path: Path) -> None:
    model, _, tokenizer = editor
    begins = np.array(tokenizer.begins_word)
    files = _Files.build(model, begins, {}, RowQuantizedGraph, ExportLayout(tmp_path), int8=True)
    assert files.quality is not None
    other = copy.deepcopy(model)
    other.quality.outer.bias.data += 2.0
    found = edits_of(model, rows, begins)
    assert compare_quality(model, files.quality[1], files.weights, rows, found)["shift"] < 0.05
    with pytest.raises(AraeError, match="8 bits"):
        compare_quality(other, files.quality[1], files.weights, rows, found)


def test_decoders_write_only_what_examples_do(editor: Any, rows: list[list[int]], tmp_path: Path) -> None:
    model, recipe, tokenizer = editor
    words = [number for number, begins in enumerate(tokenizer.begins_word) if begins and number > END_ID]
    own = copy.deepcopy(model)
    own.decoders[0].network.output.bias.data[:] = NEVER
    own.decoders[0].network.output.bias.data[words] = 0.0
    files = _Files.build(own, np.array(tokenizer.begins_word), {}, Graph, ExportLayout(tmp_path), int8=False)
    for target in range(2):
        for found in files.open(recipe.model.hidden_size).search(rows, target, 3):
            assert {token for each in found.hypotheses for edit in each.edits for token in edit.tokens} <= {*words}


def test_written_tokens_are_those_of_several_examples(editor: Any) -> None:
    _, _, tokenizer = editor
    rewrite = ParallelExample("bad", "the food was cold .", "good", "the food was warm .")
    neutral = ParallelExample("bad", "the soup was slow .", "good", "the soup was quick .", "neutral")
    (cold, warm, quick) = (tokenizer.encode(word) for word in ("cold", "warm", "quick"))
    found = written_tokens([rewrite, rewrite, neutral, neutral], tokenizer)
    assert {*cold, *warm, *quick} <= {*found}
    assert not {*tokenizer.encode("slow")} & {*found}
    assert written_tokens([rewrite], tokenizer) == []
