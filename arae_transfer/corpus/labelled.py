"""Labelled examples of one or two sentences, and unlabelled sentences, for classification.

Single sentences are read as any corpus is (see ``reading``). Pairs are read from the files of SNLI (Bowman et al.
2015) as its authors publish them: ``snli_1.0_train.jsonl``, ``..._dev.jsonl``, ``..._test.jsonl``, a JSON object a line
with ``gold_label``, ``sentence1`` and ``sentence2``. Sentences without labels come from ``--data unlabelled=FILE``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from arae_transfer.corpus.near_duplicates import without_near_duplicates
from arae_transfer.corpus.reading import ReadingOptions, read_corpus
from arae_transfer.errors import AraeError
from arae_transfer.text import Normalizer, TextFormat

UNLABELLED = "unlabelled="
# What SNLI writes where its annotators did not agree; its authors advise to leave these pairs out.
NO_GOLD_LABEL = "-"
_SPLIT_NAMES = {"train": ("train",), "valid": ("dev", "valid"), "test": ("test",)}


@dataclass(frozen=True)
class Examples:
    """Labelled examples of a split.

    Attributes:
        sentences: One list of sentences, or two of the same length: premises and hypotheses.
        labels: The class of each example.
        skipped: How many were left out because they have no gold label.
    """

    sentences: tuple[list[str], ...]
    labels: list[str]
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def in_form(self, form: TextFormat) -> Examples:
        """Return the examples with each sentence in the corpus's text format."""
        return Examples(tuple(in_form(lines, form) for lines in self.sentences), self.labels, self.skipped)


@dataclass(frozen=True)
class LabelledData:
    """The data of a classification.

    Attributes:
        classes: The classes in order.
        train: The labelled examples; which of their labels are used, the recipe says.
        valid: Held-out examples, which choose the best checkpoint.
        unlabelled: Further sentences.
        sources: What ``--data`` named.
    """

    classes: tuple[str, ...]
    train: Examples
    valid: Examples
    unlabelled: list[str]
    sources: tuple[str, ...] = ()

    def text(self) -> list[str]:
        """Return every distinct sentence to train on, in order; near-duplicates of held-out ones are left out."""
        held_out = (line for lines in self.valid.sentences for line in lines)
        every = [line for lines in self.train.sentences for line in lines] + self.unlabelled
        return list(without_near_duplicates(dict.fromkeys(every), held_out))


def read_snli(path: Path) -> Examples:
    """Read a JSON Lines file of SNLI.

    Raises:
        AraeError: The file cannot be read, or a line is no such object; the message names the line.
    """
    first, second, labels, skipped = [], [], [], 0
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AraeError(f"cannot read {path}: {error.strerror or error}") from error
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            label, one, other = (record[key] for key in ("gold_label", "sentence1", "sentence2"))
        except (ValueError, TypeError, KeyError) as error:
            wrong = f"lacks {error}" if isinstance(error, KeyError) else "is not a JSON object"
            raise AraeError(
                f"{path}:{number}: the line {wrong}",
                "a line of SNLI is an object with gold_label, sentence1 and sentence2.",
            ) from error
        if not all(isinstance(each, str) for each in (label, one, other)):
            raise AraeError(f"{path}:{number}: gold_label, sentence1 and sentence2 must be strings")
        if label == NO_GOLD_LABEL or not one.strip() or not other.strip():
            skipped += 1
            continue
        first.append(" ".join(one.split()))
        second.append(" ".join(other.split()))
        labels.append(label)
    if not labels:
        raise AraeError(f"{path} has no pair with a gold label", "give a .jsonl file of SNLI.")
    return Examples((first, second), labels, skipped)


def find_snli_file(folder: Path, split: str) -> Path:
    """Return the JSON Lines file of a split in a folder of SNLI.

    Raises:
        AraeError: There is none, or several.
    """
    found = [path for path in sorted(folder.glob("*.jsonl")) if any(n in path.stem for n in _SPLIT_NAMES[split])]
    if len(found) != 1:
        named = ", ".join(path.name for path in found) or "none"
        raise AraeError(
            f"{folder} needs one .jsonl file of the split {split} ({' or '.join(_SPLIT_NAMES[split])}), it has {named}",
            "SNLI's own are named snli_1.0_train.jsonl, snli_1.0_dev.jsonl and snli_1.0_test.jsonl.",
        )
    return found[0]


