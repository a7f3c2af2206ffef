"""An evaluation of rewrites whose scores are known beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arae_transfer.errors import AraeError
from arae_transfer.evaluation.evaluate import COPY, HUMAN, REAL, Evaluation, EvaluationOptions, Section, evaluate
from arae_transfer.evaluation.outputs import Direction
from arae_transfer.evaluation.real_text import LabelledText

if TYPE_CHECKING:
    from tests.evaluation.conftest import Known

FORTH, BACK = Direction("negative", "positive"), Direction("positive", "negative")


def _value(section: Section, text: str, key: str) -> float:
    return (section.systems | section.baselines)[text][key].value


def _sections(evaluation: Evaluation) -> list[Section]:
    return [*evaluation.directions.values(), evaluation.together]


def test_copies_are_all_content_and_score_like_the_copied_source(evaluation: Evaluation) -> None:
    for section in _sections(evaluation):
        assert _value(section, "copies", "self_bleu") == pytest.approx(100)
        assert _value(section, "copies", "copies") == 100
        assert _value(section, "copies", "length_ratio") == 1
        copies, baseline = section.systems["copies"], section.baselines[COPY]
        assert copies.keys() == baseline.keys()
        for key, measurement in copies.items():
            assert measurement.values.tolist() == baseline[key].values.tolist(), key


def test_a_judge_accepts_copies_as_often_as_it_errs_on_real_text(evaluation: Evaluation) -> None:
    for judge in ("accuracy_linear", "accuracy_neural"):
        accepted = _value(evaluation.directions[FORTH], COPY, judge)
        assert accepted == pytest.approx(100 - _value(evaluation.directions[BACK], REAL, judge))
        assert accepted < 30
        assert _value(evaluation.directions[FORTH], REAL, judge) > 70


def test_real_text_as_rewrites_scores_like_real_text(evaluation: Evaluation) -> None:
    for section in _sections(evaluation):
        for key in ("accuracy_linear", "accuracy_neural", "perplexity", "unknown_words", "distinct"):
            assert _value(section, "real", key) == pytest.approx(_value(section, REAL, key)), key
        assert _value(section, "real", "self_bleu") < 30
        # Trained on the very text that it foretells.
        assert _value(section, "real", "reverse_perplexity") < _value(section, REAL, "reverse_perplexity")


def test_the_perplexity_of_copies_is_that_of_the_other_class(evaluation: Evaluation) -> None:
    forth, back = evaluation.directions[FORTH], evaluation.directions[BACK]
    assert _value(forth, COPY, "perplexity") == pytest.approx(_value(back, REAL, "perplexity"))


def test_together_is_all_lines_of_all_directions(evaluation: Evaluation) -> None:
    together, parts = evaluation.together, list(evaluation.directions.values())
    assert together.lines == sum(part.lines for part in parts)
    for text in ("real", COPY, HUMAN):
        for key in ("accuracy_linear", "accuracy_neural", "copies"):
            mean = sum(_value(part, text, key) for part in parts) / len(parts)
            assert _value(together, text, key) == pytest.approx(mean)
        bounds = sorted(_value(part, text, "perplexity") for part in parts)
        assert bounds[0] <= _value(together, text, "perplexity") <= bounds[1]
        bounds = sorted(_value(part, text, "reverse_perplexity") for part in parts)
        assert bounds[0] <= _value(together, text, "reverse_perplexity") <= bounds[1]


def test_intervals_surround_their_values(evaluation: Evaluation) -> None:
    without = {"distinct", "reverse_perplexity"}
    for section in _sections(evaluation):
        for key, measurement in section.systems["real"].items():
            assert (measurement.interval is None) == (key in without)
            if measurement.interval is not None:
                low, high = measurement.interval
                assert low - 1e-9 <= measurement.value <= high + 1e-9, key
        narrow = section.systems["real"]["perplexity"].interval
        assert narrow is not None
        assert narrow[0] < narrow[1]


def test_humans_are_judged_by_each_other(known: Known, evaluation: Evaluation) -> None:
    section = evaluation.directions[FORTH]
    human = section.baselines[HUMAN]
    assert "reference_bleu" not in human
    # One person copied and added a word, the other wrote something else.
    assert human["copies"].value == 0
    sources = known.source.lines["negative"]
    others = known.human[FORTH][1]
    words = sum(len(line.split()) for line in sources)
    longer = (words + len(sources)) / words
    other = sum(len(line.split()) for line in others) / words
    assert human["length_ratio"].value == pytest.approx((longer + other) / 2)
    assert 0 < human["reference_bleu_left_out"].value < 30
    assert section.systems["copies"]["reference_bleu"].value > 50
    assert (
        section.systems["copies"]["reference_bleu_left_out"].value < section.systems["copies"]["reference_bleu"].value
    )
    assert "reference_bleu" not in section.baselines[REAL]


def test_a_better_system_differs_significantly_and_an_equal_one_does_not(evaluation: Evaluation) -> None:
    p_values = evaluation.together.p_values
    assert list(p_values) == ["real"]
    assert p_values["real"]["accuracy_linear"] == pytest.approx(1 / 201)
    assert p_values["real"]["self_bleu"] == pytest.approx(1 / 201)
    assert "distinct" not in p_values["real"]
    # Both texts are the same lines in another order.
    assert p_values["real"]["perplexity"] > 0.05


def test_the_same_input_gives_the_same_evaluation(known: Known, evaluation: Evaluation) -> None:
    again = known.evaluate()
    assert again.signature == evaluation.signature
    for first, second in zip(_sections(evaluation), _sections(again), strict=True):
        for name, scores in (first.systems | first.baselines).items():
            for key, measurement in scores.items():
                other = (second.systems | second.baselines)[name][key]
                assert measurement.values.tolist() == other.values.tolist()


def test_the_signature_says_what_was_used_and_warnings_are_kept(known: Known, evaluation: Evaluation) -> None:
    signature = evaluation.signature
    assert "made test, 60 + 60 lines, sha256:" in signature["evaluated"]
    assert "made train, 400 + 400 lines, sha256:" in signature["classifiers of style"]
    assert "nrefs:1|case:lc|eff:no|tok:none" in signature["BLEU"]
    assert "nrefs:2|" in signature["BLEU"]
    assert "5-gram" in signature["language model"]
    assert "200 bootstrap" in signature["intervals"]
    assert evaluation.warnings == ["the judges are made up"]


def test_three_classes_and_a_single_direction() -> None:
    lines = {
        name: [f"{name} thing {number % 9} is {number % 4}" for number in range(60)] for name in ("bible", "law", "sms")
    }
    source = LabelledText("test", {name: [f"{name} thing {number} ." for number in range(12)] for name in lines})
    direction = Direction("law", "sms")
    rewrites = [f"sms thing {number} ." for number in range(12)]
    options = EvaluationOptions(resamples=50, order=2)
    result = evaluate(source, {"right": {direction: rewrites}}, LabelledText("train", lines), options=options)
    assert list(result.directions) == [direction]
    scores = result.directions[direction].systems["right"]
    assert scores["accuracy_linear"].value == scores["accuracy_neural"].value == 100
    assert result.directions[direction].baselines[COPY]["accuracy_linear"].value == 0
    assert HUMAN not in result.together.baselines
    assert result.together.systems["right"]["self_bleu"].value == pytest.approx(scores["self_bleu"].value)


def test_systems_must_be_comparable(known: Known) -> None:
    systems = {"both": known.copies, "one": {FORTH: known.copies[FORTH]}}
    with pytest.raises(AraeError, match="one has rewrites negative-to-positive, but both has"):
        evaluate(known.source, systems, known.judges)
    with pytest.raises(AraeError, match="a system cannot be named 'human'"):
        evaluate(known.source, {"human": known.copies}, known.judges)


def test_lines_that_are_evaluated_teach_no_judge(known: Known) -> None:
    leaking = {
        name: [*lines, *known.source.lines[name][:10], known.human[FORTH][0][0]]
        for name, lines in known.judges.lines.items()
    }
    options = EvaluationOptions(resamples=10, order=2)
    systems = {"copies": known.copies}
    result = evaluate(known.source, systems, LabelledText("leaking", leaking), None, known.human, options)
    assert "22 of them left out because they are evaluated" in result.signature["classifiers of style"]
