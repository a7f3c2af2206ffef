"""Results of a study as data: means, acceptance, paired tests, agreement, correlation with scores."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from arae_transfer.corpus.report import Tally
from arae_transfer.corpus.text_files import TextFile
from arae_transfer.errors import AraeError
from arae_transfer.studies.ratings import Key, Ratings
from arae_transfer.studies.statistics import (
    krippendorff_alpha,
    pair_accuracy,
    sign_test,
    spearman,
    spearman_interval,
    wilson_interval,
    within,
)
from arae_transfer.studies.study import ACCEPTED, SCALES, Candidate, Item, Study

OVERALL = SCALES.index("overall")
TOGETHER = "together"
HAS_LETTERS = 3
"""Columns of a file of scores with candidates: item, letter, score."""

Values = tuple[float, ...]


def tally(
    study: Study, ratings: Ratings, *, base: str | None = None, scores: Mapping[str, Mapping[Key, float]] | None = None
) -> dict[str, Any]:
    """Tally a study.

    A candidate counts for each system that wrote it. Where several readers rated it, their mean counts.

    Args:
        study: The study.
        ratings: Its ratings.
        base: The system that the others are compared with; None: the first one that was given.
        scores: Automatic scores by name, whose correlation with the ratings is wanted.

    Returns:
        What ``--json`` writes: ``sections`` (all items, then by class, group and part), ``base``, ``readers``,
        ``agreement``, ``scores``, and what is missing or could not be used.

    Raises:
        AraeError: The base is unknown, or nothing was rated.
    """
    if not ratings.by_candidate:
        raise AraeError("no candidate has a rating", *ratings.problems[:1])
    base = base or study.systems[0]
    if base not in study.systems:
        raise AraeError(f"the study has no system {base!r}", f"systems: {', '.join(study.systems)}.")
    by_system = _by_system(study, ratings)
    return {
        "study": study.identity,
        "candidates": study.candidates,
        "rated": len(ratings.by_candidate),
        "base": base,
        "accepted_from": ACCEPTED,
        "sections": {name: _section(study, by_system, base, items) for name, items in _sections(study.items).items()},
        "readers": _readers(ratings),
        "agreement": _agreement(ratings),
        "scores": {name: _correlations(ratings, values) for name, values in (scores or {}).items()},
        "missing": [
            f"{item} {letter}" for item, letter in study.candidate_keys() if (item, letter) not in ratings.by_candidate
        ],
        "problems": list(ratings.problems),
        "replaced": list(ratings.replaced),
    }


def _mean(values: Iterable[Values]) -> Values:
    return tuple(float(mean) for mean in np.mean(list(values), axis=0))


def _by_system(study: Study, ratings: Ratings) -> dict[str, dict[str, Values]]:
    """Return the ratings of each system by item, averaged over readers."""
    found: dict[str, dict[str, Values]] = {name: {} for name in study.systems}
    for (item, letter), given in ratings.by_candidate.items():
        values = _mean(rating.values for rating in given)
        for system in study.items[item].candidates[letter].systems:
            found[system][item] = values
    return found


def _sections(items: Mapping[str, Item]) -> dict[str, set[str]]:
    """Return the items of the study, and of each class, group and part, without repeating equal sets."""
    named: dict[str, set[str]] = defaultdict(set)
    named[TOGETHER] = set(items)
    for label in (lambda part: f"to {part.target}", lambda part: part.group, lambda part: part.name):
        for name in sorted({label(item.part) for item in items.values()} - {""}):
            named[name] = {each for each, item in items.items() if label(item.part) == name}
    sections: dict[str, set[str]] = {}
    for name, members in named.items():
        if members not in sections.values():
            sections[name] = members
    return sections


def _section(study: Study, by_system: Mapping[str, Mapping[str, Values]], base: str, items: set[str]) -> dict[str, Any]:
    rated = {
        name: {item: values for item, values in by_system[name].items() if item in items} for name in study.systems
    }
    systems = {name: _measures(list(values.values())) for name, values in rated.items() if values}
    compared = {
        name: _compare(rated[base], values) for name, values in rated.items() if name != base and rated[base] and values
    }
    order = sorted(systems, key=lambda name: -systems[name]["overall"])
    return {"items": len(items), "systems": {name: systems[name] for name in order}, "against_base": compared}


def _measures(values: Sequence[Values]) -> dict[str, Any]:
    accepted = sum(each[OVERALL] >= ACCEPTED for each in values)
    return {
        "items": len(values),
        **dict(zip(SCALES, _mean(values), strict=True)),
        "accepted": accepted / len(values),
        "accepted_interval": list(wilson_interval(accepted, len(values))),
    }


def _compare(base: Mapping[str, Values], other: Mapping[str, Values]) -> dict[str, Any]:
    """Compare the base with another system: how often each is rated higher overall on common items."""
    both = base.keys() & other.keys()
    differences = [base[item][OVERALL] - other[item][OVERALL] for item in both]
    wins, losses = sum(each > 0 for each in differences), sum(each < 0 for each in differences)
    return {"wins": wins, "losses": losses, "ties": len(both) - wins - losses, "p_value": sign_test(wins, losses)}


def _readers(ratings: Ratings) -> dict[str, Any]:
    """Return the number of candidates that each reader rated, and the mean rating."""
    by_reader: dict[str, list[Values]] = defaultdict(list)
    for given in ratings.by_candidate.values():
        for rating in given:
            by_reader[rating.reader].append(rating.values)
    return {
        reader: {
            "candidates": len(values),
            **dict(zip(SCALES, _mean(values), strict=True)),
            "accepted": sum(each[OVERALL] >= ACCEPTED for each in values) / len(values),
        }
        for reader, values in sorted(by_reader.items())
    }


def _agreement(ratings: Ratings) -> dict[str, Any] | None:
    """Return the agreement of readers on candidates with several ratings, or None without any."""
    several = [given for given in ratings.by_candidate.values() if len(given) > 1]
    if not several:
        return None
    scales = {}
    for index, scale in enumerate(SCALES):
        units = [[rating.values[index] for rating in given] for given in several]
        scales[scale] = {"alpha": krippendorff_alpha(units), "within_1": within(units, 1.0)}
    verdicts = [[float(rating.values[OVERALL] >= ACCEPTED) for rating in given] for given in several]
    return {"candidates": len(several), "scales": scales, "same_verdict": within(verdicts, 0.0)}


def _correlations(ratings: Ratings, scores: Mapping[Key, float]) -> dict[str, Any]:
    """Return the correlation of an automatic score with the ratings."""
    keys = [key for key in ratings.by_candidate if key in scores]
    values = np.array([scores[key] for key in keys])
    means = np.array([_mean(rating.values for rating in ratings.by_candidate[key]) for key in keys]).reshape(-1, 4)
    groups = [item for item, _ in keys]
    right, wrong, tied = pair_accuracy(values, means[:, OVERALL], groups)
    pairs = right + wrong + tied
    return {
        "candidates": len(keys),
        "spearman": {scale: spearman(values, means[:, index]) for index, scale in enumerate(SCALES)},
        "overall_interval": spearman_interval(values, means[:, OVERALL], groups) if keys else None,
        "pairs": {"right": right, "wrong": wrong, "tied": tied},
        "pair_accuracy": (right + tied / 2) / pairs if pairs else None,
        "without_score": len(ratings.by_candidate) - len(keys),
    }


def read_scores(study: Study, path: Path) -> dict[Key, float]:
    """Read automatic scores: lines of item, letter and score, or one score per line of ``candidates.tsv``.

    Raises:
        AraeError: A line has no score or an unknown candidate, or there are not as many lines as candidates.
    """
    file = TextFile(path, Tally())
    lines = [
        (number, line.split())
        for block in file.blocks()
        for number, line in enumerate(file.decode(block), block.first_line)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if lines and lines[0][1][-1].lower() == "score":
        del lines[0]
    keys = list(study.candidate_keys())
    known = set(keys)
    if all(len(cells) == 1 for _, cells in lines) and len(lines) != len(keys):
        raise AraeError(
            f"{path} has {len(lines):,} scores, the study has {len(keys):,} candidates",
            "write item, letter and score, or one score per line of candidates.tsv without its header.",
        )
    scores: dict[Key, float] = {}
    for (number, cells), by_order in zip(lines, keys, strict=False):
        key = (cells[0], cells[1].upper()) if len(cells) == HAS_LETTERS else by_order
        if len(cells) not in (1, HAS_LETTERS) or key not in known or key in scores:
            raise AraeError(
                f"{path}, line {number}: {' '.join(cells)!r} is not the score of a candidate, or repeats one",
                "write item, letter and score.",
            )
        try:
            scores[key] = float(cells[-1])
        except ValueError:
            scores[key] = math.nan
        if not math.isfinite(scores[key]):
            raise AraeError(f"{path}, line {number}: {cells[-1]!r} is not a number")
    return scores


def rated_table(study: Study, ratings: Ratings) -> str:
    """Return the rated candidates with their systems as a table."""
    rows = ["\t".join(("group", "to", "source", "candidate", "systems", *SCALES, "readers"))]
    for item, letter in study.candidate_keys():
        if given := ratings.by_candidate.get((item, letter)):
            rows.append(_rated_row(study.items[item], study.items[item].candidates[letter], [r.values for r in given]))
    return "".join(f"{row}\n" for row in rows)


def _rated_row(item: Item, candidate: Candidate, given: Sequence[Values]) -> str:
    means = (f"{mean:g}" for mean in _mean(given))
    part = item.part
    return "\t".join(
        (part.group, part.target, item.source, candidate.text, ",".join(candidate.systems), *means, str(len(given)))
    )
