"""The corpus from a grammar: what is in it, and whether its judge can be trusted."""

from __future__ import annotations

import hashlib
import random
import re
from pathlib import Path

import pytest

from arae_transfer.corpus.grammar import Grammar
from arae_transfer.corpus.quickstart import (
    CLASSES,
    make_sentences,
    write_corpus,
)
from arae_transfer.corpus.quickstart_grammar import (
    NEGATIVE,
    POSITIVE,
    QUICKSTART_GRAMMAR,
    SENTENCES,
)
from arae_transfer.corpus.reading import has_split, read_corpus
from arae_transfer.errors import AraeError
from tests.corpus.quickstart_judge import (
    READER,
    GrammarReader,
    class_of,
    correct_rewrites,
    example_rewrite,
    judge_rewrite,
)

OTHER = {NEGATIVE: POSITIVE, POSITIVE: NEGATIVE}

Corpus = dict[str, dict[str, list[str]]]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return make_sentences()


@pytest.fixture(scope="module")
def some(corpus: Corpus) -> list[tuple[str, str]]:
    """Sentences with their classes, in random order, enough to meet every sentence pattern."""
    pairs = [(sentence, label) for label in CLASSES for sentence in corpus["test"][label]]
    return random.Random(0).sample(pairs, 200)


# The corpus


def test_sizes_and_distinctness(corpus: Corpus) -> None:
    assert {split: {label: len(lines) for label, lines in parts.items()} for split, parts in corpus.items()} == {
        "train": {NEGATIVE: 8000, POSITIVE: 8000},
        "valid": {NEGATIVE: 400, POSITIVE: 400},
        "test": {NEGATIVE: 400, POSITIVE: 400},
    }
    every = [sentence for parts in corpus.values() for lines in parts.values() for sentence in lines]
    assert len(set(every)) == len(every)


def test_the_same_seed_gives_the_same_bytes_for_all_time(corpus: Corpus) -> None:
    text = "\n".join(sentence for parts in corpus.values() for lines in parts.values() for sentence in lines)
    assert make_sentences() == corpus
    assert hashlib.sha256(text.encode()).hexdigest() == SHA256_OF_SEED_0


SHA256_OF_SEED_0 = "5a3ae33de4804a5c4c737bf4454ccb1d77324f90bb7f2209b7773038760f8b07"


def test_another_seed_gives_other_sentences(corpus: Corpus) -> None:
    other = make_sentences(1)
    for label in CLASSES:
        assert len(set(other["train"][label]) & set(corpus["train"][label])) < 2000


def test_the_classes_are_drawn_independently(corpus: Corpus) -> None:
    """The n-th sentences of the classes are no pairs, and few contents stand in both classes at all."""
    pairs = list(zip(corpus["train"][NEGATIVE], corpus["train"][POSITIVE], strict=True))[:300]
    assert sum(judge_rewrite(negative, positive, POSITIVE) for negative, positive in pairs) < 6


def test_the_form_is_that_of_a_treebank(corpus: Corpus) -> None:
    for label in CLASSES:
        for sentence in corpus["train"][label]:
            assert re.fullmatch(r"[a-z',.?!-]+( [a-z',.?!-]+)+", sentence), sentence
            tokens = sentence.split(" ")
            assert tokens[-1] in (".", "?", "!")
            for token in tokens:
                assert token in ("n't", "'s") or "'" not in token, sentence
                assert not re.search(r"\w[,.?!]|[,.?!]\w", token), sentence
                if token == "n't":
                    assert tokens[tokens.index(token) - 1] in {
                        "was", "were", "did", "do", "wo", "ca", "would", "could",
                    }, sentence  # fmt: skip
            assert not re.search(r"\ba [aeio]", sentence), sentence
            assert not re.search(r"\ban (?!hour\b)[^aeiou]", sentence), sentence
            assert 6 <= len(tokens) <= 32


def test_there_is_variety(corpus: Corpus) -> None:
    train = [sentence for label in CLASSES for sentence in corpus["train"][label]]
    assert len({word for sentence in train for word in sentence.split()}) > 500
    for label in CLASSES:
        lines = corpus["train"][label]
        for mark, share in ((".", 0.5), ("!", 0.05), ("?", 0.03)):
            assert sum(line.endswith(mark) for line in lines) / len(lines) > share
        assert sum("n't" in line for line in lines) / len(lines) > 0.1
        patterns = {index for index, _ in patterns_of(lines[:1500])}
        assert len(patterns) == len(SENTENCES) >= 20


