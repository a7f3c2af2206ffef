"""How a corpus is written: the ``[form]`` section of a recipe and of an exported model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from arae_transfer.errors import AraeError

Separation = Literal["plain", "penn-treebank"]
FormatChoice = Literal["auto", "ordinary", "corpus"]


@dataclass(frozen=True)
class TextFormat:
    """The way in which a corpus is written; the default is ordinary writing, left as it is.

    Raises:
        AraeError: ``tokens`` is unknown, ``number`` contains a blank, or a field has the wrong type.
    """

    lower_case: bool = field(default=False, metadata={"help": "The corpus is written in lower case."})
    tokens: Separation = field(
        default="plain",
        metadata={
            "help": "How words and punctuation are separated: plain (as people write) or penn-treebank (was n't .)."
        },
    )
    number: str = field(
        default="",
        metadata={"help": "The placeholder that stands for numbers; empty when numbers stand as they are."},
    )

    def __post_init__(self) -> None:
        if not isinstance(self.lower_case, bool) or not isinstance(self.number, str):
            raise AraeError(
                f"form.lower_case = {self.lower_case!r} or form.number = {self.number!r} has the wrong type",
                "lower_case is true or false, number is text.",
            )
        if self.tokens not in get_args(Separation):
            raise AraeError(
                f"form.tokens = {self.tokens!r} is unknown",
                f"use one of: {', '.join(get_args(Separation))}.",
            )
        if self.number and self.number.split() != [self.number]:
            raise AraeError(
                f"form.number = {self.number!r} contains a blank",
                'use one word, such as "_num_", or "" when the corpus keeps its numbers.',
            )
