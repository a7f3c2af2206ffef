from __future__ import annotations

import dataclasses
import itertools
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from arae_transfer.errors import AraeError
from arae_transfer.text import Normalizer, SurfaceForm, TextFormat
from arae_transfer.text.alignment import ABSENT, align

REVIEWS = TextFormat(lower_case=True, tokens="penn-treebank", number="_num_")
ALL_FORMS = [
    TextFormat(lower_case=lower_case, tokens=tokens, number=number)  # type: ignore[arg-type]
    for lower_case, tokens, number in itertools.product(
        (False, True), ("plain", "penn-treebank"), ("", "_num_", "<n>", "NUM")
    )
]

CORPUS_LINES = [
    "the soup was cold and the waiter was rude .",
    "i ca n't say that it was n't good , but it wo n't do !",
    "they 're nice , she 's nice and we 'd return if you 'll pay .",
    "we paid $ _num_ for _num_ drinks ( _num_ % off ) .",
    "the `` special '' was not special at all .",
    "was it worth the trip ?",
    "i am gon na complain ... again .",
    "my parents ' room was dark ; mine was darker .",
    "so happy : )",
    "open from 5:30 to 10pm , about 10-15 people , $ 1,000 a night .",
    "my 2nd visit in the 80s , a 5-star place w/ an a+ and 1/2 off .",
    "dr. who and mr. x. were there at 7:30 p.m. , e.g .",
    "one was nice -- the other was & is not .",
    "it was cheap , and so was the food.",
    "we like 'em , rock 'n roll and y'all at ten o'clock , c'mon !",
    "the check-in is slow and/or rude ~ * really * = bad + sad / mad # _num_ @ home",
    "i can not wait !",
]

ORDINARY_LINES = [
    ("The food wasn't good, and it cost $12!", "the food was n't good , and it cost $ _num_ !"),
    ("I can't, won't, don't and shouldn't've.", "i ca n't , wo n't , do n't and should n't 've ."),
    ("I'm sure they're late; we'd wait, she'll not.", "i 'm sure they 're late ; we 'd wait , she 'll not ."),
    ("DON'T go to O'Brien's!", "do n't go to o'brien 's !"),
    ("Joe's kids' menu is Vegas's best.", "joe 's kids ' menu is vegas 's best ."),
    ('He said "hello" and (she said "bye").', "he said `` hello '' and ( she said `` bye '' ) ."),
    ('"Awful", I said:"really awful".', "`` awful '' , i said : `` really awful '' ."),
    ("It's 'the best' in town.", "it 's ' the best ' in town ."),
    ("At 7:30pm we paid $1,200.50, or 3.5 times 1,000.", "at _num_ pm we paid $ _num_ , or _num_ times _num_ ."),
    ("10pm or 11 a.m. is fine, 10-15 minutes.", "_num_ pm or _num_ a.m. is fine , _num_ minutes ."),
    ("Closed at 4 p.m. The 2nd time 1/2 was open 24/7.", "closed at _num_ p.m . the 2nd time 1/2 was open 24/7 ."),
    ("50% off & 100% fun #1", "_num_ % off & _num_ % fun # _num_"),
    ("Great!!! Really?! What??", "great ! really ? what ?"),
    ("Well... I waited....and left", "well ... i waited ... and left"),
    ("Not coming back...", "not coming back ... ."),
    ("Slow—very slow -- and rude--really.", "slow -- very slow -- and rude -- really ."),
    ("A state-of-the-art check-in – nice - and/or odd", "a state-of-the-art check-in - nice - and/or odd"),
    ("Mr. Smith vs. Dr. J. Jones Jr. in St. Paul", "mr. smith vs. dr. j. jones jr. in st. paul"),
    ("My wife and I. The food was cold.The end", "my wife and i . the food was cold . the end"),
    (
        "See http://example.com/a?b=c, www.example.com. Mail to a.b+c@example.co.uk!",
        "see http://example.com/a?b=c , www.example.com . mail to a.b+c@example.co.uk !",
    ),
    ("Loved it😀😀 (really) 👍", "loved it 😀😀 ( really ) 👍"),
    ("I <3 it, &lt;33 them <3!", "i love it , love them love !"),
    ("Under <3 stars, <30 or <3.5%", "under < _num_ stars , < _num_ or < _num_ %"),
    ("Gonna, wanna, gotta, lemme, cannot", "gon na , wan na , got ta , lem me , can not"),
    ("'Tis what y'all like 'em for, o'clock", "'t is what y'all like 'em for , o'clock"),
    ("I’ve “never” paid £12 or 5€…", "i 've `` never '' paid $ _num_ or _num_ $ ... ."),
    ("THE FOOD WAS COLD! I AM NOT AMUSED.", "the food was cold ! i am not amused ."),
    ("  two  blanks,\ta tab and\u00a0a hard blank ", "two blanks , a tab and a hard blank"),
    ("the food was cold", "the food was cold"),
    ("the food wasn't cold.", "the food was n't cold ."),
    ("The food was n't cold .", "the food was n't cold ."),
    ("i cannot wait !", "i can not wait !"),
    ("Café Zoë, naïve Ürün, Привет мир!", "café zoë , naïve ürün , привет мир !"),
]