def patterns_of(lines: list[str]) -> set[tuple[int, str]]:
    readers = READER._readers
    return {(index, line) for line in lines for index, (reader, _) in enumerate(readers) if reader.fullmatch(line)}


def test_content_says_nothing_about_the_class(corpus: Corpus) -> None:
    """Words that occur only as content are as frequent in one class as in the other."""
    counts = {label: [word for sentence in corpus["train"][label] for word in sentence.split()] for label in CLASSES}
    for word in ("soup", "waiter", "towels", "boots", "chicago", "yesterday", "mother", "the", "?"):
        negative, positive = (counts[label].count(word) for label in CLASSES)
        assert abs(negative - positive) < 6 * (negative + positive) ** 0.5, word


# The grammar


def test_no_opinion_belongs_to_both_classes() -> None:
    generator = random.Random(0)
    for symbol in QUICKSTART_GRAMMAR.style:
        for label in CLASSES:
            wrong = re.compile(READER.pattern_of_symbol(symbol, OTHER[label]))
            for _ in range(200):
                text = QUICKSTART_GRAMMAR.expand(f"{{{symbol}}}", label, generator)
                assert not wrong.fullmatch(text), (symbol, text)


def test_every_symbol_is_used_and_every_pattern_has_an_opinion() -> None:
    grammar = QUICKSTART_GRAMMAR
    texts = [*SENTENCES]
    texts += [text for alternatives in grammar.content.values() for text in alternatives]
    texts += [text for style in grammar.style.values() for alternatives in style.values() for text in alternatives]
    used = {name for text in texts for name in re.findall(r"{([^}]*)}", text)}
    assert used == {*grammar.content, *grammar.style}
    assert not {*grammar.content} & {*grammar.style}
    for pattern in SENTENCES:
        assert set(re.findall(r"{([^}]*)}", pattern)) & {*grammar.style}, pattern


def test_plural_subjects_have_plural_verbs(corpus: Corpus) -> None:
    for label in CLASSES:
        for sentence in corpus["train"][label]:
            assert not re.search(r"\b(fries|towels|waiters|maids|clerks|prices|we) was\b", sentence), sentence
            assert not re.search(r"\b(soup|waiter|room|service|i) were\b", sentence), sentence


def test_a_sentence_is_read_as_it_was_written(some: list[tuple[str, str]]) -> None:
    for sentence, label in some:
        (parse,) = READER.parse(sentence)
        assert parse.label == label
        assert class_of(sentence) == label


def test_a_grammar_of_three_classes() -> None:
    """Nothing assumes two classes."""
    grammar = Grammar(
        ["the {thing} {is} .", "{hello} , {thing} !"],
        {"thing": ("soup", "{size} soup"), "size": ("big", "small")},
        {
            "is": {"bad": ("was {worse}", "was vile"), "so-so": ("was okay",), "good": ("was great",)},
            "worse": {"bad": ("cold", "old"), "so-so": (), "good": ()},
            "hello": {"bad": ("oh no",), "so-so": ("well",), "good": ("oh yes",)},
        },
    )
    assert grammar.classes == ("bad", "so-so", "good")
    reader = GrammarReader(grammar)
    (parse,) = reader.parse("the big soup was old .")
    assert parse.label == "bad"
    assert parse.skeleton == ("the big soup ", "is", " .")
    assert reader.rewrites(parse.skeleton, "so-so").fullmatch("the big soup was okay .")
    assert not reader.rewrites(parse.skeleton, "so-so").fullmatch("the big soup was great .")
    assert [parse.label for parse in reader.parse("oh yes , soup !")] == ["good"]
    assert reader.parse("oh yes , pizza !") == []
    things = ("soup", "big soup", "small soup")
    assert {grammar.write("bad", random.Random(seed)) for seed in range(200)} == {
        *(f"the {thing} was {word} ." for thing in things for word in ("cold", "old", "vile")),
        *(f"oh no , {thing} !" for thing in things),
    }


# The judge


