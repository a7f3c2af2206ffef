"""Rules of English for rewrites: articles agree, no word or mark twice, no "n't" without its verb, names stay."""

from __future__ import annotations

import re
from itertools import pairwise

_ARTICLES = frozenset({"a", "an", "A", "An"})
_WORD = re.compile(r"[a-z]{2,}")
_VOWEL = re.compile(r"[aeiou]")
# Spelled with a vowel and spoken with a consonant: "a unique", "a one-time"; not "an uninspired", "an unidentified".
_LIKE_A_CONSONANT = re.compile(r"uni(?![dmn])|us[aeu]|eu|ubiq|util|utens|ukul|one|once")
# Spelled with a consonant and spoken with a vowel.
_LIKE_A_VOWEL = re.compile(r"hour|hrs?(?![a-z])|honest|hono|heir")
_DETACHED = re.compile(r"[^\w'’]n['’]t\b")
# Marks and contractions behind spaces, as in "it 's bad ."
_SPACED = re.compile(r"\s(?:[.,!?;]|'\w+)(?!\S)")
_NAME = re.compile(r"[A-Z][\w'-]*[a-z][\w'-]*")
# A word behind one of these has a capital in any case.
_BEFORE_CAPITALS = frozenset({".", "!", "?", "...", ":", ";", "--", "-", "(", "``", "''", "'"})
_MARKS = frozenset({".", "!", "?", ",", ";", "..."})
# Words that are said twice on purpose.
_TWICE = frozenset(
    {"very", "really", "so", "had", "that", "no", "never", "much", "many", "far", "long", "ha", "bye", "yum"}
)


def agree_articles(source: str, answer: str) -> str:
    """Return an answer whose articles agree with the new words after them: "a terrible", "an awful".

    Articles before words of the source stay, right or wrong.

    Args:
        source: The source, words separated by spaces.
        answer: Its rewrite, in the same form.
    """
    words = answer.split(" ")
    if _ARTICLES.isdisjoint(words):
        return answer
    known = set(pairwise(source.split(" ")))
    for place, (article, word) in enumerate(pairwise(words)):
        if article in _ARTICLES and (article, word) not in known and _WORD.match(word):
            words[place] = article[0] + ("n" if _sounds_like_a_vowel(word) else "")
    return " ".join(words)


def doubles_a_word(source: str, answer: str) -> bool:
    """Return whether an answer repeats a word directly where the source does not.

    Args:
        source: The source, words parted by spaces.
        answer: Its rewrite, in the same form.
    """
    doubled = {word for word, following in pairwise(answer.split(" ")) if word == following and word.isalpha()}
    if not doubled - _TWICE:
        return False
    return bool(doubled - _TWICE - {word for word, following in pairwise(source.split(" ")) if word == following})


def detaches_a_negation(source: str, answer: str) -> bool:
    """Return whether an answer has "n't" without a word before it, in the way of a line that is typed close.

    Args:
        source: A line as it was typed.
        answer: Its answer in the typed form.
    """
    found = [each[0] for each in _DETACHED.finditer(answer)]
    if not found or _DETACHED.search(source) is not None:
        return False
    # Where marks stand behind spaces, so do contractions: "was n't", but not "*n't*".
    return any(not each[0].isspace() for each in found) or _SPACED.search(source) is None


def doubles_a_mark(source: str, answer: str) -> bool:
    """Return whether an answer puts a mark directly after another, such as ". ." or "! .", where the source does not.

    Args:
        source: The source, words and punctuation separated by spaces.
        answer: Its rewrite, in the same form.
    """
    doubled = {pair for pair in pairwise(answer.split(" ")) if pair[0] in _MARKS and pair[1] in _MARKS}
    return bool(doubled - {("...", ".")} - set(pairwise(source.split(" "))))


def keeps_names(source: str, answer: str) -> bool:
    """Return whether an answer has the names of its source: words with a capital inside of a sentence.

    Words that are in capitals throughout may be shouted, and count as none.

    Args:
        source: The source with its capitals, words and punctuation separated by spaces.
        answer: Its rewrite, in the same form.
    """
    words = source.split(" ")
    names = {word for before, word in pairwise(words) if before not in _BEFORE_CAPITALS and _NAME.fullmatch(word)}
    return not names or all(name.lower() in answer.lower() for name in names)


def _sounds_like_a_vowel(word: str) -> bool:
    if _VOWEL.match(word):
        return _LIKE_A_CONSONANT.match(word) is None
    return _LIKE_A_VOWEL.match(word) is not None
