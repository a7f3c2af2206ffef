"""Read text of one class for generation: a corpus of one class, or the sentences of SNLI's pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from arae_transfer.corpus.labelled import UNLABELLED, find_snli_file, in_form, read_snli, read_unlabelled
from arae_transfer.corpus.near_duplicates import without_near_duplicates
from arae_transfer.corpus.plan import Progress
from arae_transfer.corpus.reading import LabelledLines, ReadingOptions, is_large, read_corpus, stream_corpus
from arae_transfer.corpus.sources import TEST, TRAIN, VALID
from arae_transfer.corpus.text_files import COMPRESSED_SUFFIX
from arae_transfer.errors import AraeError
from arae_transfer.text import TextFormat

# The name of the one class where the data name none.
TEXT = "text"


@dataclass(frozen=True)
class SingleClassText:
    """Sentences of one class.

    Attributes:
        lines: The sentences of a split, under the name of their one class.
        messages: What was remarkable when they were read, in sentences.
    """

    lines: LabelledLines
    messages: tuple[str, ...] = ()


def read_single_class(
    sources: Sequence[str],
    split: str,
    form: TextFormat,
    options: ReadingOptions,
    *,
    classes: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> SingleClassText:
    """Read a split of text of one class.

    Args:
        sources: What ``--data`` names: a text file, anything that ``reading.read_corpus`` reads with one class, or a
            folder of SNLI's ``.jsonl`` files, with ``unlabelled=FILE`` for further training sentences. Of SNLI each
            different premise and hypothesis is a sentence once; those of its dev and test files are not trained on.
        split: ``train``, ``valid`` or ``test``.
        form: How the corpus is written; SNLI's sentences and unlabelled ones are brought to it.
        options: How files of a class and tables are read.
        classes: The class to read, where the data have several; None: the only one.
        progress: Called with the bytes done and in all, where files of a class are read.

    Raises:
        AraeError: The data cannot be read, or have several classes.
    """
    folders = [Path(source) for source in sources if _is_snli(source)]
    if folders:
        return _read_snli_sentences(folders, sources, split, form)
    sources = [f"{TEXT}={source}" if _is_text_file(source) else source for source in sources]
    large = split == TRAIN and is_large(sources)
    found = (stream_corpus if large else read_corpus)(sources, split, options, classes=classes, progress=progress)
    if len(found.classes) > 1:
        raise AraeError(
            f"the data has the classes {', '.join(found.classes)}; generation learns from one class",
            f'choose one: --set data.classes=["{found.classes[0]}"]',
        )
    return SingleClassText(found.lines, tuple(found.report.lines()))


def _is_snli(source: str) -> bool:
    folder = Path(source)
    return folder.is_dir() and any(folder.glob("*.jsonl")) and not any(folder.glob(f"{TRAIN}.*.txt*"))


def _is_text_file(source: str) -> bool:
    path = Path(source)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == COMPRESSED_SUFFIX:
        suffixes.pop()
    return path.is_file() and suffixes[-1:] in ([], [".txt"])


def _read_snli_sentences(
    folders: Sequence[Path], sources: Sequence[str], split: str, form: TextFormat
) -> SingleClassText:
    others = [source for source in sources if not _is_snli(source) and not source.startswith(UNLABELLED)]
    if others or len(folders) > 1:
        raise AraeError(
            f"{', '.join(others) or folders[1]} cannot be combined with {folders[0]}, a folder of SNLI's files",
            f"give more sentences as --data {UNLABELLED}FILE.",
        )
    folder, skipped = folders[0], 0

    def sentences(part: str) -> list[str]:
        nonlocal skipped
        examples = read_snli(find_snli_file(folder, part))
        if part == split:
            skipped = examples.skipped
        return in_form(list(dict.fromkeys(line for own in examples.sentences for line in own)), form)

    found = sentences(split)
    if split == TRAIN:
        held_out = (line for part in (VALID, TEST) for line in sentences(part))
        further = in_form(read_unlabelled(sources), form)
        found = list(without_near_duplicates(dict.fromkeys([*found, *further]), held_out))
    messages = (f"left out {skipped:,} {split} pairs without a gold label",) if skipped else ()
    return SingleClassText({TEXT: list(dict.fromkeys(found))}, messages)
