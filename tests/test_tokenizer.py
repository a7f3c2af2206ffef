"""Lines to ids and back, without a loss."""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from arae_transfer import tokenizer as tokenizing
from arae_transfer.errors import AraeError
from arae_transfer.tokenizer import BEGIN_ID, END_ID, MINIMUM_VOCABULARY, PAD_ID, UNKNOWN_ID, Tokenizer

LINES = [
    "the food was n't good .",
    "_num_ stars for the _num_ waiters , i wo n't come back !",
    "what a great place ( and so cheap ) : )",
    "my wife 's soup was cold ; the staff did n't care .",
    "they charged me $ _num_ for water ...",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(LINES * 20, 400, whole=["_num_", "_never_"])


def other_model(**options: Any) -> bytes:
    """Return a SentencePiece model that someone else made."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 20), model_writer=model, minloglevel=2, **{"model_type": "bpe", **options}
    )
    return model.getvalue()


def test_corpus_lines_come_back_exactly(tokenizer: Tokenizer) -> None:
    for line in LINES:
        assert tokenizer.decode(tokenizer.encode(line)) == line


@pytest.mark.parametrize(
    "line",
    [
        "crème brûlée",
        "so good 😀 👩‍👩‍👧 ❤️",
        "非常好吃",
        "ключ",
        "\u200bzero \ufeff width\u00a0blank",
        "tab\there",
        "<s> </s> <unk> <pad> <0x41>",
        "x_num_ _num_s __num__",
        "a\u0301 \U0010ffff",
    ],
)
def test_unseen_characters_come_back_exactly_and_are_never_unknown(tokenizer: Tokenizer, line: str) -> None:
    ids = tokenizer.encode(line)
    assert not {PAD_ID, UNKNOWN_ID, BEGIN_ID, END_ID} & set(ids)
    assert all(4 <= number < tokenizer.vocabulary_size for number in ids)
    assert tokenizer.decode(ids) == line


def test_random_text_comes_back_exactly(tokenizer: Tokenizer) -> None:
    generator = random.Random(5)
    alphabets = ["abcdefghij'", "éßœ", "你好吗", "😀🎉", "(),.!?$%", "\u0300\u200d"]
    for _ in range(300):
        words = ["".join(generator.choices(generator.choice(alphabets), k=generator.randint(1, 9))) for _ in range(6)]
        line = " ".join(words)
        assert tokenizer.decode(tokenizer.encode(line)) == line


def test_an_emoji_becomes_its_utf8_bytes(tokenizer: Tokenizer) -> None:
    # The 256 byte pieces lie together, one for each byte in order.
    a_byte = tokenizer.encode("\x01")[-1] - 1
    assert [number - a_byte for number in tokenizer.encode("😀")[-4:]] == list("😀".encode())


def test_blanks_are_trimmed_and_joined(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("  the   food ")) == "the food"


def test_whole_words_are_one_piece(tokenizer: Tokenizer) -> None:
    (number,) = tokenizer.encode("_num_")
    assert tokenizer.encode("for _num_ waiters").count(number) == 1
    assert tokenizer.decode([number]) == "_num_"
    assert len(tokenizer.encode("_never_")) == 1  # not a matter of how often it is met
    assert tokenizer.decode(tokenizer.encode("was _never_ .")) == "was _never_ ."


def test_frequent_words_with_apostrophes_are_one_piece(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("n't")) == 1


def test_encoding_many_lines_is_encoding_each(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode_lines(LINES) == [tokenizer.encode(line) for line in LINES]
    assert tokenizer.encode("") == []


STRANGE = [
    "",
    "   ",
    "  two   blanks  ",
    "a\u2581b \u2581 \u2581c d\u2581",
    "x" * 40 + " y " + "z" * 33,
    "crème 日本 😀 a\u0301 \ufb01ne tab\there \u00a0 \u3000x",
    "x_num_ _num_s __num__ _never_again",
    "</s> <unk> <0x41>",
]


def random_lines(number: int) -> list[str]:
    """Return lines of corpus words and of what no corpus holds."""
    generator = random.Random(number)
    words = [*" ".join(LINES).split(), *["éß日本", "ab😀", "x́", "don't", "▁", "q▁", "\t", "w\xa0w"], "", "y" * 50]
    return [" ".join(generator.choices(words, k=generator.randint(0, 9))) for _ in range(number)]


@pytest.mark.parametrize("remembered", [1 << 15, 20])
def test_after_many_lines_each_is_encoded_as_before(monkeypatch: pytest.MonkeyPatch, remembered: int) -> None:
    monkeypatch.setattr(tokenizing, "_MANY", 100)
    monkeypatch.setattr(tokenizing, "_REMEMBERED_WORDS", remembered)
    tokenizer = Tokenizer.train(LINES * 20, 400, whole=["_num_", "_never_"])
    lines = [*LINES, *STRANGE, *random_lines(500)]
    wanted = [tokenizer.encode(line) for line in lines]
    assert tokenizer.encode_lines(lines[:90], threads=2) == wanted[:90]
    assert not tokenizer._words
    for start in (0, 300, 0):
        assert tokenizer.encode_lines(lines[start:], threads=2) == wanted[start:]
    assert tokenizer._words
    assert len(tokenizer._words) <= max(remembered, len(set(" ".join(lines).split(" "))))
    assert tokenizer.encode_lines([]) == []
    # Many threads are faster without.
    others = Tokenizer(tokenizer.serialized)
    assert others.encode_lines(lines, threads=16) == wanted
    assert not others._words


def test_after_many_rows_each_is_decoded_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizing, "_MANY", 100)
    plain = {"normalization_rule_name": "identity", "byte_fallback": True, "pad_id": 0, "unk_id": 1, "bos_id": 2}
    foreign = other_model(**plain, eos_id=3, vocab_size=400, control_symbols=["<mask>"], user_defined_symbols=["qq"])
    for tokenizer in (Tokenizer.train(LINES * 20, 400, whole=["_num_", "_never_"]), Tokenizer(foreign)):
        generator = random.Random(3)
        rows = [generator.choices(range(tokenizer.vocabulary_size), k=generator.randint(0, 9)) for _ in range(2000)]
        blank = [number for number in range(400) if tokenizer.decode([number, 399]) == tokenizer.decode([399])]
        rows += [[*generator.choices(blank, k=3), *row] for row in rows[:200]]
        rows += [tokenizer.encode(line) for line in [*LINES, *STRANGE, *random_lines(300)]]
        wanted = [tokenizer.decode(row) for row in rows]
        assert tokenizer.decode_rows(rows[:90]) == wanted[:90]
        assert "_pieces" not in vars(tokenizer)
        assert tokenizer.decode_rows(rows) == wanted
        assert "_pieces" in vars(tokenizer)
        assert tokenizer.decode_rows([]) == []


@pytest.mark.parametrize(
    "options",
    [
        {"normalization_rule_name": "nmt_nfkc"},
        {"add_dummy_prefix": False},
        {"remove_extra_whitespaces": False},
        {"split_by_whitespace": False},
        {"treat_whitespace_as_suffix": True},
        {"model_type": "unigram"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_of_other_tokenizers_lines_are_encoded_whole(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    monkeypatch.setattr(tokenizing, "_MANY", 100)
    plain = {"normalization_rule_name": "identity", "byte_fallback": True, "pad_id": 0, "unk_id": 1, "bos_id": 2}
    size = {"vocab_size": 300, "hard_vocab_limit": False} if "model_type" in options else {"vocab_size": 400}
    tokenizer = Tokenizer(other_model(**{**plain, "eos_id": 3, **size, **options}))
    lines = [*LINES, *STRANGE, *random_lines(500)]
    rows = [tokenizer.encode(line) for line in lines]
    assert tokenizer.encode_lines(lines, threads=1) == rows
    assert tokenizer.decode_rows(rows) == [tokenizer.decode(row) for row in rows]
    assert not tokenizer._words
    assert Tokenizer(other_model(**plain, eos_id=3, vocab_size=400)).reads_words


def test_without_protobuf_lines_are_encoded_whole(monkeypatch: pytest.MonkeyPatch, tokenizer: Tokenizer) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece.sentencepiece_model_pb2", None)
    monkeypatch.delattr(sentencepiece, "sentencepiece_model_pb2", raising=False)
    assert not Tokenizer(tokenizer.serialized).reads_words


def test_decoding_stops_at_the_end_and_leaves_special_ids_out(tokenizer: Tokenizer) -> None:
    good, food = tokenizer.encode("good"), tokenizer.encode("food")
    ids = [BEGIN_ID, PAD_ID, *good, UNKNOWN_ID, *food, END_ID, *good, PAD_ID]
    assert tokenizer.decode(ids) == "good food"


def test_half_a_character_decodes_to_something(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("😀")[:-1]
    assert "\N{REPLACEMENT CHARACTER}" in tokenizer.decode(ids)


def test_a_model_survives_its_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.model")
    loaded = Tokenizer.load(tmp_path / "tokenizer.model")
    assert loaded.vocabulary_size == tokenizer.vocabulary_size == 400
    assert loaded.encode_lines(LINES) == tokenizer.encode_lines(LINES)


def test_a_vocabulary_too_large_for_the_corpus_shrinks() -> None:
    small = Tokenizer.train(["ab ab ba", "ba ab"], 8000)
    assert MINIMUM_VOCABULARY <= small.vocabulary_size < 300
    assert small.decode(small.encode("ab ba c")) == "ab ba c"


def test_a_vocabulary_too_small_for_the_characters_says_how_many_are_needed() -> None:
    with pytest.raises(AraeError, match="too small for the characters") as caught:
        Tokenizer.train(LINES, 262)
    assert caught.value.hint is not None
    needed = int(caught.value.hint.rpartition(" ")[2].rstrip("."))
    assert Tokenizer.train(LINES, needed).vocabulary_size == needed


def test_a_vocabulary_without_room_for_bytes_is_refused() -> None:
    with pytest.raises(AraeError, match="vocabulary_size = 260 is too small"):
        Tokenizer.train(LINES, 260)


def test_no_lines_are_refused() -> None:
    with pytest.raises(AraeError, match="cannot train a tokenizer"):
        Tokenizer.train([], 400)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AraeError, match=r"cannot read the tokenizer .*a\.model"):
        Tokenizer.load(tmp_path / "a.model")


def test_a_damaged_file_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    for content in (b"", b"no model", tokenizer.serialized[:-100], tokenizer.serialized[:1000]):
        path.write_bytes(content)
        with pytest.raises(AraeError, match=r"tokenizer .*a\.model is damaged"):
            Tokenizer.load(path)


def test_other_special_ids_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    path.write_bytes(other_model(vocab_size=330, byte_fallback=True))
    with pytest.raises(AraeError, match=r"special ids .* = \(-1, 0, 1, 2\), not \(0, 1, 2, 3\)"):
        Tokenizer.load(path)


def test_a_model_that_has_unknown_characters_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    path.write_bytes(other_model(vocab_size=80, pad_id=0, unk_id=1, bos_id=2, eos_id=3))
    with pytest.raises(AraeError, match="no byte tokens"):
        Tokenizer.load(path)


def test_bytes_are_told_from_words_that_are_one_piece() -> None:
    tokenizer = Tokenizer.train(["we waited _num_ minutes for the soup"] * 20, 300, whole=["_num_"])
    assert tokenizer.count_bytes(tokenizer.encode("we waited _num_ minutes")) == 0
    assert tokenizer.count_bytes(tokenizer.encode("the caf\u00e9 \U0001f355")) == 1 + 2 + 4  # c, é and the emoji
    assert tokenizer.characters == set("waitednumsfohrp")
    assert all(tokenizer.count_bytes(tokenizer.encode(each)) == 0 for each in tokenizer.characters)
