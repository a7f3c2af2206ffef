"""Characters that a model does not read: accents come back, and what cannot be read is carried past the model."""

from __future__ import annotations

import random
import string
import unicodedata

import pytest

from arae_transfer.text import Normalizer, SurfaceForm, TextFormat
from arae_transfer.text.characters import fold

REVIEWS = TextFormat(lower_case=True, tokens="penn-treebank", number="_num_")
FORMS = [
    REVIEWS,
    TextFormat(),
    TextFormat(lower_case=True),
    TextFormat(tokens="penn-treebank"),
    TextFormat(tokens="penn-treebank", number="NUM"),
]
KNOWN = frozenset(string.ascii_letters + string.digits + string.punctuation)

# A line, how the model reads it, an answer, and how that is written.
LINES = [
    ("The café was bad!", "the cafe was bad !", "the cafe was great !", "The café was great!"),
    ("the café was bad .", "the cafe was bad .", "a great cafe .", "a great café ."),
    ("Bad Café, bad café.", "bad cafe , bad cafe .", "great cafe , a cafe .", "Great Café, a Café."),
    ("CRÈME BRÛLÉE IS BAD", "creme brulee is bad", "a creme is great", "A CRÈME IS GREAT"),
    ("Señor Frog was bad", "senor frog was bad", "i love senor frog", "I love señor Frog"),
    ("the ﬁsh is ｂａｄ", "the fish is bad", "the fish is good", "the ﬁsh is good"),
    ("the soup was bad 😡", "the soup was bad", "the soup was great", "the soup was great 😡"),
    ("the soup 😡 was bad.", "the soup was bad .", "a soup was great .", "a soup 😡 was great."),
    ("🍕 Pizza was bad🍕🍕!", "pizza was bad !", "pizza is great !", "🍕 Pizza is great🍕🍕!"),
    ("the łódź pub was bad", "the pub was bad", "the pub was great", "the łódź pub was great"),
    ("bad → never again", "bad never again", "great", "great → "),
    ("so 😡 bad 😡 here", "so bad here", "", "😡 😡"),
    ("ужас bad", "bad", "great", "ужас great"),
    # escapes are read as characters, unless the line has characters of the kind that stand for them
    ("bad &amp; sad", "bad & sad", "good & glad", "good &amp; glad"),
    ("bad &amp; sad \ue000", "bad sad", "good sad", "good &amp; sad \ue000"),
    ("bad &#127; food", "bad food", "good food", "good &#127; food"),
    (
        "Bad http://t.co/aB1, ask me@Home.org!",
        "bad , ask !",
        "great , ask !",
        "Great http://t.co/aB1, ask me@Home.org!",
    ),
]


@pytest.mark.parametrize(("line", "read", "answer", "written"), LINES)
def test_what_is_not_read_comes_back_in_its_place(line: str, read: str, answer: str, written: str) -> None:
    normalizer = Normalizer(REVIEWS)
    text, surface = normalizer.normalize(line, KNOWN)
    assert text == read
    assert normalizer.restore(answer, surface).split() == written.split()
    assert normalizer.restore(text, surface) == line


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_line_is_read_in_known_characters_and_repeated_as_typed(form: TextFormat) -> None:
    draw = random.Random(4)
    units = [
        "the ",
        "café",
        "Niño ",
        "😡",
        " 👎🏽",
        "ł",
        " bad",
        ". ",
        "!",
        "’s ",
        "“",
        "12 ",
        "ужас ",
        "\u200b",
        "e\u0301 ",
        "½",
        "ﬁ",
    ]
    normalizer = Normalizer(form, "ordinary")
    carried = 0
    for _ in range(400):
        chosen = [draw.choice(units) for _ in range(draw.randint(1, 12))]
        # Without blanks, the answer of a model of plain text cannot be cut where the line was.
        line = "".join(chosen) if form.tokens == "penn-treebank" else " ".join(chosen)
        text, surface = normalizer.normalize(line, KNOWN)
        assert normalizer.restore(text, surface) == line
        if surface.carried:
            carried += 1
            assert set(text) <= KNOWN | {" "}
    assert carried > 50


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_what_stands_behind_the_end_of_what_was_read_is_forgotten(form: TextFormat) -> None:
    normalizer = Normalizer(form, "ordinary")
    text, surface = normalizer.normalize("the soup 😡 was bad 🍕 but the rest 🍷 was ok", KNOWN)
    assert [each.surface for each in surface.carried] == ["😡", "🍕", "🍷"]
    left = normalizer.forget_after(surface, "the soup was bad but")
    assert [each.surface for each in left.carried] == ["😡", "🍕"]
    # What stands right behind the last word that was read is behind it.
    last = normalizer.forget_after(surface, "the soup was bad")
    assert [each.surface for each in last.carried] == ["😡"]
    assert normalizer.forget_after(surface, text) == surface
    assert "🍷" not in normalizer.restore("the soup was good but", left)


def test_a_line_of_mostly_unknown_words_stays_one() -> None:
    normalizer = Normalizer(REVIEWS)
    for line in ("ужасная еда", "ужасная bad еда"):
        assert normalizer.normalize(line, KNOWN) == normalizer.normalize(line)
        assert not normalizer.normalize(line, KNOWN)[1].carried


def test_a_line_said_to_be_in_the_form_is_left_alone() -> None:
    line = "the café 😡 was bad ."
    assert Normalizer(REVIEWS, "corpus").normalize(line, KNOWN) == (line, SurfaceForm())


def test_a_number_is_read_though_its_placeholder_has_other_characters() -> None:
    normalizer = Normalizer(REVIEWS)
    for line in ("the 😡 took 12 minutes", "the 😡 took _num_ minutes ."):
        text, surface = normalizer.normalize(line, KNOWN - {"_"})
        assert text.startswith("the took _num_ minutes")
        assert normalizer.restore(text, surface) == line


def test_known_characters_stay() -> None:
    assert fold("café", KNOWN | {"é"}, lower_case=True) == "café"
    assert Normalizer(REVIEWS).normalize("the café was bad", KNOWN | {"é"})[0] == "the café was bad"


@pytest.mark.parametrize(
    ("word", "folded"),
    [
        ("jalapeño", "jalapeno"),
        (unicodedata.normalize("NFD", "jalapeño"), "jalapeno"),
        ("ｆｏｏｄ", "food"),
        ("zero\u200bwidth", "zerowidth"),
        ("m²", "m2"),
        ("™", "tm"),
        ("don’t", "don't"),
        ("łódź", None),
        ("हिन्दी", None),
        ("한국", None),
        ("\u0301", None),
        ("\u200b", None),
    ],
)
def test_a_word_is_folded_as_a_whole_or_not_at_all(word: str, folded: str | None) -> None:
    assert fold(word, KNOWN, lower_case=True) == folded
