"""Forward and reverse perplexity of samples, beside real text."""

from __future__ import annotations

import random

from arae_transfer.evaluation.samples import REAL, measure_samples, render_samples, to_data

SUBJECTS = ("the man", "the woman", "a dog", "two girls", "the boy", "a child")
VERBS = ("walks", "sits", "sleeps", "runs", "waits")
PLACES = ("in the park .", "at home .", "on a bench .", "near the water .", "in the street .")


def sentences(seed: int, number: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choice(part) for part in (SUBJECTS, VERBS, PLACES)) for _ in range(number)]


TRAIN, TEST = sentences(1, 200), sentences(2, 100)


def test_bland_samples_are_fluent_and_foretell_little() -> None:
    shuffled = [
        " ".join(random.Random(place).sample(line.split(), len(line.split()))) for place, line in enumerate(TRAIN)
    ]
    found = measure_samples(
        {"bland": ["the man walks in the park ."] * 200, "good": sentences(3, 200), "shuffled": shuffled},
        TRAIN,
        TEST,
        resamples=50,
    )
    assert list(found) == ["bland", "good", "shuffled", REAL]
    assert found["bland"].forward.value < found["good"].forward.value < found["shuffled"].forward.value
    assert found["good"].reverse.value < found["shuffled"].reverse.value
    assert found["good"].reverse.value < found["bland"].reverse.value
    assert found["bland"].distinct == 0.5
    for own in found.values():
        assert own.reverse.low <= own.reverse.value <= own.reverse.high


def test_real_text_stands_for_itself() -> None:
    found = measure_samples({"training text": TRAIN, "test text": TEST}, TRAIN, TEST, resamples=0)
    assert found["training text"].reverse.value == found[REAL].reverse.value
    assert found["test text"].forward.value == found[REAL].forward.value
    assert found["training text"].copies == 100.0
    assert found["test text"].copies == found[REAL].copies


def test_more_samples_are_measured_twice_all_and_as_many_as_real_sentences() -> None:
    own = sentences(3, 1000)
    found = measure_samples({"many": own, "few": own[:200]}, TRAIN, TEST, resamples=0)
    many, few = found["many"], found["few"]
    assert (many.samples, many.compared, few.compared) == (1000, 200, 200)
    assert many.reverse_compared.value == few.reverse.value
    assert many.reverse.value < few.reverse.value, "of more samples, more is foretold"


def test_the_table_has_published_rows() -> None:
    found = measure_samples({"one": TEST}, TRAIN, TEST, resamples=20)
    table = render_samples(found, {"ARAE": 82.2})
    assert table.count("\n") == 5
    assert "| published: ARAE | 100,000 | – | 82.2 |" in table
    assert f"| one | 100 | {found['one'].forward.value:.1f} (" in table
    assert to_data(found)["one"]["reverse"]["value"] == found["one"].reverse.value
