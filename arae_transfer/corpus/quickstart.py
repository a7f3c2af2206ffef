"""A small synthetic corpus to train a model on in minutes.

Two classes, ``negative`` and ``positive``: sentences about restaurants, hotels and shops from a grammar (see
``quickstart_grammar``). The classes are drawn independently, so the corpus is not parallel.
"""

from __future__ import annotations

import random
from pathlib import Path

from arae_transfer.atomic import write_text
from arae_transfer.corpus.quickstart_grammar import QUICKSTART_GRAMMAR
from arae_transfer.corpus.sources import TEST, TRAIN, VALID
from arae_transfer.errors import AraeError

CLASSES = QUICKSTART_GRAMMAR.classes
TRAIN_LINES = 8000
HELD_OUT_LINES = 400

# The grammar has far more sentences than anybody asks for; this many repetitions in a row mean it is
# exhausted.
_MAXIMUM_REPETITIONS = 10_000


def make_sentences(
    seed: int = 0, *, train_lines: int = TRAIN_LINES, held_out_lines: int = HELD_OUT_LINES
) -> dict[str, dict[str, list[str]]]:
    """Return the corpus as split -> class -> sentences.

    All sentences of a class are distinct, within and across splits. The same seed gives the same sentences on
    every machine; for each class there is a random sequence of its own.

    Args:
        seed: Any integer.
        train_lines: The number of sentences of each class in ``train``.
        held_out_lines: The number of sentences of each class in ``valid``, and again in ``test``.

    Raises:
        AraeError: The grammar does not have so many sentences.
    """
    sizes = {TRAIN: train_lines, VALID: held_out_lines, TEST: held_out_lines}
    corpus: dict[str, dict[str, list[str]]] = {split: {} for split in sizes}
    for label in CLASSES:
        sentences = _distinct_sentences(label, sum(sizes.values()), random.Random(f"{seed} {label}"))
        start = 0
        for split, size in sizes.items():
            corpus[split][label] = sentences[start : start + size]
            start += size
    return corpus


def _distinct_sentences(label: str, count: int, generator: random.Random) -> list[str]:
    sentences: dict[str, None] = {}  # a set that keeps the order
    repetitions = 0
    while len(sentences) < count:
        before = len(sentences)
        sentences[QUICKSTART_GRAMMAR.write(label, generator)] = None
        repetitions = 0 if len(sentences) > before else repetitions + 1
        if repetitions > _MAXIMUM_REPETITIONS:
            raise AraeError(
                f"the grammar has only about {len(sentences):,} {label} sentences, fewer than {count:,}",
                "ask for fewer lines.",
            )
    return list(sentences)


def write_corpus(
    folder: Path, seed: int = 0, *, train_lines: int = TRAIN_LINES, held_out_lines: int = HELD_OUT_LINES
) -> None:
    """Write the corpus as ``SPLIT.CLASS.txt`` files, atomically, with those of ``train`` last.

    Files that already hold this corpus are left as they are; a folder with another corpus is refused.

    Args:
        folder: Where to write; made when missing.
        seed: Any integer; the same seed gives the same bytes.
        train_lines: The number of sentences of each class in ``train``.
        held_out_lines: The number of sentences of each class in ``valid``, and again in ``test``.

    Raises:
        AraeError: The folder holds other corpus files, or cannot be written.
    """
    corpus = make_sentences(seed, train_lines=train_lines, held_out_lines=held_out_lines)
    contents = {
        folder / f"{split}.{label}.txt": "".join(f"{sentence}\n" for sentence in corpus[split][label])
        for split in (TEST, VALID, TRAIN)
        for label in CLASSES
    }
    try:
        present = [path for path in folder.glob("*.*.txt") if not path.name.startswith(".")]
        others = [
            path for path in sorted(present) if path not in contents or path.read_bytes() != contents[path].encode()
        ]
    except OSError as error:
        raise AraeError(
            f"cannot read {error.filename or folder}: {error.strerror}", "choose another folder."
        ) from error
    if others:
        raise AraeError(
            f"{folder} holds another corpus: {others[0].name}", "choose another folder, or empty this one first."
        )
    for path, content in contents.items():
        if path not in present:
            write_text(path, content)
