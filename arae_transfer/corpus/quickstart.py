"""A small synthetic corpus to train a model on in minutes, whose rewrites can be checked exactly.

Two classes, ``negative`` and ``positive``: sentences about restaurants, hotels and shops from a grammar (see
``quickstart_grammar``). The classes are drawn independently, so the corpus is not parallel. Because the
grammar is known, so is every right rewrite of a sentence: ``judge_rewrite`` says whether a rewrite keeps the
whole content and has opinions of the wished class only, with no model and no reference needed.
"""

from __future__ import annotations

import random
import re
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


def class_of(sentence: str) -> str | None:
    """Return the class of a sentence of this grammar.

    None when the grammar does not have the sentence, or when it has opinions of both classes.
    """
    parses = QUICKSTART_GRAMMAR.parse(sentence)
    return parses[0].label if parses else None


def correct_rewrites(source: str, target: str) -> re.Pattern[str]:
    """Return the regular expression of all correct rewrites of a sentence (use ``fullmatch``).

    Args:
        source: A sentence of this grammar, of any class or even with opinions of both.
        target: The class to rewrite to; the source's own class gives its paraphrases.

    Raises:
        AraeError: The grammar does not have the source, or there is no such class.
    """
    if target not in CLASSES:
        raise AraeError(f"the quickstart corpus has no class {target!r}", f"use {' or '.join(CLASSES)}.")
    parses = QUICKSTART_GRAMMAR.parse(source)
    if not parses:
        raise AraeError(
            f"not a sentence of the quickstart corpus: {source!r}",
            "give one of its sentences in its own form (lower case, spaces around punctuation).",
        )
    return re.compile("|".join(QUICKSTART_GRAMMAR.rewrites(parse.skeleton, target).pattern for parse in parses))


def judge_rewrite(source: str, rewrite: str, target: str) -> bool:
    """Return whether a rewrite is a correct transfer of a sentence of this corpus.

    Right means: every content word stands unchanged and in its place (who, when, where, what it is about, the
    kind of sentence), and wherever the source has an opinion the rewrite has one of the target class that
    fits the same noun in the same number. Which of the fitting opinions it is, and whether an adverb
    strengthens it, is free: both ``the soup was cold .`` -> ``the soup was delicious .`` and ``-> the soup
    tasted great .`` are right; ``the pizza was delicious .``, ``the soup was friendly .`` and ``the soup were
    delicious .`` are not.

    Args:
        source: A sentence of this corpus.
        rewrite: What a model made of it, in the corpus's own form; blanks at its ends do not count.
        target: The class to which it was to be rewritten.

    Raises:
        AraeError: The source is no sentence of this corpus, or there is no such class.
    """
    return correct_rewrites(source, target).fullmatch(rewrite.strip()) is not None


def example_rewrite(source: str, target: str, seed: int = 0) -> str:
    """Return a random correct rewrite of a sentence of this corpus, as a perfect model would.

    Raises:
        AraeError: The source is no sentence of this corpus, or there is no such class.
    """
    correct_rewrites(source, target)  # raises where there is none
    parse = QUICKSTART_GRAMMAR.parse(source)[0]
    return QUICKSTART_GRAMMAR.write_with_content(parse.skeleton, target, random.Random(f"{seed} {source}"))