def read_unlabelled(sources: Sequence[str]) -> list[str]:
    """Read the lines of the files that ``--data unlabelled=FILE`` names, without blank ones.

    Raises:
        AraeError: A file cannot be read.
    """
    lines: list[str] = []
    for source in sources:
        if source.startswith(UNLABELLED):
            path = Path(source.removeprefix(UNLABELLED))
            try:
                lines += [line for line in path.read_text("utf-8").split("\n") if line.strip()]
            except (OSError, UnicodeDecodeError) as error:
                raise AraeError(f"cannot read {path}: {error}") from error
    return lines


def read_examples(
    sources: Sequence[str],
    split: str,
    form: TextFormat,
    options: ReadingOptions,
    *,
    pairs: bool,
    classes: Sequence[str] | None = None,
) -> Examples:
    """Read the labelled examples of a split in the corpus's text format.

    Args:
        sources: What ``--data`` names; for pairs, a folder of SNLI's files.
        split: ``train``, ``valid`` or ``test``.
        form: How the corpus is written.
        options: How single sentences are read.
        pairs: Whether an example is a pair.
        classes: The classes; None: all that the data has.

    Raises:
        AraeError: The data cannot be read, or has another class.
    """
    labelled = [source for source in sources if not source.startswith(UNLABELLED)]
    if not pairs:
        lines = read_corpus(labelled, split, options, classes=classes).lines
        texts = [text for own in lines.values() for text in own]
        return Examples((texts,), [name for name, own in lines.items() for _ in own]).in_form(form)
    if len(labelled) != 1 or not Path(labelled[0]).is_dir():
        raise AraeError(
            f"sentence pairs must come from one folder, not from {', '.join(labelled) or 'nothing'}",
            "give --data FOLDER with SNLI's files of train, dev and test (.jsonl).",
        )
    path = find_snli_file(Path(labelled[0]), split)
    examples = read_snli(path)
    unknown = sorted(set(examples.labels) - set(classes)) if classes is not None else []
    if unknown:
        raise AraeError(f"{path} has the label {unknown[0]!r}", f"the classes are {', '.join(classes or ())}.")
    return examples.in_form(form)


def read_labelled_data(
    sources: Sequence[str],
    form: TextFormat,
    options: ReadingOptions,
    *,
    pairs: bool,
    classes: Sequence[str] = (),
) -> LabelledData:
    """Read training and held-out examples and unlabelled sentences; see ``read_examples``."""
    train = read_examples(sources, "train", form, options, pairs=pairs, classes=classes or None)
    order = tuple(classes) or tuple(sorted(set(train.labels)))
    valid = read_examples(sources, "valid", form, options, pairs=pairs, classes=order)
    return LabelledData(order, train, valid, in_form(read_unlabelled(sources), form), tuple(sources))


def choose_labels(classes: npt.NDArray[np.int64], share: float, number: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the indices of the examples whose labels are used, in the proportions of the classes.

    Fewer labels of one seed are among the more, so that shares can be compared.

    Args:
        classes: (examples,) class indices.
        share: The share of the examples.
        number: The number of examples, in the place of the share; 0: the share.
        seed: Another seed chooses others.

    Raises:
        AraeError: There are fewer examples than asked for, or fewer labels than classes.
    """
    total = number or round(share * len(classes))
    sizes = np.bincount(classes)  # (classes,)
    if total > len(classes):
        raise AraeError(f"labels.number = {number:,} is too high: there are only {len(classes):,} labelled examples")
    if total < len(sizes):
        raise AraeError(f"{total} labels are too few for {len(sizes)} classes", "raise labels.share or labels.number.")
    quotas = _proportional(sizes, total)
    chosen = []
    for index, quota in enumerate(quotas):
        members = np.flatnonzero(classes == index)
        chosen.append(np.random.default_rng([seed, index, 6]).permutation(members)[:quota])
    return np.sort(np.concatenate(chosen))


def _proportional(sizes: npt.NDArray[np.int64], total: int) -> npt.NDArray[np.int64]:
    """Divide a total among classes by their sizes, at least one each, by the largest-remainder method."""
    exact = sizes * (total / sizes.sum())
    quotas: npt.NDArray[np.int64] = np.maximum(np.floor(exact).astype(np.int64), 1)
    while quotas.sum() > total:
        quotas[quotas.argmax()] -= 1
    for index in np.argsort(-(exact - np.floor(exact)), kind="stable"):
        if quotas.sum() == total:
            break
        quotas[index] += 1
    return quotas


def class_indices(labels: Iterable[str], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the index of each label among the classes: (examples,)."""
    places: Mapping[str, int] = {name: place for place, name in enumerate(classes)}
    return np.array([places[label] for label in labels], dtype=np.int64)


def in_form(lines: Sequence[str], form: TextFormat) -> list[str]:
    """Return lines in the corpus's text format."""
    normalizer = Normalizer(form)
    return [normalizer.normalize(line)[0] for line in lines]
