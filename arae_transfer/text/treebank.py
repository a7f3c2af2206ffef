"""Penn Treebank tokenizer: the corpus's words, their typed forms, and the spaces between them.

The rules are those of the Penn Treebank as review corpora apply them: contractions and possessives are cut (``was
n't``, ``joe 's``, ``can not``), punctuation stands alone except inside a word (``p.m.``, ``check-in``, ``and/or``),
double quotes have a direction, and a run of sentence marks is one mark (``!!!`` is ``!``). One left-to-right pass keeps
every position, so that a line can be restored exactly as it was typed. The expressions cannot backtrack far: running
time is linear in the length of the line.

NLTK's treebank tokenizer splits a single sentence in the same way, but keeps no positions, leaves "cold. The" in one
token, and its import takes longer than the rest of the program's start and brings scikit-learn along where that is
installed; sacremoses's treebank mode raises an error on every line (its issue 151).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from arae_transfer.text.abbreviations import OTHER_ABBREVIATIONS, TITLES
from arae_transfer.text.format import TextFormat
from arae_transfer.text.protected import Span

# Line breaks of any kind and other controls become blanks; a tab is a blank already.
_CONTROLS = dict.fromkeys((*range(9), *range(10, 32), *range(127, 160), 8232, 8233), " ")
# What keyboards and phones type for the corpus's characters, one for one, so that positions stay.
PLAIN_CHARACTERS = str.maketrans("‘’ʼ′“”„«»″–‐‑£€¥", '\'\'\'\'""""""---$$$')
_SYMBOLS = "\u2190-\u2bff\ufe0f\u200d\U0001f000-\U0001faff"
# The placeholders of protected spans during tokenization.
_MASKS = ("\uf8fe", "\uf8ff")
_NUMBER_MASKS = ("\uf8fc", "\uf8fd")
_NO_ESCAPES: Mapping[int, str] = {}
_BREAKS = rf"""\s\uf8fc-\uf8ff,;:?!()\[\]{{}}<>"'`@\#$%&.…—{_SYMBOLS}"""
_LETTERS = rf"[^\-{_BREAKS}]++"
CLITICS = "s|m|re|ve|ll|d|n"
# A period and a capital after small letters, as in "cold.The", end a sentence and begin one.
_NO_SENTENCE_BREAK = r"(?! [A-Z] (?<=[a-z]{2}\.[A-Z]) )"

# Addresses of the web and of mail, and the tags and characters of HTML.
_VERBATIM = r"""
  (?:https?://|www\.) [^\s<>"]* [^\s<>"'.,!?;:)\]}]
| [\w.+-]{1,64}+ @ [\w-]{1,63}+ (?:\.[\w-]{1,63}+){1,8}
| < (?: /? [A-Za-z] [^<>]{0,300} | !-- [^<>]{0,300} -- ) >
| & (?: [A-Za-z]{2,8} | \# \d{1,7} ) ;
"""
# What a number of less than three is followed by, and a heart, "<3", is not.
_UNITS = r"% | \$ | (?i: (?: star | min | minute | hour | hr | day | week | month | year | mile ) s? | people ) \b"
_HEART = rf"""
| (?P<heart>   (?: < | &lt; ) 3+ (?! \d | [.,:/]\d | \s*+ (?:{_UNITS}) ) )
"""
# No group is possessive: before 3.11.5 Python matches such groups wrongly (python/cpython#106052).
# Alternatives are tried one after the other: "plain" are words of letters that end where any would, as nearly all do,
# found before everything that they might have been.
_SCANNER = rf"""
  (?P<plain>   [A-Za-z]++ (?= [\s,!?;)] | \Z ) )
| (?P<quote>   " | `` | '' )
{_HEART}| (?P<verbatim> {_VERBATIM} )
| (?P<dots>    \.{{2,}} | … )
| (?P<end>     [!?]+ )
| (?P<dash>    -{{2,}} | — )
| (?P<clitic>  ' (?i: (?:{CLITICS}|em|til|till|cause|bout|burgh) (?!\w) | t (?=(?:is|was)\b|(?!\w)) ) )
| (?P<symbol>  [{_SYMBOLS}]+ )
| (?P<word>    (?: (?<! [^{_BREAKS}] ) (?<! ' ) \. (?=\d) )?
               (?: {_LETTERS} | - (?!-) )
               (?: {_LETTERS}
                 | - (?!-)
                 | (?<=\w) ' (?=\w)
                 | (?<=\w) \. (?=\w) {_NO_SENTENCE_BREAK}
                 | (?<=\d) [,:] (?=\d) )* )
| (?P<mark>    \S )
"""
_RUNS = {"dots": "...", "dash": "--"}
_CLITIC_AT_END = re.compile(rf"(?i)(?:(?<=[^\W\d])n't|(?<=\w)'(?:{CLITICS}))\Z")
# Two words that people write as one, and where the Treebank cuts them.
MERGED_WORDS = {"cannot": 3, "gonna": 3, "gotta": 3, "wanna": 3, "gimme": 3, "lemme": 3}
MERGED_PAIRS = frozenset(
    {("'t", "is"), ("'t", "was")} | {(word[:length], word[length:]) for word, length in MERGED_WORDS.items()}
)
# Amounts, times, ranges, dates with a year; "1/2", "24/7", "10/10", "2nd", "80s" and "5-star" are words.
_NUMBER = re.compile(r"\.?\d+(?:[.,:-]\d+)*|\d+/\d+/\d+")
_HALF_DAY = re.compile(r"(?i)(?<=\d)[ap]\.?m\Z")
_DOTTED = re.compile(r"(?:[a-z]\.){1,4}[a-z]")
_NEXT = re.compile(r"(\s*+)(\S?)")


