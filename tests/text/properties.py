"""What must hold of a line and its answer, whatever the model."""

from __future__ import annotations

import difflib
import re

from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.text.english import detaches_a_negation
from arae_transfer.text.escapes import without_escapes
from arae_transfer.text.fidelity import is_balanced
from arae_transfer.text.prose import is_prose
from arae_transfer.text.protected import Protector

PROTECTOR = Protector()
NUMBER = "_num_"
_PAIRED = re.compile(r"""''|["“”„()\[\]{}]""")
_TOKEN = re.compile(r"\s+|\w+(?:['’]\w+)*|[^\w\s]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def is_subsequence(found: list[str], among: list[str]) -> bool:
    rest = iter(among)
    return all(any(each == other for other in rest) for each in found)


def broken_properties(rewriter: Rewriter, source: str, answer: str) -> list[str]:
    """Return the names of the properties that a line and its answer break."""
    broken = []
    if not is_prose(source) and source.strip() and answer != source:
        broken.append("a line without words is unchanged")
    read, written = without_escapes(source), without_escapes(answer)
    before, after = PROTECTOR.sequence(read, NUMBER), PROTECTOR.sequence(written, NUMBER)
    if not is_subsequence(after, before):
        broken.append("protected spans are the source's, in its order")
    if len(after) != len(before):
        broken.append("no protected span is lost")
    masks = [_PAIRED.findall(PROTECTOR.masked(text, NUMBER)) for text in (read, written)]
    if is_balanced(masks[0]) and not is_balanced(masks[1]):
        broken.append("quotation marks and brackets balance")
    if not _same_blanks(source, answer):
        broken.append("blanks outside changed words are the source's")
    if detaches_a_negation(read, written):
        broken.append("negations stay with their verbs")
    if new := _new_words(rewriter, read, written):
        broken.append(f"no word is new to source and corpus: {new}")
    return broken


def _same_blanks(source: str, answer: str) -> bool:
    """Say whether the blanks between words that both have, next to each other, are the same."""
    one, other = (_TOKEN.findall(text) for text in (source, answer))
    words = [[each for each in text if not each.isspace()] for text in (one, other)]
    matcher = difflib.SequenceMatcher(None, words[0], words[1], autojunk=False)
    gaps = [_gaps(text) for text in (one, other)]
    for begin, there, length in matcher.get_matching_blocks():
        if gaps[0][begin + 1 : begin + length] != gaps[1][there + 1 : there + length]:
            return False
    return gaps[0][0] == gaps[1][0] and (gaps[0][-1] == gaps[1][-1])


def _gaps(tokens: list[str]) -> list[str]:
    """Return the blanks before each token and after the last."""
    gaps, pending = [], ""
    for token in tokens:
        if token.isspace():
            pending = token
        else:
            gaps.append(pending)
            pending = ""
    return [*gaps, pending]


def _new_words(rewriter: Rewriter, source: str, answer: str) -> list[str]:
    own = {word.lower() for word in _WORD.findall(source)}
    own |= {part for word in own for part in re.split("['’]", word)}
    words = {word.lower() for word in _WORD.findall(PROTECTOR.masked(answer, NUMBER))} - own - {"n't"}
    known = rewriter._vocabulary._is_word
    return sorted(
        word
        for word in words
        if not known(word)
        and not all(known(part) or part in own for part in rewriter._normalizer("ordinary").normalize(word)[0].split())
    )
