"""Find the words of a typed line again in the answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

ABSENT = -2  # no position, and not the one before the first either


def align(source: Sequence[str], answer: Sequence[str]) -> list[int]:
    """Return for each word of the answer the position of the same word in the source, or ``ABSENT``.

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
    if begin == answer_end or begin == source_end:
        return positions
    free: dict[str, deque[int]] = {}
    for position in range(begin, source_end):
        free.setdefault(source[position], deque()).append(position)
    taken: set[int] = set()
    previous = begin - 1
    for index in range(begin, answer_end):
        word = answer[index]
        candidates = free.get(word)
        following = previous + 1
        previous = ABSENT
        if candidates:
            if begin <= following < source_end and following not in taken and source[following] == word:
                previous = following
            else:
                while candidates and candidates[0] in taken:
                    candidates.popleft()
                if candidates:
                    previous = candidates.popleft()
            taken.add(previous)
        positions[index] = previous
    return positions
