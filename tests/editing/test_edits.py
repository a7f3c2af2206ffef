"""Edits: found ones make the target, their actions are the edits again, and a search finds the best there are."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arae_transfer.editing.actions import FINISH, LONGEST_EDIT, MOST_CHOICES, MOST_EDITS, actions_of, stack_actions
from arae_transfer.editing.batches import TIMES, batches_of_like_length
from arae_transfer.editing.edits import Edit, apply_edits, find_edits, word_starts
from arae_transfer.editing.search import Draw, EditHypothesis, Rows, Scores, search_edits

VOCABULARY = 12
# Even ids begin a word.
BEGINS = [number % 2 == 0 for number in range(VOCABULARY)]
ROWS = st.lists(st.integers(4, VOCABULARY - 1), min_size=1, max_size=12)


@given(source=ROWS, target=ROWS)
@settings(max_examples=300, deadline=None)
def test_found_edits_make_the_target(source: list[int], target: list[int]) -> None:
    edits = find_edits(source, target, BEGINS)
    assert apply_edits(source, edits) == target
    borders = {*word_starts(source, BEGINS), len(source)}
    assert {edit.start for edit in edits} | {edit.stop for edit in edits} <= borders
    # What the decoder is never let choose does not come up: empty edits, and edits without a word in between.
    assert all(edit.tokens or edit.stop > edit.start for edit in edits)
    assert all(one.stop < other.start for one, other in itertools.pairwise(edits))


@given(source=ROWS, target=ROWS)
@settings(max_examples=100, deadline=None)
def test_actions_say_what_each_choice_knows(source: list[int], target: list[int]) -> None:
    edits = find_edits(source, target, BEGINS)
    actions = actions_of(edits, VOCABULARY)
    assert len(actions) == 1 + sum(2 + len(edit.tokens) for edit in edits)
    assert actions[-1][-1] == FINISH
    written: list[int] = []
    position = 0
    for token, pointer, cursor, inside, choice in actions:
        assert (token == 0) or (pointer == 0)
        assert cursor == position
        if inside and choice < VOCABULARY:
            written.append(choice)
        elif inside:
            position = choice - VOCABULARY
        elif choice != FINISH:
            written += source[position : choice - 1]
            position = choice - 1
    assert written + source[position:] == target


def test_stacked_actions_mark_their_padding() -> None:
    stacked = stack_actions([[Edit(1, 2, (5, 6))], []], VOCABULARY)
    assert stacked.real.sum(1).tolist() == [5, 1]
    assert stacked.choice[0].tolist() == [2, 5, 6, VOCABULARY + 2, FINISH]
    assert not stacked.choice[1].any()


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30), most=st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_batches_hold_sources_of_like_length(lengths: list[int], most: int) -> None:
    batches = list(batches_of_like_length(lengths, most))
    assert sorted(number for numbers, _ in batches for number in numbers) == list(range(len(lengths)))
    for numbers, time in batches:
        assert len(numbers) <= most
        assert {-(-lengths[number] // TIMES) * TIMES for number in numbers} == {time}


# --- search -------------------------------------------------------------------------------------------------------

TIME = 3


def table_scorer(seed: int, sharp: float = 2.0) -> Callable[[Rows], Scores]:
    """Score by a table that depends on a row's own state and line, as a decoder without memory would."""

    def score(rows: Rows) -> Scores:
        width = rows.token.shape[1]
        start, words, ids, resume = [], [], [], []
        for row, line in enumerate(np.repeat(rows.lines, width).tolist()):
            token, pointer, cursor, inside = (int(each.ravel()[row]) for each in rows[2:6])
            own = np.random.default_rng([seed, line, token, pointer, cursor, inside])
            places = np.arange(TIME) < cursor + (pointer > 0)
            opened = np.where(places, -1e9, own.normal(size=TIME) * sharp)
            closed = np.where(places, -1e9, own.normal(size=TIME) * sharp)
            start.append(log_softmax(np.concatenate([own.normal(size=1) * sharp, opened])))
            if inside:
                spoken = own.normal(size=VOCABULARY) * sharp
                spoken[:4] = -1e9
                both = log_softmax(np.concatenate([spoken, closed]))
                best = np.argsort(-both[:VOCABULARY], kind="stable")[: rows.words]
                words.append(both[best])
                ids.append(best)
                resume.append(both[VOCABULARY:])
        number = min(rows.words, VOCABULARY)
        return Scores(
            np.array(start, dtype=np.float32),
            np.array(words, dtype=np.float32).reshape(-1, number),
            np.array(ids, dtype=np.int64).reshape(-1, number),
            np.array(resume, dtype=np.float32).reshape(-1, TIME),
        )

    return score


def first_row(score: Callable[[Rows], Scores], line: int) -> list[float]:
    """Return the log-probabilities of a line's first choice."""
    zeros = np.zeros((1, 1), dtype=np.int64)
    rows = Rows(np.array([line]), np.array([-1]), zeros, zeros, zeros, np.zeros((1, 1), dtype=np.bool_), 1)
    return [float(value) for value in score(rows).start[0]]


