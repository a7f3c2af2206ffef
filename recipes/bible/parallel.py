"""Find, for each verse of a split, the same verse in the other translations: references for `arae evaluate`.

    python recipes/bible/parallel.py DATA FOLDER [SPLIT]

The files of two translations may stand in different orders. Translations whose lines already correspond are found by
their likeness and taken as they are; the others are brought into line by the assignment of verses to verses that makes
the sum of their likenesses greatest (cosine of tf-idf of character n-grams; translations that correspond are compared
together). FOLDER/CLASS-to-CLASS.txt is written for all directions, one line for each line of the split, as
`arae evaluate --references FOLDER` reads it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: TID253 (a program of its own)

from arae_transfer.corpus.reading import read_corpus
from arae_transfer.errors import AraeError
from arae_transfer.evaluation.outputs import Direction, write_output_folder

# Lines that correspond are on average so many times as alike as lines that stand next to each other.
CORRESPONDING = 3.0
# Of the same verses nearly every one is more like its own translation than like any other verse.
LEAST_ALIKE = 0.8


def likeness(first: list[str], second: list[str]) -> npt.NDArray[np.float64]:
    """Return the likeness of each verse to each: (first, second), between 0 and 1."""
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(first + second)
    found: npt.NDArray[np.float64] = (vectors[: len(first)] @ vectors[len(first) :].T).toarray()
    return found


def correspond(first: list[str], second: list[str]) -> bool:
    """Say whether the lines of two translations correspond as they stand."""
    alike = likeness(first, second)
    return float(np.diagonal(alike).mean()) > CORRESPONDING * float(np.diagonal(alike, offset=1).mean())


def find_orders(lines: dict[str, list[str]]) -> tuple[dict[str, npt.NDArray[np.int64]], list[str]]:
    """Return, for each translation, which of its lines is the n-th verse of the first one, and what was found.

    Raises:
        AraeError: Two translations have not the same verses.
    """
    groups: list[list[str]] = []
    for name, own in lines.items():
        group = next((group for group in groups if correspond(lines[group[0]], own)), None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    joined = [[" ".join(verses) for verses in zip(*(lines[name] for name in group), strict=True)] for group in groups]
    orders = dict.fromkeys(groups[0], np.arange(len(joined[0])))
    remarks = [f"line by line as they stand: {', '.join(group)}" for group in groups if len(group) > 1]
    for group, verses in zip(groups[1:], joined[1:], strict=True):
        alike = likeness(joined[0], verses)
        _, order = linear_sum_assignment(-alike)
        orders |= dict.fromkeys(group, order)
        matched = alike[np.arange(len(order)), order]
        best = float((alike.argmax(axis=1) == order).mean())
        if best < LEAST_ALIKE:
            raise AraeError(
                f"{', '.join(group)} and {', '.join(groups[0])} have not the same verses: only {100 * best:.0f} % "
                "find one that is most like them",
                "give whole splits; a part of one has other verses in each translation.",
            )
        remarks.append(
            f"{', '.join(group)} to {', '.join(groups[0])}: likeness {matched.mean():.2f} on average, "
            f"{matched.min():.2f} at least; {100 * best:.1f} % of the verses are assigned to the one most like them"
        )
    return orders, remarks


def main(data: str, folder: str, split: str = "test") -> None:
    """Write the references."""
    lines = read_corpus([data], split).lines
    counts = {name: len(own) for name, own in lines.items()}
    if len(set(counts.values())) != 1:
        raise AraeError(f"the {split} split is not parallel: {counts}", "take a split of as many verses in each class.")
    orders, remarks = find_orders(lines)
    places = {name: np.argsort(order) for name, order in orders.items()}  # line -> verse
    references = {
        Direction(source, target): [lines[target][orders[target][verse]] for verse in places[source]]
        for source in lines
        for target in lines
        if source != target
    }
    write_output_folder(Path(folder), references)
    for remark in remarks:
        print(remark, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except AraeError as error:
        sys.exit(str(error))