@pytest.mark.parametrize(
    ("source", "rewrite"),
    [
        ("the soup was cold and the fries were greasy .", "the soup was tasty and the fries were n't cold at all ."),
        ("the owner was rude and the stew was n't fresh .", "the owner welcomed us and the stew was really fresh ."),
        ("my wife had the stew , which tasted burnt .", "my wife had the stew , which was absolutely perfect ."),
        ("we wo n't be back next summer with my boss !", "we will be back next summer with my boss !"),
        ("unfortunately , the service was bad last night .", "luckily , the service was a delight last night ."),
        ("shame on the waiter who served us yesterday !", "five stars for the waiter who served us yesterday !"),
        ("what a terrible lunch we had at this pub yesterday !", "what a great lunch we had at this pub yesterday !"),
        ("who knew that a burger could be so bland ?", "who knew that a burger could be this good ?"),
    ],
)  # fmt: skip
def test_right_rewrites_are_right_in_both_directions(source: str, rewrite: str) -> None:
    assert judge_rewrite(source, rewrite, POSITIVE)
    assert judge_rewrite(rewrite, source, NEGATIVE)
    assert judge_rewrite(source, f"  {rewrite}\n", POSITIVE)
    assert not judge_rewrite(source, rewrite, NEGATIVE)
    assert not judge_rewrite(source, source, POSITIVE)
    assert judge_rewrite(source, source, NEGATIVE)


@pytest.mark.parametrize(
    "rewrite",
    [
        "the soup was cold and the fries were perfect .",  # one opinion left
        "the soup was delicious and the fries were greasy .",
        "the soup was cold and the fries were greasy .",
        "the pizza was delicious and the fries were perfect .",  # another noun
        "the fries were perfect and the soup was delicious .",  # another order
        "the soup was friendly and the fries were perfect .",  # an opinion that does not fit
        "the soup was spotless and the fries were perfect .",
        "the soup were delicious and the fries were perfect .",  # another number
        "the soup was delicious and the fries was perfect .",
        "the soup was not cold and the fries were perfect .",  # words that the grammar does not have
        "the soup was delicious .",  # something left out
        "the soup was delicious and the fries were perfect",
        "the soup was delicious and the fries were perfect . .",
        "the soup was delicious delicious and the fries were perfect .",
        "the soup was n't delicious and the fries were perfect .",
        "The soup was delicious and the fries were perfect .",  # another form
        "the soup was delicious and the fries were perfect.",
        "the  soup was delicious and the fries were perfect .",
        "",
    ],
)
def test_wrong_rewrites_are_wrong(rewrite: str) -> None:
    assert not judge_rewrite("the soup was cold and the fries were greasy .", rewrite, POSITIVE)


def test_every_sentence_has_right_rewrites_and_the_judge_knows_them(some: list[tuple[str, str]]) -> None:
    for sentence, label in some:
        other = OTHER[label]
        rewrite = example_rewrite(sentence, other)
        assert judge_rewrite(sentence, rewrite, other), (sentence, rewrite)
        assert not judge_rewrite(sentence, rewrite, label), (sentence, rewrite)
        assert class_of(rewrite) == other
        assert judge_rewrite(rewrite, sentence, label), (sentence, rewrite)


def test_changing_any_content_word_makes_a_rewrite_wrong(some: list[tuple[str, str]]) -> None:
    generator = random.Random(5)
    for sentence, label in some[:100]:
        (parse,) = READER.parse(sentence)
        skeleton = list(parse.skeleton)
        places = [(index, word) for index in range(0, len(skeleton), 2) for word in skeleton[index].split()]
        index, word = generator.choice(places)
        skeleton[index] = re.sub(rf"(?<!\S){re.escape(word)}(?!\S)", "zebra", skeleton[index], count=1)
        changed = READER.write_with_content(skeleton, OTHER[label], generator)
        assert "zebra" in changed
        assert not judge_rewrite(sentence, changed, OTHER[label])


def test_an_unchanged_opinion_makes_a_rewrite_wrong(corpus: Corpus) -> None:
    """Of several opinions, each one must change."""
    generator = random.Random(6)
    grammar = QUICKSTART_GRAMMAR
    mixed = 0
    for sentence in corpus["test"][NEGATIVE][:150]:
        (parse,) = READER.parse(sentence)
        for kept in range(1, len(parse.skeleton), 2):
            labels = [NEGATIVE if index == kept else POSITIVE for index in range(len(parse.skeleton))]
            if len(parse.skeleton) == 3:
                continue
            rewrite = "".join(
                grammar.expand(f"{{{piece}}}", labels[index], generator) if index % 2 else piece
                for index, piece in enumerate(parse.skeleton)
            )
            assert not judge_rewrite(sentence, rewrite, POSITIVE), (sentence, rewrite)
            assert class_of(rewrite) is None
            assert judge_rewrite(rewrite, example_rewrite(rewrite, POSITIVE), POSITIVE)  # a mixed source can be judged
            mixed += 1
    assert mixed > 50