class TokenizedLine(NamedTuple):
    """A tokenized line; joining gaps and surfaces alternately gives the line.

    Attributes:
        words: The corpus's words, one per token.
        surfaces: The typed form of each; empty for a final period that was not typed.
        gaps: The blanks before each token, and those after the last: one more than tokens.
        protected: The indices of the tokens that bypass the model.
    """

    words: list[str]
    surfaces: list[str]
    gaps: list[str]
    protected: frozenset[int] = frozenset()


def without_controls(line: str) -> str:
    """Return the line with line breaks and other control characters replaced by spaces."""
    return line if line.isprintable() else line.translate(_CONTROLS)


def is_number(word: str) -> bool:
    """Return whether a corpus with a number placeholder replaces this word."""
    return _NUMBER.fullmatch(word) is not None


def tokenize(  # noqa: C901, PLR0912, PLR0915 -- one pass over the kinds of pieces that the scanner tells apart
    line: str, form: TextFormat, spans: Sequence[Span] = (), escaped: Mapping[int, str] = _NO_ESCAPES
) -> TokenizedLine:
    """Tokenize a line, and return each token with the corpus's word for it.

    Args:
        line: Any text; control characters count as blanks.
        form: The corpus's text format. With plain tokens only case and numbers change.
        spans: The protected spans of the line: each is one token. A number is read as a number.
        escaped: The characters that private characters replace.
    """
    line = without_controls(line)
    meant = line.translate(escaped) if escaped else line
    text = meant if meant.isascii() else meant.translate(PLAIN_CHARACTERS)
    treebank = form.tokens == "penn-treebank"
    # In a plain corpus marks stand as they are typed, curly ones too.
    source = text if treebank else meant
    if spans:
        text = _mask(text, spans, form)
    protected: set[int] = set()
    words: list[str] = []
    surfaces: list[str] = []
    gaps: list[str] = []
    quote_open = False
    end = 0
    for found in _scanner(form).finditer(text):
        kind = found.lastgroup
        start, stop = found.span()
        gap = line[end:start]
        end = stop
        word = source[start:stop]
        lowered = word.lower()
        if (kind == "plain" or (kind == "word" and word.isalpha())) and lowered not in MERGED_WORDS:
            word = lowered if form.lower_case else word  # most words: a short way to what the next case would do
        elif kind in ("word", "plain"):
            for middle in _cuts(found.group(), start, form):
                words.append(_written(source[start:middle], form))
                surfaces.append(line[start:middle])
                gaps.append(gap)
                start, gap = middle, ""
            word = _written(source[start:stop], form)
        elif kind == "mark":
            if word == "." and words and not gap and _keeps_period(words[-1], text, stop, treebank):
                words[-1] += word
                surfaces[-1] += word
                continue
        elif kind == "placeholder":
            word = form.number
        elif kind == "protected":
            protected.add(len(words))
        elif kind == "number":
            word = form.number
        elif not treebank:
            word = _written(word, form)
        elif kind == "quote":
            quote_open = _opens_quote(line, start, stop, quote_open)
            word = "``" if quote_open else "''"
        elif kind == "heart":
            word = "love"
        elif kind == "end":
            word = "?" if "?" in word else "!"
        else:
            word = _RUNS.get(kind or "") or _written(word, form)
        words.append(word)
        surfaces.append(line[start:stop])
        gaps.append(gap)
    if treebank and words and words[-1] == "...":
        # The corpora end such a sentence in "... ."; where only three dots were typed, the period has no width.
        dots = surfaces[-1]
        width = 1 if len(dots) > 3 else 0
        surfaces[-1:] = [dots[: len(dots) - width], dots[len(dots) - width :]]
        words.append(".")
        gaps.append("")
    gaps.append(line[end:])
    return TokenizedLine(words, surfaces, gaps, frozenset(protected))