ANSWERS = [
    # the same words in the same places, and a word by rule
    (
        "The food wasn't good, and it cost $12!",
        "the food was good , and it cost $ _num_ !",
        "The food was good, and it cost $12!",
    ),
    ("I hate Joe's in Vegas.", "i love joe 's , the best in vegas !", "I love Joe's, the best in Vegas."),
    # a name is known by its possessive at the beginning of a sentence; other first words are not
    ("Joe's was bad.", "i love joe 's .", "I love Joe's."),
    ("We left Vegas early.", "i love vegas .", "I love Vegas."),
    ("It's bad.", "i think it 's great .", "I think it's great."),
    ("The food was cold.", "i love the food .", "I love the food."),
    ("BBQ is bad in NY.", "i love bbq in ny .", "I love BBQ in NY."),
    ("iPhone repair was bad.", "the iphone repair was good .", "The iPhone repair was good."),
    # sentences
    ("Bad. The place is dirty.", "great . we love it ! it is clean .", "Great. We love it! It is clean."),
    ('"Awful" is the word.', "`` great '' is the word .", '"Great" is the word.'),
    ("Mr. Bo was rude.", "mr. bo was n't rude .", "Mr. Bo wasn't rude."),
    ("12 dollars was too much for Joe.", "the _num_ dollars were ok for joe .", "The 12 dollars were ok for Joe."),
    # whole lines in capitals
    ("THE FOOD WAS COLD!", "the food was n't cold , i loved it !", "THE FOOD WASN'T COLD, I LOVED IT!"),
    ("The Worst Place In Town", "the best place of all , i ca n't wait", "The Best Place Of All, I Can't Wait"),
    ("The Worst Place Ever", "the best place ever found", "The Best Place Ever Found"),
    ("OK!", "great !", "Great!"),
    # a normalizer without capitals, marks or both
    ("the food was cold", "i love the warm food .", "i love the warm food"),
    ("the food was cold", "the food was n't cold !", "the food wasn't cold"),
    ("the food wasn't good.", "i 'd say it 's good .", "i'd say it's good."),
    ("The food was cold", "the food was warm .", "The food was warm"),
    # contractions and merged words
    (
        "We left.",
        "we are gon na return , i ca n't wait , i wo n't stop .",
        "We are gonna return, I can't wait, I won't stop.",
    ),
    ("We left.", "i can not stop .", "I cannot stop."),
    ("We left.", "the kids ' menu is friggin ' good .", "The kids' menu is friggin' good."),
    ("We left.", "it was ' so good ' .", "It was 'so good'."),
    # marks
    (
        "We left.",
        "good ( really ) : $ _num_ -- wow ; 5-star & more ... nice : )",
        "Good (really): $X -- wow; 5-star & more... nice :)",
    ),
    ("Nice :)", "sad : (", "Sad :("),
    ("I <3 this &lt;3", "i hate this love .", "I hate this &lt;3"),
    ("We left.", "prices : ( low )", "Prices: (low)"),
    ("We left.", "they said `` good '' and `` nice . ''", 'They said "good" and "nice."'),
    ("We left.", "a '' good '' one ''", 'A "good" one"'),
    # inches are no quotation
    ("We left.", "a _num_ '' tv and `` good '' sound .", 'A X" tv and "good" sound.'),
    ("We left.", "good ... .", "Good."),
    ("Waited for ages!!!", "they were great !", "They were great!!!"),
    ("It’s “bad”…", "i ca n't say `` good '' ... .", "I can’t say “good”…"),
    # numbers
    ("We paid $12 at 7:30pm.", "at _num_ pm we got _num_ free .", "At 7:30pm we got 12 free."),
    ("We paid $12 at 7:30pm.", "we paid $ _num_ .", "We paid $12."),
    ("We paid £12 and 3 left.", "we loved it for $ _num_ .", "We loved it for £12."),
    ("We left.", "it was the _num_ 's best .", "It was the X's best."),
    ("We paid $12.", "we waited _num_ minutes for _num_ % of $ _num_ .", "We waited X minutes for X% of $12."),
    # a line that has blanks before its marks, capitals notwithstanding
    ("The food was n't good .", "i loved it , `` really '' !", "I loved it , `` really '' ."),
    ("the food took 20 minutes .", "the food took _num_ minutes , n't it ?", "the food took 20 minutes , n't it ."),
    # the form itself
    ("the food was cold .", "i did n't pay $ _num_ .", "i did n't pay $ _num_ ."),
    # nothing typed, nothing answered
    ("!!!", "", ""),
    ("", "good", "good"),
    ("   ", "good", "good"),
]