def test_example_rewrites_differ_by_seed_and_repeat_by_seed() -> None:
    source = "the soup was cold and the fries were greasy ."
    rewrites = [example_rewrite(source, POSITIVE, seed) for seed in range(20)]
    assert len(set(rewrites)) > 10
    assert rewrites == [example_rewrite(source, POSITIVE, seed) for seed in range(20)]


def test_sentences_that_are_not_of_the_grammar_cannot_be_judged() -> None:
    for foreign in ("", "this is another sentence .", "The soup was cold .", "x" * 5000):
        assert class_of(foreign) is None
        with pytest.raises(AraeError, match="not a sentence of the quickstart corpus"):
            judge_rewrite(foreign, foreign, POSITIVE)
    with pytest.raises(AraeError, match="no class 'neutral'") as caught:
        correct_rewrites("the soup was cold and the fries were greasy .", "neutral")
    assert caught.value.hint == "use negative or positive."


def test_long_and_odd_rewrites_are_judged_quickly() -> None:
    source = "the soup was cold and the fries were greasy ."
    for rewrite in ("the soup was " * 5000, "\n", "the soup was delicious\nand the fries were perfect .", "\0"):
        assert not judge_rewrite(source, rewrite, POSITIVE)


# Files


def test_files_are_written_and_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "quickstart"
    write_corpus(folder, train_lines=120, held_out_lines=10)
    expected = make_sentences(train_lines=120, held_out_lines=10)
    assert {path.name for path in folder.iterdir()} == {
        f"{split}.{label}.txt" for split in ("train", "valid", "test") for label in CLASSES
    }
    for split, parts in expected.items():
        corpus = read_corpus([str(folder)], split)
        assert corpus.lines == parts
        assert corpus.report.lines() == []
        assert has_split([str(folder)], split)


def test_writing_again_changes_nothing_and_completes_what_is_missing(tmp_path: Path) -> None:
    write_corpus(tmp_path, 7, train_lines=50, held_out_lines=5)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    (tmp_path / "train.negative.txt").unlink()
    write_corpus(tmp_path, 7, train_lines=50, held_out_lines=5)
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    assert {name: content for name, (_, content) in before.items()} == {
        name: content for name, (_, content) in after.items()
    }
    assert {name for name in before if before[name] != after[name]} == {"train.negative.txt"}


@pytest.mark.parametrize("name", ["train.negative.txt", "train.neutral.txt", "extra.positive.txt"])
def test_another_corpus_is_never_overwritten_or_mixed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("my own precious line\n")
    with pytest.raises(AraeError, match=f"another corpus: {re.escape(name)}"):
        write_corpus(tmp_path, train_lines=50, held_out_lines=5)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "my own precious line\n"


def test_train_files_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus that was interrupted while it was written must not look like one without valid and test parts."""
    renamed: list[str] = []
    rename = Path.replace

    def record(self: Path, target: Path) -> Path:
        renamed.append(Path(target).name)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", record)
    write_corpus(tmp_path, train_lines=20, held_out_lines=5)
    assert renamed[-2:] == ["train.negative.txt", "train.positive.txt"]
    assert sorted(renamed) == sorted(path.name for path in tmp_path.iterdir())


def test_files_and_folders_in_each_other_s_place_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(AraeError, match="cannot write"):
        write_corpus(tmp_path / "file", train_lines=20, held_out_lines=5)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    (tmp_path / "folder" / "train.negative.txt").mkdir(parents=True)
    with pytest.raises(AraeError, match=r"cannot read .*/train\.negative\.txt: Is a directory"):
        write_corpus(tmp_path / "folder", train_lines=20, held_out_lines=5)


def test_more_sentences_than_the_grammar_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from arae_transfer.corpus import quickstart

    small = Grammar(
        ["the {thing} {is} ."], {"thing": ("soup", "stew")}, {"is": {"a": ("was good",), "b": ("was bad",)}}
    )
    monkeypatch.setattr(quickstart, "QUICKSTART_GRAMMAR", small)
    monkeypatch.setattr(quickstart, "CLASSES", small.classes)
    assert make_sentences(train_lines=2, held_out_lines=0)["train"].keys() == {"a", "b"}
    with pytest.raises(AraeError, match="only about 2 a sentences, fewer than 3"):
        make_sentences(train_lines=3, held_out_lines=0)
