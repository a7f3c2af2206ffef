"""Generated lines of every kind that holds what has nothing to do with style."""

from __future__ import annotations

import re

from hypothesis import strategies as st

NOUNS = ["food", "waiter", "service", "soup", "pizza", "room", "place", "manager", "burger", "coffee"]
QUALITIES = ["bad", "terrible", "rude", "cold", "awful", "horrible", "slow", "not good", "great", "friendly"]
numbers = st.one_of(
    st.integers(0, 99999).map(str),
    st.builds("${:.2f}".format, st.floats(0, 999, allow_subnormal=False)),
    st.builds("${}".format, st.integers(1, 5000)),
    st.builds("{}:{:02d}".format, st.integers(0, 23), st.integers(0, 59)),
    st.builds("{}:{:02d} pm".format, st.integers(1, 12), st.integers(0, 59)),
    st.builds("{}%".format, st.integers(0, 100)),
    st.builds("{}-{}".format, st.integers(1, 20), st.integers(21, 60)),
    st.builds("{}/{}/20{:02d}".format, st.integers(1, 12), st.integers(1, 28), st.integers(10, 30)),
    st.builds("{:03d}-{:03d}-{:04d}".format, st.integers(200, 999), st.integers(200, 999), st.integers(0, 9999)),
    st.sampled_from(["1st", "2nd", "3rd", "24/7", "10/10", "1,200", ".5", "3.5", "80s"]),
)
measures = st.builds("{}{}".format, st.integers(1, 99), st.sampled_from(['"', "'", "″", "′"]))
CARRIED = """
#TacoTown #fail @joe_b @Yelp :shrug: :thumbs_up: :-( :) ;-) :D 😡 🍕 👍🏽 https://t.co/aB1 www.example.org/a?b=c
me@example.org {name} {{user}} %s $HOME ${TOTAL} [1] [sic] [laughs] `make` <br> <b> </i> /usr/bin/env ./run.sh main.py
\\cite{lee} $x^2$ → ★
"""
carried = st.sampled_from(CARRIED.split())
wrapped = st.sampled_from(
    [
        "*{}*",
        "**{}**",
        "_{}_",
        "~~{}~~",
        "<b>{}</b>",
        "[{}](http://x.org)",
        "\\textbf{{{}}}",
        "({})",
        '"{}"',
        "“{}”",
        "''{}''",
    ]
)
prefixes = st.sampled_from(["", "", "", "- ", "* ", "> ", "# ", "— ", "  ", "<p>"])
blanks = st.sampled_from([" ", " ", " ", "  ", "\t", "\u00a0"])
finals = st.sampled_from(["", ".", "!", "?", "...", "!!!", " .", " 😡", " :("])
plain_words = st.sampled_from(
    [*NOUNS, "we", "waited", "paid", "for", "and", "the", "never", "again", "Joe's", "wasn't", "wasn&apos;t"]
)


@st.composite
def sentences(draw: st.DrawFn) -> str:
    """Draw a sentence that says something of something, with protected parts between its words."""
    quality = draw(st.sampled_from(QUALITIES))
    if draw(st.booleans()):
        quality = draw(wrapped).format(quality)
    words = ["The", draw(st.sampled_from(NOUNS)), draw(st.sampled_from(["was", "is", "wasn't"])), quality]
    for _ in range(draw(st.integers(0, 3))):
        part = draw(st.one_of(numbers, carried, plain_words, measures))
        words.insert(draw(st.integers(0, len(words))), part)
    line = words[0]
    for word in words[1:]:
        line += draw(blanks) + word
    return draw(prefixes) + line + draw(finals)


@st.composite
def tables(draw: st.DrawFn) -> str:
    """Draw a row of a table."""
    cells = draw(st.lists(st.one_of(plain_words, numbers, st.sampled_from(QUALITIES)), min_size=1, max_size=4))
    return "|" + "|".join(" " * draw(st.integers(1, 3)) + cell + " " * draw(st.integers(1, 4)) for cell in cells) + "|"


wordless = st.one_of(
    numbers,
    st.text("-=*_#.!?:;,()[]|>~ 0123456789$%", min_size=1, max_size=12).filter(lambda text: bool(text.strip())),
    st.builds("00:{:02d}:{:02d},{:03d} --> 00:{:02d}:{:02d},{:03d}".format, *[st.integers(0, 59)] * 6),
    st.sampled_from(["[music]", "[door slams]", "```", "```python", ":(", ":shrug:", "😡😡", "&nbsp;", "<br/>", "♪♪"]),
)
lines = st.one_of(
    sentences(), sentences(), sentences(), tables(), wordless, st.builds("{} {}".format, sentences(), sentences())
)
LETTER = re.compile(r"[^\W\d_]")