HOSTILE_UNITS = [
    *"a'\".,!-1(😀\u00a0\x00…",
    "A b ",
    "' ",
    ". ",
    "a--",
    "a'",
    "a's",
    "1,",
    "1-",
    "1/",
    "http://,",
    "www.",
]
HOSTILE_UNITS += ["a@", "a@b.", "a.b", "_num_", ") ", "Mr. ", "``", "$ ", "10pm", "cannot ", ": ) ", "i "]


def there_and_back(normalizer: Normalizer, line: str) -> str:
    text, surface = normalizer.normalize(line)
    return normalizer.restore(text, surface)


def test_every_field_says_what_it_means() -> None:
    assert all(field.metadata["help"].endswith(".") for field in dataclasses.fields(TextFormat))


@pytest.mark.parametrize(
    "settings",
    [{"tokens": "moses"}, {"number": "a number"}, {"number": " "}, {"number": 3}, {"lower_case": "yes"}],
)
def test_a_form_that_makes_no_sense_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(AraeError):
        TextFormat(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("choice", ["auto", "ordinary", "corpus"])
def test_the_default_form_is_ordinary_writing(choice: str) -> None:
    normalizer = Normalizer(TextFormat(), choice)  # type: ignore[arg-type]
    for line, _ in ORDINARY_LINES:
        text, surface = normalizer.normalize(line)
        assert (text, bool(surface)) == (line, False)
        assert normalizer.restore(line, surface) == line


@pytest.mark.parametrize("line", CORPUS_LINES)
def test_a_line_in_the_form_is_left_alone_and_answered_in_it(line: str) -> None:
    normalizer = Normalizer(REVIEWS)
    assert normalizer.normalize(line) == (line, SurfaceForm())
    assert normalizer.restore("i wo n't pay $ _num_ .", SurfaceForm()) == "i wo n't pay $ _num_ ."


@pytest.mark.parametrize(("line", "corpus_line"), ORDINARY_LINES)
def test_ordinary_writing_becomes_the_corpus_form(line: str, corpus_line: str) -> None:
    assert Normalizer(REVIEWS).normalize(line)[0] == corpus_line
    assert Normalizer(REVIEWS, "ordinary").normalize(line)[0] == corpus_line


@pytest.mark.parametrize("line", [line for line, _ in ORDINARY_LINES])
def test_a_repeated_line_is_as_typed_in_every_form(line: str) -> None:
    for form in ALL_FORMS:
        for normalizer in (Normalizer(form), Normalizer(form, "ordinary")):
            assert there_and_back(normalizer, line) == line, form


@pytest.mark.parametrize(("line", "answer", "written"), ANSWERS)
def test_an_answer_is_written_as_the_line_was(line: str, answer: str, written: str) -> None:
    normalizer = Normalizer(REVIEWS)
    assert normalizer.restore(answer, normalizer.normalize(line)[1]) == written


def test_words_that_move_together_stay_apart() -> None:
    normalizer = Normalizer(TextFormat(lower_case=True, tokens="penn-treebank"), "ordinary")
    line = "And it's bad and cannot go and cannot stay"
    _, surface = normalizer.normalize(line)
    assert normalizer.restore("it 's fine and go easily and can stay", surface) == (
        "It's fine and go easily and can stay"
    )


def test_a_period_after_dots_is_typed_where_there_are_four() -> None:
    normalizer = Normalizer(REVIEWS)
    for line, dots in (("We waited...", ("...", "")), ("We waited....", ("...", ".")), ("We waited…", ("…", ""))):
        text, surface = normalizer.normalize(line)
        assert (text, surface.surfaces[2:]) == ("we waited ... .", dots)


def test_the_choice_decides_for_every_line() -> None:
    line = "the table for 10-15 was n't ready ."
    assert Normalizer(REVIEWS).normalize(line)[0] == line
    assert Normalizer(REVIEWS, "ordinary").normalize(line)[0] == "the table for _num_ was n't ready ."
    typed = "The table for 12 wasn't ready."
    corpus = Normalizer(REVIEWS, "corpus")
    assert corpus.normalize(typed) == (typed, SurfaceForm())
    assert corpus.restore("it 's  ready\n.", SurfaceForm()) == "it 's ready ."


def test_a_lower_case_plain_corpus_keeps_its_marks() -> None:
    normalizer = Normalizer(TextFormat(lower_case=True))
    text, surface = normalizer.normalize("I hate Joe's, it's “bad”!")
    assert text == "i hate joe's, it's “bad”!"
    assert normalizer.restore("i love joe's. it's “good”!", surface) == "I love Joe's. It's “good”!"
    assert normalizer.normalize("it's bad.") == ("it's bad.", SurfaceForm())


def test_a_plain_corpus_with_a_placeholder() -> None:
    normalizer = Normalizer(TextFormat(number="NUM"))
    text, surface = normalizer.normalize("We paid $1,200 for 10-15 (or 3.5) in NUMBERS, 2nd class.")
    assert text == "We paid $NUM for NUM (or NUM) in NUMBERS, 2nd class."
    assert normalizer.restore("NUM or $NUM; NUM, NUM!", surface) == "X or $1,200; 10-15, 3.5!"
    assert normalizer.normalize("We paid $NUM.") == ("We paid $NUM.", SurfaceForm())


def test_a_treebank_corpus_with_capitals_keeps_them() -> None:
    normalizer = Normalizer(TextFormat(tokens="penn-treebank"))
    text, surface = normalizer.normalize("Joe wasn't in Vegas, I paid $12.")
    assert text == "Joe was n't in Vegas , I paid $ 12 ."
    assert (
        normalizer.restore("Jim was in Reno , he did n't pay $ 12 .", surface) == "Jim was in Reno, he didn't pay $12."
    )


@pytest.mark.parametrize("form", [TextFormat(tokens="penn-treebank"), TextFormat(number="_num_")], ids=str)
@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("gonna be late, the bus never showed", "I will be late, because the bus did not arrive."),
        ("It is 5 minutes late.", "it's 5 minutes late"),
        ("That is not acceptable.", "that's not ok!"),
        ("so good!!! will go back 2 times", "It was good. I will return 2 times."),
        ("In fact, I am not going to be kind.", "Yeah, I'm not gonna be nice..."),
        ("more than I care to mention", "more than I wanna say"),
    ],
)
def test_an_answer_with_capitals_ends_as_the_model_says(form: TextFormat, line: str, answer: str) -> None:
    normalizer = Normalizer(form, "ordinary")
    assert normalizer.restore(normalizer.normalize(answer)[0], normalizer.normalize(line)[1]) == answer


