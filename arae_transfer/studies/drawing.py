"""Make a study: draw sources, and merge and shuffle candidates."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from arae_transfer.errors import AraeError
from arae_transfer.studies.rewrites import Sources, System
from arae_transfer.studies.study import Candidate, Item, Part, Study, letter


@dataclass(frozen=True)
class _Drawn:
    """A drawn source: its part, its index in the file from 0, its text."""

    part: Part
    place: int
    source: str


def make_study(
    sources: Sequence[Sources],
    systems: Mapping[str, System],
    *,
    items: int = 40,
    sheets: int = 1,
    shared: int = 0,
    seed: int = 1,
    progress: Callable[[str], None] = lambda message: None,
) -> Study:
    """Draw sources, rewrite them, and hide the systems.

    The sources depend on the seed and on their own files alone, so another system does not change them. Candidates
    that are equal but for their spaces become one.

    Args:
        sources: The parts.
        systems: The systems by name.
        items: How many different sources are drawn from each part; fewer where a part has fewer.
        sheets: How many sheets the sources are dealt out to.
        shared: How many of the sources stand in every sheet, so that readers' agreement can be measured.
        seed: Another seed draws other sources and another order.
        progress: Called with what is being done.

    Raises:
        AraeError: There are too few sources, or a system fails.
    """
    drawn = [each for part in sources for each in _draw(part, items, seed)]
    if not drawn:
        raise AraeError("the sources have no text", "give files with one sentence per line.")
    if shared > len(drawn) or len(drawn) - shared < (sheets if shared < len(drawn) else 0):
        raise AraeError(
            f"{len(drawn)} sources are too few for {sheets} sheets that share {shared}",
            "draw more (--items), or make fewer sheets.",
        )
    rewrites = _rewrite(drawn, systems, progress)
    order = list(range(len(drawn)))
    _chance(seed, "order").shuffle(order)
    dealt = _deal(order, sheets, shared)
    width = len(str(len(drawn)))
    made = {}
    for number, (index, in_sheets) in enumerate(dealt, 1):
        each = drawn[index]
        candidates = _merge(rewrites[index], _chance(seed, each.part.name, str(each.place)))
        made[f"{number:0{width}d}"] = Item(each.part, each.place + 1, each.source, in_sheets, candidates)
    return Study(tuple(systems), sheets, seed, made)


def _chance(seed: int, *what: str) -> random.Random:
    """Return a random generator for one purpose, so that draws do not depend on one another."""
    return random.Random("\0".join([str(seed), *what]))


def _draw(sources: Sources, items: int, seed: int) -> list[_Drawn]:
    """Draw different sources with text; of equal ones, the first counts."""
    first: dict[str, int] = {}
    for place, line in enumerate(sources.lines):
        first.setdefault(_normal(line), place)
    first.pop("", None)
    places = sorted(first.values())
    chosen = _chance(seed, "sources", sources.part.name).sample(places, min(items, len(places)))
    return [_Drawn(sources.part, place, _normal(sources.lines[place])) for place in chosen]


def _rewrite(
    drawn: Sequence[_Drawn], systems: Mapping[str, System], progress: Callable[[str], None]
) -> list[dict[str, str]]:
    """Return the rewrites of each source, by system."""
    by_part: dict[Part, list[int]] = defaultdict(list)
    for index, each in enumerate(drawn):
        by_part[each.part].append(index)
    rewrites: list[dict[str, str]] = [{} for _ in drawn]
    for name, system in systems.items():
        for part, indices in by_part.items():
            progress(f"{name} rewrites {part.name}")
            answers = system.rewrite(part, [drawn[i].place for i in indices], [drawn[i].source for i in indices])
            for index, answer in zip(indices, answers or (), strict=answers is not None):
                rewrites[index][name] = _normal(answer)
    return rewrites


def _merge(rewrites: Mapping[str, str], chance: random.Random) -> dict[str, Candidate]:
    """Merge equal rewrites, and shuffle them."""
    by_text: dict[str, list[str]] = defaultdict(list)
    for name, text in rewrites.items():
        by_text[text].append(name)
    texts = sorted(by_text)  # so that the order depends on no system's place in the command
    chance.shuffle(texts)
    return {letter(number): Candidate(text, tuple(sorted(by_text[text]))) for number, text in enumerate(texts)}


def _deal(order: Sequence[int], sheets: int, shared: int) -> list[tuple[int, tuple[int, ...]]]:
    """Distribute items over sheets; return each with its sheets, sheet by sheet, shared ones first."""
    common, rest = order[:shared], order[shared:]
    dealt = [(index, tuple(range(1, sheets + 1))) for index in common]
    for sheet in range(sheets):
        dealt += [(index, (sheet + 1,)) for index in rest[sheet::sheets]]
    return dealt


def _normal(text: str) -> str:
    """Return a text on one line, with single spaces."""
    return " ".join(text.split())
