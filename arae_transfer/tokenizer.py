"""Tokenize lines with SentencePiece and byte fallback, so that no character is unknown."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import sentencepiece

from arae_transfer.atomic import write_bytes
from arae_transfer.errors import AraeError

PAD_ID = 0
UNKNOWN_ID = 1
BEGIN_ID = 2
END_ID = 3
SPECIAL_IDS = {"pad": PAD_ID, "unknown": UNKNOWN_ID, "begin": BEGIN_ID, "end": END_ID}

# 4 special ids and 256 bytes come before the first learned token.
MINIMUM_VOCABULARY = 4 + 256 + 1

# So many lines are encoded before threads have begun.
_FEW = 64
# After so many lines, encoded or decoded, it pays to have looked whether words can be remembered, which takes 20
# milliseconds.
_MANY = 4096
# So many threads of SentencePiece's take as long for a line as one that looks its words up.
_FEW_THREADS = 4
_REMEMBERED_WORDS = 1 << 15
_LONGEST_WORD = 32
_BLANK = "\u2581"
_WITHOUT_TEXT = frozenset((PAD_ID, UNKNOWN_ID, BEGIN_ID))


class Tokenizer:
    """A SentencePiece tokenizer with the special ids of all models.

    Policy for unknown text: a character outside the vocabulary becomes its UTF-8 bytes, one token each, so the unknown
    id is never produced and every valid string without NUL survives ``decode(encode(line))``, up to blanks at its ends
    and runs of blanks, which the tokenizer trims and joins, and U+2581, which stands for a blank inside it.
    """

    def __init__(self, serialized: bytes) -> None:
        if not serialized:
            raise RuntimeError("an empty model")
        self.serialized = serialized
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=serialized)
        self.vocabulary_size: int = self._processor.vocab_size()
        ids = (
            self._processor.pad_id(),
            self._processor.unk_id(),
            self._processor.bos_id(),
            self._processor.eos_id(),
        )
        if ids != (PAD_ID, UNKNOWN_ID, BEGIN_ID, END_ID):
            raise AraeError(
                f"the tokenizer's special ids are pad, unknown, begin, end = {ids}, not {tuple(SPECIAL_IDS.values())}",
                "train it with --pad_id=0 --unk_id=1 --bos_id=2 --eos_id=3, or let `arae train` make one.",
            )
        # The ids of words, where those of a line are the ids of its words; and how many lines were read so far.
        self._words: dict[str, list[int]] = {}
        self._lines = 0
        # Words that are always one token, such as a placeholder of numbers, come before the bytes.
        first = self._processor.piece_to_id("<0x00>")
        self._bytes = frozenset(range(first, first + 256))
        if not self._processor.is_byte(first):
            raise AraeError(
                "the tokenizer has no byte tokens, so it cannot write every character",
                "train it with --byte_fallback=true, or let `arae train` make one.",
            )

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read a SentencePiece model file.

        Raises:
            AraeError: The file is missing, damaged or has other special ids.
        """
        try:
            serialized = path.read_bytes()
        except OSError as error:
            raise AraeError(f"cannot read the tokenizer {path}: {error.strerror or error}") from error
        try:
            return cls(serialized)
        except (RuntimeError, OSError) as error:
            raise AraeError(
                f"the tokenizer {path} is damaged or is not a SentencePiece model",
                "export the model again, or give another file.",
            ) from error

    @classmethod
    def train(
        cls, lines: Iterable[str], vocabulary_size: int, *, whole: Sequence[str] = (), threads: int = 2
    ) -> Tokenizer:
        """Train a byte-pair-encoding model with byte fallback on lines.

        A corpus too small for the requested vocabulary gets the largest that it can fill.

        Args:
            lines: Text in the corpus's text format, one sentence each.
            vocabulary_size: The requested number of tokens, including special tokens and bytes.
            whole: Words that are always one token, such as a placeholder for numbers.
            threads: The number of threads of the trainer.

        Raises:
            AraeError: ``vocabulary_size`` is too small for special tokens, bytes and the characters of the lines.
        """
        if vocabulary_size < MINIMUM_VOCABULARY:
            raise AraeError(
                f"tokenizer.vocabulary_size = {vocabulary_size} is too small: it includes 4 special and 256 "
                "byte tokens",
                f"use at least {MINIMUM_VOCABULARY + 100}.",
            )
        sentences = list(lines)
        model = io.BytesIO()
        common: dict[str, Any] = {
            "model_writer": model,
            "model_type": "bpe",
            "character_coverage": 1.0,
            "byte_fallback": True,
            "normalization_rule_name": "identity",
            # Blanks alone split words: "n't" and "_num_" are words, not letters beside punctuation.
            "split_by_unicode_script": False,
            "user_defined_symbols": [f"\u2581{word}" for word in whole],
            "pad_id": PAD_ID,
            "unk_id": UNKNOWN_ID,
            "bos_id": BEGIN_ID,
            "eos_id": END_ID,
            "num_threads": threads,
            "max_sentence_length": 1_000_000,
            "input_sentence_size": 2_000_000,
            "shuffle_input_sentence": True,
            "minloglevel": 2,
        }
        size = vocabulary_size
        while True:
            try:
                sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences), vocab_size=size, **common)
                break
            except RuntimeError as error:
                needed = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
                if needed:
                    raise AraeError(
                        f"tokenizer.vocabulary_size = {vocabulary_size} is too small for the characters of the corpus",
                        f"use at least {needed[1]}.",
                    ) from error
                # The trainer says how far it could go: "... Please set it to a value <= 1234."
                _, separator, limit = str(error).rpartition("<= ")
                digits = limit.strip().rstrip(".")
                if not separator or not digits.isdigit() or int(digits) >= size:
                    raise AraeError(f"cannot train a tokenizer on this corpus: {error}") from error
                size = int(digits)
                model.seek(0)
                model.truncate()
        return cls(model.getvalue())

    def save(self, path: Path) -> None:
        """Write the SentencePiece model file atomically."""
        write_bytes(path, self.serialized)

    @cached_property
    def pieces(self) -> list[str]:
        """Tokens in the order of their ids; one that starts a word starts with U+2581."""
        found: list[str] = self._processor.id_to_piece(list(range(self.vocabulary_size)))
        return found

    @cached_property
    def begins_word(self) -> list[bool]:
        """Whether each token starts a word; the end id does, because it ends the last word."""
        return [piece.startswith(_BLANK) or number == END_ID for number, piece in enumerate(self.pieces)]

    @cached_property
    def characters(self) -> frozenset[str]:
        """Characters that have a token of their own, except the space; all others become bytes."""
        pieces = map(self._processor.id_to_piece, range(self.vocabulary_size))
        return frozenset(piece for piece in pieces if len(piece) == 1) - {_BLANK}

    @cached_property
    def reads_words(self) -> bool:
        """Whether lines can be encoded word by word and decoded token by token.

        This holds for byte-pair encoding without normalization and without tokens across spaces, as ``train`` makes it.
        Tokens chosen by likelihood may differ where a line's sums are rounded.
        """
        # Here, because its import takes 20 milliseconds. It needs protobuf, which comes with onnxruntime, perhaps in a
        # version that it does not go with.
        try:
            from sentencepiece import sentencepiece_model_pb2 as messages
        except Exception:
            return False
        model = messages.ModelProto.FromString(self.serialized)  # type: ignore[attr-defined]
        training, normalizing = model.trainer_spec, model.normalizer_spec
        return (
            training.model_type == training.BPE
            and not training.treat_whitespace_as_suffix
            and not normalizing.precompiled_charsmap
            and not model.denormalizer_spec.precompiled_charsmap
            and normalizing.add_dummy_prefix
            and normalizing.remove_extra_whitespaces
            and normalizing.escape_whitespaces
            and not any(_BLANK in piece.piece[1:] for piece in model.pieces)
        )

    def ends_word(self, following: int) -> bool:
        """Return whether a word ends before an id: the end id, or a token that starts another word."""
        return following == END_ID or str(self._processor.id_to_piece(following)).startswith(_BLANK)

    def count_bytes(self, ids: Sequence[int]) -> int:
        """Return how many ids of a line are bytes of characters outside the vocabulary."""
        return 0 if self._bytes.isdisjoint(ids) else sum(number in self._bytes for number in ids)

    def encode(self, line: str) -> list[int]:
        """Return the token ids of a line, without begin and end ids."""
        ids: list[int] = self._processor.encode(line)
        return ids

    def encode_lines(self, lines: Sequence[str], threads: int | None = None) -> list[list[int]]:
        """Return the token ids of lines, with several threads for many lines; None: one per CPU.

        SentencePiece starts and ends its threads with each call, even a single one: for a few lines this takes longer
        than encoding, and much longer on busy processors. With very many lines, the ids of words are cached; after a
        while a thousandth of the words are new.
        """
        number = threads or os.cpu_count() or 1
        self._lines += len(lines)
        if self._lines > _MANY and number <= _FEW_THREADS and self.reads_words:
            return self._encode_words(lines)
        if len(lines) <= _FEW or number == 1:
            return [self.encode(line) for line in lines]
        ids: list[list[int]] = self._processor.encode(list(lines), num_threads=number)
        return ids

    def _encode_words(self, lines: Sequence[str]) -> list[list[int]]:
        """Return the ids of lines word by word, or of the whole line if splitting it is not exact."""
        find = self._words.__getitem__
        rows: list[list[int] | None] = []
        for line in lines:
            try:
                rows.append(list(chain.from_iterable(map(find, line.split(" ")))))
            except KeyError:
                rows.append(None)
        new = [place for place, row in enumerate(rows) if row is None]
        found = iter(self._encode_new_words([lines[place] for place in new]))
        return [next(found) if row is None else row for row in rows]

    def _encode_new_words(self, lines: Sequence[str]) -> list[list[int]]:
        """Return the ids of lines with new words, and cache these words."""
        words = [line.split(" ") for line in lines]
        every = set().union(*words)
        known = self._words
        new = every.difference(known)
        strange = {word for word in new if len(word) > _LONGEST_WORD or _BLANK in word}
        if len(known) + len(new) > _REMEMBERED_WORDS:
            self._words = known = {}
            new = every
        new = new - strange
        known.update((word, self.encode(word)) for word in new)
        find = known.__getitem__
        return [
            list(chain.from_iterable(map(find, own))) if strange.isdisjoint(own) else self.encode(line)
            for line, own in zip(lines, words, strict=True)
        ]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token ids up to the end id, without special ids."""
        text: str = self._processor.decode(_text_ids(list(map(int, ids))))
        return text

    def decode_rows(self, rows: Iterable[list[int]]) -> list[str]:
        """Return the text of each row of token ids, as ``decode`` does."""
        read = [_text_ids(row) for row in rows]
        self._lines += len(read)
        # Row by row, because SentencePiece would begin a thread for them, see encode_lines.
        write = self._join_pieces if self._lines > _MANY and self.reads_words else self._processor.decode
        return [write(row) for row in read]

    @cached_property
    def _pieces(self) -> list[str | None]:
        """Text of each token, or None for bytes and special tokens."""
        every = list(range(self.vocabulary_size))
        sorts = (self._processor.is_byte, self._processor.is_control, self._processor.is_unknown)
        without = [any(flags) for flags in zip(*(sort(every) for sort in sorts), strict=True)]
        pieces = self._processor.id_to_piece(every)
        return [None if none else piece for piece, none in zip(pieces, without, strict=True)]

    def _join_pieces(self, ids: Sequence[int]) -> str:
        """Return the text of token ids if it is the concatenation of their tokens."""
        try:
            joined = "".join(map(self._pieces.__getitem__, ids))  # type: ignore[arg-type]
        except TypeError:  # bytes, which make up characters only together
            return str(self._processor.decode(ids))
        return joined.replace(_BLANK, " ").lstrip(" ")


def _text_ids(ids: list[int]) -> list[int]:
    """Return the ids before the first end id that have text."""
    if END_ID in ids:
        ids = ids[: ids.index(END_ID)]
    if _WITHOUT_TEXT.isdisjoint(ids):  # as nearly always
        return ids
    return [number for number in ids if number not in _WITHOUT_TEXT]