def test_no_character_breaks_a_line_or_raises() -> None:
    breaks = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
    letters = [
        *breaks,
        *"\x00\x1b\t\u00a0\ufeff\u200f\u200dIaAbß. ,!?:;'\"’“”()[]{}<>$#%&-–—…/\\*+=~`^|0159@_😀שلا\ud800",
    ]
    letters += ["n't", "'s", "``", "''", "...", "_num_", "can not", "gonna", "http://", "10pm", "Mr.", "é\u0301"]
    generator = random.Random(7)
    for form in ALL_FORMS:
        for normalizer in (Normalizer(form), Normalizer(form, "ordinary"), Normalizer(form, "corpus")):
            for _ in range(60):
                line = "".join(generator.choices(letters[len(breaks) :], k=generator.randrange(25)))
                broken = "".join(generator.choices(letters, k=generator.randrange(25)))
                text, surface = normalizer.normalize(line)
                assert len(normalizer.restore(broken, surface).splitlines()) <= 1
                assert len(there_and_back(normalizer, broken + "A").splitlines()) <= 1
                if surface:
                    shown = line.replace("\x00", " ").replace("\x1b", " ")
                    assert normalizer.restore(text, surface) == shown, (form, line)


@pytest.mark.parametrize("unit", HOSTILE_UNITS)
def test_the_time_for_a_long_line_grows_with_its_length(unit: str) -> None:
    def seconds(length: int) -> float:
        line = (unit * length)[:length]
        began = time.process_time()
        for form in (REVIEWS, TextFormat(lower_case=True, number="_num_")):
            normalizer = Normalizer(form)
            text, surface = normalizer.normalize(line)
            normalizer.restore(text[::-1], surface)
        return time.process_time() - began

    # The square would be sixteen times as much.
    assert seconds(32_000) < 8 * seconds(8_000) + 0.05