def log_softmax(values: np.ndarray) -> np.ndarray:
    values = values - values.max()
    return np.asarray(values - np.log(np.exp(values).sum()))


def replay(score: Callable[[Rows], Scores], line: int, hypothesis: EditHypothesis) -> float:
    """Return the log-probability of a hypothesis's choices, one by one."""
    total = 0.0
    for token, pointer, cursor, inside, choice in actions_of(hypothesis.edits, VOCABULARY):
        one, two, three = (np.array([[each]]) for each in (token, pointer, cursor))
        found = score(Rows(np.array([line]), np.array([-1]), one, two, three, np.array([[inside]]), VOCABULARY))
        if not inside:
            total += float(found.start[0, choice])
        elif choice >= VOCABULARY:
            total += float(found.resume[0, choice - VOCABULARY])
        else:
            total += float(found.words[0, found.word_ids[0].tolist().index(choice)])
    return total


def simple_beam(score: Callable[[Rows], Scores], line: int, width: int) -> list[tuple[float, list[int]]]:
    """Search one line, a hypothesis at a time: totals and choices, the best first."""
    beam: list[tuple[float, list[int], tuple[int, int, int, bool], int, int, bool]] = [
        (0.0, [], (0, 0, 0, False), 0, 0, False)
    ]
    while not all(done for *_, done in beam):
        longer = [each for each in beam if each[-1]]
        for total, choices, (token, pointer, cursor, inside), edits, written, done in beam:
            if done:
                continue
            one, two, three = (np.array([[each]]) for each in (token, pointer, cursor))
            found = score(Rows(np.array([line]), np.array([-1]), one, two, three, np.array([[inside]]), VOCABULARY))
            if not inside:
                for choice, value in enumerate(found.start[0].tolist()):
                    if value < -1e6 or (choice == FINISH and not choices) or (choice and edits == MOST_EDITS):
                        continue
                    state = (0, choice, choice - 1, True) if choice else (0, 0, cursor, False)
                    longer.append((total + value, [*choices, choice], state, edits + bool(choice), 0, not choice))
                continue
            for choice, value in zip(found.word_ids[0].tolist(), found.words[0].tolist(), strict=True):
                if value > -1e6 and written < LONGEST_EDIT:
                    state = (choice, 0, cursor, True)
                    longer.append((total + value, [*choices, choice], state, edits, written + 1, False))
            for place, value in enumerate(found.resume[0].tolist()):
                if value > -1e6:
                    state = (0, 1 + place, place, False)
                    longer.append((total + value, [*choices, VOCABULARY + place], state, edits, written, False))
        beam = sorted(longer, key=lambda each: -each[0])[:width]
    return [(total, choices) for total, choices, *_ in beam]


@pytest.mark.parametrize("width", [1, 2, 5])
def test_search_finds_what_a_search_line_by_line_finds(width: int) -> None:
    for seed in range(2):
        score = table_scorer(seed)
        found = search_edits(score, 4, width)
        for line, own in enumerate(found):
            wanted = simple_beam(score, line, width)
            choices = [[action[-1] for action in actions_of(each.edits, VOCABULARY)] for each in own.hypotheses]
            assert choices == [each for _, each in wanted]
            assert [each.total for each in own.hypotheses] == pytest.approx([total for total, _ in wanted], abs=1e-4)
            assert [each.choices for each in own.hypotheses] == list(map(len, choices))


@pytest.mark.parametrize("sampled", [False, True])
def test_totals_are_the_sums_of_the_choices(sampled: bool) -> None:
    score = table_scorer(3)
    uniforms = np.random.default_rng(0).random((MOST_CHOICES, 5 * 4), dtype=np.float32)
    found = search_edits(score, 5, 4, Draw(uniforms, 1.3) if sampled else None)
    for line, own in enumerate(found):
        assert own.copy == pytest.approx(first_row(score, line)[FINISH], abs=1e-6)
        assert len(own.hypotheses) == 4
        for hypothesis in own.hypotheses:
            assert hypothesis.edits
            assert len(hypothesis.edits) <= MOST_EDITS
            assert max(len(edit.tokens) for edit in hypothesis.edits) <= LONGEST_EDIT
            assert hypothesis.total == pytest.approx(replay(score, line, hypothesis), abs=1e-3)


def test_lines_are_searched_as_if_they_were_alone() -> None:
    score = table_scorer(5)
    together = search_edits(score, 6, 3)
    for line in range(6):

        def alone(rows: Rows, line: int = line) -> Scores:
            return score(rows._replace(lines=rows.lines + line))

        assert search_edits(alone, 1, 3) == [together[line]]


def test_samples_follow_the_probabilities() -> None:
    score, samples = table_scorer(8), 1500
    uniforms = np.random.default_rng(1).random((MOST_CHOICES, samples), dtype=np.float32)
    (found,) = search_edits(score, 1, samples, Draw(uniforms, 1.0))
    first = np.bincount([each.edits[0].start for each in found.hypotheses], minlength=TIME) / samples
    row = np.array(first_row(score, 0)[1:])
    assert first == pytest.approx(np.exp(row) / np.exp(row).sum(), abs=0.06)
