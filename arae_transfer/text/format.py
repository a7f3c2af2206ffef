"""Text format of a corpus: the ``[form]`` section of a recipe and of an exported model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from arae_transfer.errors import AraeError

Separation = Literal["plain", "penn-treebank"]
FormatChoice = Literal["auto", "ordinary", "corpus"]


@dataclass(frozen=True)
class TextFormat:
    """Text format of a corpus; the default is ordinary text.

    Raises:
        AraeError: ``tokens`` is unknown, ``number`` contains a blank, or a field has the wrong type.
    """

    lower_case: bool = field(default=False, metadata={"help": "Whether the corpus is in lower case."})
    tokens: Separation = field(
        default="plain",
        metadata={
            "help": "The tokenization of words and punctuation: plain (ordinary text) or penn-treebank (was n't .)."
        },
    )
    number: str = field(
        default="",
        metadata={"help": "The placeholder for numbers; empty if the corpus keeps them."},
    )

    def __post_init__(self) -> None:
        if not isinstance(self.lower_case, bool) or not isinstance(self.number, str):
            raise AraeError(
                f"form.lower_case = {self.lower_case!r} or form.number = {self.number!r} has the wrong type",
                "lower_case must be true or false, number must be text.",
            )
        if self.tokens not in get_args(Separation):
            raise AraeError(
                f"form.tokens = {self.tokens!r} is unknown",
                f"use one of: {', '.join(get_args(Separation))}.",
            )
        if self.number and self.number.split() != [self.number]:
            raise AraeError(
                f"form.number = {self.number!r} contains a space",
                'use one word, such as "_num_", or "" when the corpus keeps its numbers.',
            )