def test_a_line_of_a_hundred_thousand_characters_is_answered() -> None:
    line = ("Joe's soup (at 7:30pm) wasn't \"good\", and it cost $12! " * 2_000)[:100_000]
    assert there_and_back(Normalizer(REVIEWS), line) == line


def test_threads_may_share_a_writer() -> None:
    normalizer = Normalizer(REVIEWS)
    lines = [line for line, _ in ORDINARY_LINES] * 20 + CORPUS_LINES * 20
    random.Random(5).shuffle(lines)
    with ThreadPoolExecutor(8) as pool:
        converted = list(pool.map(normalizer.normalize, lines))
        answers = list(pool.map(lambda pair: normalizer.restore(*pair), converted))
    assert answers == lines


def test_words_are_found_again_once_each() -> None:
    assert align("abcd", "axcd") == [0, ABSENT, 2, 3]
    assert align("abac", "xacaay") == [ABSENT, 0, 3, 2, ABSENT, ABSENT]
    assert align("bacad", "xcadya") == [ABSENT, 2, 3, 4, ABSENT, 1]
    assert align("aba", "xa") == [ABSENT, 2]
    assert align([], ["a"]) == [ABSENT]
    generator = random.Random(3)
    for _ in range(300):
        source, answer = (generator.choices("abcd", k=generator.randrange(9)) for _ in range(2))
        found = [(word, place) for word, place in zip(answer, align(source, answer), strict=True) if place != ABSENT]
        assert all(source[place] == word for word, place in found)
        assert len({place for _, place in found}) == len(found)


def test_only_the_standard_library_is_imported() -> None:
    program = (
        "import sys; from arae_transfer.text import TextFormat, Normalizer; "
        "normalizer = Normalizer(TextFormat(True, 'penn-treebank', '_num_')); "
        "print(normalizer.restore('it was n\\'t bad !', normalizer.normalize('It was bad!')[1])); "
        "names = {name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names; "
        "print(sorted(name for name in names if name.isidentifier() and not name.startswith('_')))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    first, second = finished.stdout.splitlines()
    assert first == "It wasn't bad!"
    assert set(eval(second)) <= {"arae_transfer", "sitecustomize", "usercustomize", "cython_runtime"}
