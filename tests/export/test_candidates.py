"""Candidates through a whole export: searched, drawn, scored and ranked, and told to the user."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.errors import AraeError
from arae_transfer.export.export import export_model
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.model.arae import ARAE
from arae_transfer.runtime.decoding import DecodingOptions, backtrack_hypotheses
from arae_transfer.runtime.reranking import Ranking, agreement
from arae_transfer.runtime.rewrite import Rewrite
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.tokenizer import END_ID, Tokenizer
from tests.descriptions import as_exported

from .conftest import MAXIMUM_LENGTH, random_model, random_recipe

BEAM = DecodingOptions(beam=4)
SAMPLE = DecodingOptions(sample=4, seed=3, temperature=1.5)
# Scores of a line differ in their last digits from batch to batch; random weights this wide amplify them.
NEAR = 2e-3


@pytest.fixture(scope="session")
def model() -> list[ARAE]:
    """Holds the exported model."""
    return []


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer, lines: list[str], model: list[ARAE]) -> Path:
    recipe = random_recipe(code="sequence", shared_embeddings=True, decoder_layers=2)
    made = random_model(recipe, ("bad", "fair", "good"), tokenizer.vocabulary_size, range(END_ID + 1, 260))
    with torch.no_grad():
        made.scorer.last.weight *= 40.0
        ids = [torch.tensor([tokenizer.encode(line)]) for line in lines]
        logits = torch.cat([made.scorer(row, torch.ones_like(row, dtype=torch.bool)) for row in ids])
        made.scorer.last.bias.sub_(logits.mean(0))  # each class is found in some lines
    model.append(round_weights_for_storage(made, "fp16"))
    root = tmp_path_factory.mktemp("candidates") / "tiny"
    export_model(made, recipe, tokenizer, root, name="tiny", probe_lines=lines)
    return root


@pytest.fixture(scope="session")
def rewriter(folder: Path) -> Rewriter:
    return Rewriter.load(folder, device="cpu", threads=1, variant="fp32")


def rewrite(rewriter: Rewriter, lines: list[str], options: DecodingOptions, **more: Any) -> list[Rewrite]:
    more = {"form": "corpus", "long": "truncate"} | more
    return list(rewriter.rewrites(lines, "good", options=options, **more))


def style_of(model: ARAE, tokenizer: Tokenizer, text: str, *, read: bool = False) -> torch.Tensor:
    """Return the (classes,) probabilities of a text, or of what the model reads of it, by the scorer in PyTorch."""
    ids = tokenizer.encode(text)[: MAXIMUM_LENGTH - 1 if read else None]
    with torch.no_grad():
        mask = torch.full((1, len(ids) or 1), bool(ids))
        result: torch.Tensor = model.scorer(torch.tensor([ids or [0]]), mask).softmax(1)[0]
    return result


def assert_alike(found: list[Rewrite], wanted: list[Rewrite]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.output == other.output
        assert [each.output for each in one.candidates] == [each.output for each in other.candidates]
        for name in ("score", "style", "fluency", "content", "language"):
            values = [[getattr(each, name) for each in rewrite.candidates] for rewrite in (one, other)]
            assert values[0] == pytest.approx(values[1], abs=NEAR)


def test_a_beam_of_one_is_the_greedy_rewrite(rewriter: Rewriter, lines: list[str]) -> None:
    greedy = list(rewriter.transfer(lines, "good", form="corpus", long="truncate"))
    assert len(set(greedy)) > 20
    assert [each.output for each in rewrite(rewriter, lines, DecodingOptions(beam=1))] == greedy
    searched = rewrite(rewriter, lines, DecodingOptions(beam=1, min_confidence=1e-30))
    assert [each.output for each in searched] == greedy
    assert all(len(each.candidates) == 1 for each in searched)


@pytest.mark.parametrize("options", [BEAM, SAMPLE])
@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_batches_and_order_change_no_candidate(
    folder: Path, lines: list[str], options: DecodingOptions, variant: str
) -> None:
    rewriter = Rewriter.load(folder, device="cpu", threads=1, variant=variant)
    lines = [*lines[::4], "", lines[3], "the soup was cold . our waiter is rude !"]
    together = rewrite(rewriter, lines, options, long="split")
    assert sum(len(each.candidates) > 1 for each in together) > 20
    for size in (1, 5):
        assert_alike(rewrite(rewriter, lines, options, batch_size=size, long="split"), together)
    assert_alike(rewrite(rewriter, lines[::-1], options, long="split")[::-1], together)


def test_scores_are_what_they_are_said_to_be(
    rewriter: Rewriter, model: list[ARAE], tokenizer: Tokenizer, lines: list[str]
) -> None:
    ranking = Ranking(0.5, 2.0, 3.0)
    rows = [[*tokenizer.encode(line)[: MAXIMUM_LENGTH - 1], END_ID] for line in lines]
    write = rewriter._normalizer("corpus").restore
    options = DecodingOptions(beam=4, ranking=ranking)
    for line, row, found in zip(lines, rows, rewrite(rewriter, lines, options), strict=True):
        surface = rewriter._normalizer("corpus").normalize(line)[1]
        tokens, lengths = np.array([row]), np.array([len(row)])
        searched = rewriter._sessions.search(tokens, lengths, "good", lengths + 16, 4)
        by_text: dict[str, list[float]] = {}
        for hypothesis in backtrack_hypotheses(*searched, 4)[0]:
            by_text.setdefault(tokenizer.decode(hypothesis.tokens), []).append(hypothesis.fluency)
        assert len(found.candidates) == len(by_text)
        assert [each.score for each in found.candidates] == sorted(each.score for each in found.candidates)[::-1]
        assert found.output == found.candidates[0].output
        for each in found.candidates:
            text = next(text for text in by_text if write(text, surface) == each.output)
            style = float(style_of(model[0], tokenizer, text)[2])
            assert each.style == pytest.approx(style, abs=1e-4)
            assert each.fluency == pytest.approx(max(by_text[text]), abs=NEAR)
            assert [each.content] == agreement(line, [text])
            assert each.score == pytest.approx(0.5 * math.log(style) + 2 * each.fluency + 3 * each.content, abs=NEAR)


def test_the_ranking_says_which_candidate_is_the_answer(rewriter: Rewriter, lines: list[str]) -> None:
    for name in ("style", "fluency", "content"):
        options = DecodingOptions(beam=4, ranking=Ranking.parse(f"{name}=1"))
        for found in rewrite(rewriter, lines[::3], options):
            values = [getattr(each, name) for each in found.candidates]
            assert values == sorted(values, reverse=True)


def test_the_best_are_the_first_of_all(rewriter: Rewriter, lines: list[str]) -> None:
    every = rewrite(rewriter, lines[:20], DecodingOptions(beam=4))
    for whole, few in zip(every, rewrite(rewriter, lines[:20], DecodingOptions(beam=4, n_best=2)), strict=True):
        assert few.candidates == whole.candidates[:2]
        assert few.output == whole.output
    assert_alike(rewrite(rewriter, lines[:20], DecodingOptions(n_best=4)), every)


def test_samples_change_with_the_seed_and_the_temperature(rewriter: Rewriter, lines: list[str]) -> None:
    first = [each.output for each in rewrite(rewriter, lines, SAMPLE)]
    assert [each.output for each in rewrite(rewriter, lines, SAMPLE)] == first
    other = [each.output for each in rewrite(rewriter, lines, DecodingOptions(sample=4, seed=4, temperature=1.5))]
    assert other != first
    cold = rewrite(rewriter, lines, DecodingOptions(sample=1, temperature=1e-3))
    greedy = list(rewriter.transfer(lines, "good", form="corpus", long="truncate"))
    assert np.mean([each.output == answer for each, answer in zip(cold, greedy, strict=True)]) > 0.95


def test_lines_whose_best_candidate_is_unsure_stay_unchanged(rewriter: Rewriter, lines: list[str]) -> None:
    every = rewrite(rewriter, lines, BEAM)
    least = float(np.median([each.candidates[0].style for each in every]))
    found = rewrite(rewriter, lines, DecodingOptions(beam=4, min_confidence=least))
    assert {each.unsure for each in found} == {0, 1}
    for line, one, before in zip(lines, found, every, strict=True):
        assert one.unsure == (before.candidates[0].style < least)
        assert one.output == (line if one.unsure else before.output)
        assert one.pieces == 1 - one.unsure
        assert one.candidates == before.candidates


@pytest.mark.parametrize("options", [DecodingOptions(source="auto"), DecodingOptions(source="auto", beam=3)])
def test_lines_that_have_the_style_already_are_kept(
    rewriter: Rewriter, model: list[ARAE], tokenizer: Tokenizer, lines: list[str], options: DecodingOptions
) -> None:
    lines = [*lines, "", "  "]
    plain = rewrite(rewriter, lines, DecodingOptions(beam=options.beam))
    found = rewrite(rewriter, lines, options)
    assert {each.source_class for each in found[:-2]} >= {"good"}
    assert len({each.source_class for each in found[:-2]}) > 1
    for line, one, before in zip(lines[:-2], found, plain, strict=False):
        wanted = int(style_of(model[0], tokenizer, line, read=True).argmax())
        assert one.source_class == ("bad", "fair", "good")[wanted]
        assert one.already == (wanted == 2)
        assert one.output == (line if one.already else before.output)
        assert one.pieces == 1 - one.already
    assert [(each.source_class, each.already, each.output) for each in found[-2:]] == [(None, 0, "")] * 2
    rewritten = rewrite(rewriter, lines, DecodingOptions(beam=options.beam, source="auto", if_already="rewrite"))
    assert [each.already for each in rewritten] == [each.already for each in found]
    assert [each.output for each in rewritten] == [each.output for each in plain]


def test_sentences_of_a_line_are_chosen_one_by_one(rewriter: Rewriter, tokenizer: Tokenizer, lines: list[str]) -> None:
    lines = [line for line in lines if len(tokenizer.encode(line)) < MAXIMUM_LENGTH]
    singly = rewrite(rewriter, lines, DecodingOptions(source="auto", beam=3))
    kept = next(number for number, each in enumerate(singly) if each.already)
    changed = [number for number, each in enumerate(singly) if not each.already and len(each.candidates) > 1][:2]
    numbers = [changed[0], kept, changed[1]]
    line = "  ".join(lines[number] for number in numbers)
    (found,) = rewrite(rewriter, [line], DecodingOptions(source="auto", beam=3), long="split")
    parts = [singly[number] for number in numbers]
    assert found.output == "  ".join(each.output for each in parts)
    assert (found.pieces, found.already) == (2, 1)
    assert found.candidates[0].output == found.output
    assert len(found.candidates) == 3
    first, last = parts[0].candidates[0], parts[2].candidates[0]
    weights = parts[0].tokens, parts[2].tokens
    mean = (first.score * weights[0] + last.score * weights[1]) / sum(weights)
    assert found.candidates[0].score == pytest.approx(mean, abs=NEAR)


def without(folder: Path, tmp_path: Path, *keys: str) -> Path:
    """Return a folder as exports before candidates wrote it: its description lacks some keys."""
    root = tmp_path / "older"
    root.mkdir()
    for path in folder.iterdir():
        (root / path.name).write_bytes(path.read_bytes())
    config = json.loads((root / "config.json").read_text())
    for key in keys:
        del config[key]
        config["variants"]["int8"].pop(key, None)
    (root / "config.json").write_text(as_exported(config))
    return root


def test_a_folder_without_scorer_or_candidates_says_what_it_lacks(
    folder: Path, tmp_path: Path, lines: list[str], rewriter: Rewriter
) -> None:
    older = Rewriter.load(without(folder, tmp_path, "scorer", "candidates"), device="cpu", threads=1, variant="fp32")
    assert list(older.transfer(lines, "good")) == list(rewriter.transfer(lines, "good"))
    with pytest.raises(AraeError, match="cannot search or sample"):
        older.prepare("good", options=BEAM)
    with pytest.raises(AraeError, match="has no style scorer"):
        older.prepare("good", options=DecodingOptions(source="auto"))
    with pytest.raises(AraeError, match="has no style scorer"):
        list(older.transfer(lines, "good", options=DecodingOptions(source="auto")))


@pytest.mark.parametrize("name", ["scorer.onnx", "candidates.good.onnx", "candidates.good.int8.onnx"])
def test_a_damaged_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    root = without(folder, tmp_path)
    content = bytearray((root / name).read_bytes())
    content[len(content) // 2] ^= 1
    (root / name).write_bytes(content)
    rewriter = Rewriter.load(root, device="cpu", variant="int8" if "int8" in name else "fp32")
    assert rewriter.prepare("good") == "good"
    with pytest.raises(AraeError, match=rf"{name} is damaged"):
        rewriter.prepare("good", options=BEAM)


def test_candidates_weigh_nothing_on_disk(folder: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    for name, size in sizes.items():
        if name.startswith("candidates"):
            # The weights of this tiny model are mostly too small to be worth referring to.
            assert size < 60_000


class Arae:
    """Runs `arae transfer` on the exported model."""

    def __init__(self, folder: Path) -> None:
        self.fixed = [
            "transfer",
            "--long",
            "truncate",
            "--model",
            str(folder),
            "--device",
            "cpu",
            "--threads",
            "1",
            "--variant",
            "fp32",
        ]

    def __call__(self, *arguments: str, given: str = "") -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [*self.fixed, "--to", "good", *arguments], input=given)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def arae(folder: Path) -> Arae:
    return Arae(folder)


def test_json_tells_every_candidate(arae: Arae, rewriter: Rewriter, lines: list[str]) -> None:
    given = "".join(f"{line}\n" for line in lines[:8])
    code, output, _ = arae("--beam", "4", "--json", given=given)
    assert code == 0
    wanted = list(rewriter.rewrites(lines[:8], "good", options=BEAM, long="truncate"))
    for line, record in zip(wanted, map(json.loads, output.splitlines()), strict=True):
        assert record["output"] == line.output == record["candidates"][0]["output"]
        assert record["unsure"] == 0
        assert "from" not in record
        for each, candidate in zip(record["candidates"], line.candidates, strict=True):
            assert set(each) == {"output", "score", "style", "fluency", "content", "language", "unfinished"}
            assert each["output"] == candidate.output
            assert each["score"] == pytest.approx(candidate.score, abs=NEAR)
    code, output, _ = arae("--n-best", "2", "--json", given=given)
    assert code == 0
    assert {len(json.loads(line)["candidates"]) for line in output.splitlines()} <= {1, 2}
    code, output, _ = arae("--json", given=given)
    assert set(json.loads(output.splitlines()[0])) == {
        "source", "output", "to", "tokens", "truncated", "unfinished", "status", "pieces", "kept",
        "unfaithful", "unread",
        "repaired",
    }  # fmt: skip


def test_what_was_left_is_counted_at_the_end(arae: Arae, rewriter: Rewriter, lines: list[str]) -> None:
    given = "".join(f"{line}\n" for line in lines)
    found = list(rewriter.rewrites(lines, "good", options=DecodingOptions(source="auto"), long="truncate"))
    already = sum(each.already for each in found)
    code, output, messages = arae("--from", "auto", given=given)
    assert (code, output) == (0, "".join(f"{each.output}\n" for each in found))
    assert f"{already} of {len(lines)} lines were already good, in whole or in part, and left unchanged" in messages
    counts = {name: sum(each.source_class == name for each in found) for name in ("bad", "fair", "good")}
    for name, count in counts.items():
        assert f"{count} {name}" in messages or not count
    code, output, messages = arae("--from", "auto", "--if-already", "rewrite", "--json", given=given)
    assert f"{already} of {len(lines)} lines were already good, in whole or in part, and rewritten anyway" in messages
    records = [json.loads(line) for line in output.splitlines()]
    assert [(each["from"], each["already"]) for each in records] == [
        (each.source_class, each.already) for each in found
    ]
    code, output, messages = arae("--min-confidence", "1", given=given)
    assert (code, output) == (0, given)
    assert f"{len(lines)} of {len(lines)} lines were left unchanged" in messages
    assert arae("--from", "auto", "--min-confidence", "1", "--quiet", given=given) == (0, given, "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--temperature", "0.5"], 2, "Option '--temperature' needs --sample."),
        (["--seed", "1", "--beam", "2"], 2, "Option '--seed' needs --sample."),
        (["--if-already", "keep"], 2, "Option '--if-already' needs --from auto."),
        (["--rerank", "style=1"], 2, "Option '--rerank' needs --beam or --sample."),
        (["--n-best", "2"], 2, "Option '--n-best' needs --json"),
        (["--n-best", "2", "--tsv"], 2, "Option '--n-best' needs --json"),
        (["--beam", "2", "--sample", "2"], 2, "exclude each other"),
        (["--beam", "0"], 2, "--beam"),
        (["--beam", "99"], 1, "beam = 99 cannot work"),
        (["--beam", "2", "--n-best", "3", "--json"], 1, "3 candidates are wanted of 2"),
        (["--sample", "2", "--temperature", "-1"], 1, "a temperature of -1.0 cannot work"),
        (["--beam", "2", "--rerank", "beauty=1"], 1, "'beauty=1' does not say how to rank"),
        (["--min-confidence", "2"], 1, "2.0 is no confidence"),
        (["--from", "bad"], 1, "use --from auto to find the class of each"),
        (["--from", "auto", "--if-already", "drop"], 1, "if_already cannot be 'drop'"),
    ],
)
def test_what_does_not_go_together_is_said(arae: Arae, arguments: list[str], code: int, message: str) -> None:
    done, output, messages = arae(*arguments, given="the soup was cold .\n")
    assert (done, output) == (code, "")
    assert message in messages


def test_the_model_classifies_by_its_scorer(
    folder: Path, model: list[ARAE], tokenizer: Tokenizer, lines: list[str], rewriter: Rewriter
) -> None:
    """The labels of `arae classify` are the scorer's in PyTorch, and those that `--from auto` goes by."""
    given = [*lines[::7], "", f"{'the soup was cold ' * 5}."]
    arguments = ["classify", "--model", str(folder), "--json", "--form", "corpus", "--batch-size", "3"]
    result = CliRunner().invoke(app, arguments, input="".join(f"{line}\n" for line in given))
    assert result.exit_code == 0, result.output
    cut = sum(len(tokenizer.encode(line)) > MAXIMUM_LENGTH - 1 for line in given)
    assert f"{cut} of {len(given)} lines were truncated to {MAXIMUM_LENGTH - 1} tokens" in result.stderr
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["source"] for answer in answers] == given
    for answer in answers:
        if not answer["source"]:
            assert (answer["label"], answer["probabilities"]) == ("", {})
            continue
        wanted = style_of(model[0], tokenizer, answer["source"], read=True)
        assert list(answer["probabilities"].values()) == pytest.approx(wanted.tolist(), abs=NEAR)
        assert answer["label"] == model[0].classes[int(wanted.argmax())]
    assert len({answer["label"] for answer in answers}) == 4
    told = rewrite(rewriter, given, DecodingOptions(source="auto"))
    assert [each.source_class or "" for each in told] == [answer["label"] for answer in answers]