def _mask(text: str, spans: Sequence[Span], form: TextFormat) -> str:
    """Return a text with private characters in place of spans, different ones for adjacent spans."""
    parts: list[str] = []
    end = 0
    for place, span in enumerate(spans):
        marks = _NUMBER_MASKS if span.number and form.number else _MASKS
        parts += (text[end : span.start], marks[place % 2] * (span.stop - span.start))
        end = span.stop
    return "".join([*parts, text[end:]])


@cache
def _scanner(form: TextFormat) -> re.Pattern[str]:
    alternatives = _SCANNER
    if form.tokens == "plain":  # its answers could not be cut in the same way: they have no capitals left
        alternatives = alternatives.replace(_NO_SENTENCE_BREAK, "").replace(_HEART, "")
    alternatives = rf"(?P<protected> {_MASKS[0]}+ | {_MASKS[1]}+ ) | {alternatives}"
    alternatives = rf"(?P<number> {_NUMBER_MASKS[0]}+ | {_NUMBER_MASKS[1]}+ ) | {alternatives}"
    if form.number:
        alternatives = rf"(?P<placeholder> {re.escape(form.number)} (?!\w) ) | {alternatives}"
    return re.compile(alternatives, re.VERBOSE)


def _written(typed: str, form: TextFormat) -> str:
    if form.number and (typed[0].isdecimal() or typed[0] == ".") and is_number(typed):
        return form.number
    return typed.lower() if form.lower_case else typed


def _cuts(word: str, start: int, form: TextFormat) -> list[int]:
    """Return the positions inside a word, which begins at ``start``, where the Treebank splits it."""
    if word.isalpha():
        return [start + MERGED_WORDS[word.lower()]]
    cuts: list[int] = []
    end = len(word)
    if "'" in word:
        for _ in range(2):  # "shouldn't've": no word has more, and a bound keeps the time linear
            clitic = _CLITIC_AT_END.search(word, 0, end)
            if clitic is None:
                break
            end = clitic.start()
            cuts.insert(0, start + end)
    elif form.number and form.tokens == "penn-treebank" and word[0].isdecimal():
        half_day = _HALF_DAY.search(word)
        # The hour is a number, so that "10pm" can be carried through the model.
        if half_day and is_number(word[: half_day.start()]):
            cuts.append(start + half_day.start())
    return cuts


def _keeps_period(word: str, text: str, stop: int, treebank: bool) -> bool:
    """Return whether the period after a word belongs to it; the last one of a line never does."""
    following = _NEXT.match(text, stop)
    if following is None or not following[2] or not (following[1] or following[2] in ",:;"):
        return False
    word = word.lower()
    if word in TITLES or (len(word) == 1 and word.isalpha() and word not in "ai"):
        return True
    if treebank and following[2].isupper():
        return False
    return word in OTHER_ABBREVIATIONS or _DOTTED.fullmatch(word) is not None


def _opens_quote(line: str, start: int, stop: int, quote_open: bool) -> bool:
    """Return whether a double quote opens a quotation, by its shape and context."""
    typed = line[start:stop]
    if typed in ("“", "„", "«", "``"):
        return True
    before, after = line[start - 1 : start], line[stop : stop + 1]
    if typed == "''":
        return not quote_open and (not before or before.isspace()) and after.isalnum()
    if typed in ("”", "»"):
        return False
    if not before or before.isspace() or before in "([{<-—/":
        return not quote_open if not after or after.isspace() else True
    return not quote_open and before in ",.:;!?" and after.isalnum()
