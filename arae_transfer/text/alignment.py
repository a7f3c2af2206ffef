"""Align the words of a typed line with those of the rewrite."""

from __future__ import annotations

from collections.abc import Sequence

ABSENT = -2  # no position, and not the one before the first either


def align(source: Sequence[str], answer: Sequence[str]) -> list[int]:
    """Return for each word of the rewrite the position of the same word in the source, or ``ABSENT``.

    Each position is given once. The common beginning and the common end come first; between them a word goes to the
    position after its predecessor's if it stands there, else to its first free one. The time is linear.
    """
    shorter = min(len(source), len(answer))
    begin = 0
    while begin < shorter and source[begin] == answer[begin]:
        begin += 1
    tail = 0
    while tail < shorter - begin and source[-1 - tail] == answer[-1 - tail]:
        tail += 1
    source_end, answer_end = len(source) - tail, len(answer) - tail

    positions = [*range(begin), *[ABSENT] * (answer_end - begin), *range(source_end, len(source))]
    if begin in (answer_end, source_end):
        return positions
    # For each word its first position, and for each position the next one of the same word.
    first: dict[str, int] = {}
    later: dict[int, int] = {}
    for position in range(source_end - 1, begin - 1, -1):
        word = source[position]
        if word in first:
            later[position] = first[word]
        first[word] = position
    taken: set[int] = set()
    previous = begin - 1
    for index in range(begin, answer_end):
        word = answer[index]
        position = previous + 1
        previous = ABSENT
        if word not in first:
            continue
        if not begin <= position < source_end or source[position] != word or position in taken:
            position = first[word]
            while position in taken:
                position = later.get(position, ABSENT)
            if position == ABSENT:
                del first[word]
                continue
            first[word] = position
        taken.add(position)
        positions[index] = previous = position
    return positions
