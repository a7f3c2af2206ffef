"""Messages of `arae transfer` on standard error: model, device, and counts of what changed."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from arae_transfer.cli.command import report
from arae_transfer.encodings import UTF_8
from arae_transfer.export_config import FP16

if TYPE_CHECKING:
    from arae_transfer.runtime.decoding import DecodingOptions
    from arae_transfer.runtime.model_folder import ModelFolder
    from arae_transfer.runtime.rewrite import Rewrite
    from arae_transfer.runtime.rewriter import Rewriter
    from arae_transfer.runtime.stream import Line


def repaired_bytes(encoding: str) -> str:
    """Return the message about bytes that are not valid in an encoding."""
    name = "UTF-8" if encoding == UTF_8 else encoding
    return (
        f"repaired: bytes that are not {name} became \N{REPLACEMENT CHARACTER}; "
        "--encoding names another encoding, such as latin-1"
    )


class Messages:
    """Counts what happened to the lines of a run, and reports it."""

    def __init__(
        self, folder: ModelFolder, encoding: str = UTF_8, *, quiet: bool, verbose: bool, unit: str = "line"
    ) -> None:
        self._unit = unit
        self._folder = folder
        self._encoding = encoding
        self._quiet = quiet
        self._verbose = verbose
        self._started = time.perf_counter()
        self._ready = self._started
        self._lines = 0
        self._truncated = 0
        self._split = 0
        self._too_long = 0
        self._unfaithful = 0
        self._unfinished = 0
        self._repaired = 0
        self._already = 0
        self._unsure = 0
        self._unread = 0
        self._classes: Counter[str] = Counter()

    def ready(self, rewriter: Rewriter, class_name: str, names: Sequence[str]) -> None:
        """Report that the model is ready and where it runs; on a terminal, ask for input."""
        self._ready = time.perf_counter()
        if self._quiet:
            return
        if rewriter.fallback is not None:
            report(
                f"{rewriter.fallback}; running on the CPU",
                "--device cuda shows what is missing; --device cpu ends this warning.",
            )
        if rewriter.variant == FP16 and rewriter.device.kind == "cpu":
            report(
                "a CPU computes fp16 in fp32, slower than the variant fp32",
                "--variant auto chooses the fastest variant here.",
            )
        typed = "-" in names and sys.stdin is not None and sys.stdin.isatty()
        if self._verbose or typed:
            seconds = self._ready - self._started
            where = f"on {rewriter.device} in {rewriter.variant}"
            report(f"{self._folder.hub or self._folder.name}, to {class_name}, {where}, ready in {seconds:.1f} s")
        if typed:
            report("type one sentence per line; end with Ctrl-D")

    def count(self, lines: Sequence[Line], rewrites: Sequence[Rewrite]) -> None:
        """Add the results of some lines, or of sentences of a document."""
        self._lines += len(rewrites)
        self._split += sum(rewrite.pieces > 1 for rewrite in rewrites)
        self._too_long += sum(rewrite.status == "too long" for rewrite in rewrites)
        self._unfaithful += sum(rewrite.unfaithful > 0 for rewrite in rewrites)
        self._truncated += sum(rewrite.truncated for rewrite in rewrites)
        self._unfinished += sum(rewrite.unfinished for rewrite in rewrites)
        self._repaired += sum(line.repaired > 0 for line in lines)
        self._already += sum(rewrite.already > 0 for rewrite in rewrites)
        self._unsure += sum(rewrite.unsure > 0 for rewrite in rewrites)
        self._unread += sum(rewrite.unread > 0 for rewrite in rewrites)
        self._classes.update(rewrite.source_class for rewrite in rewrites if rewrite.source_class is not None)

    def finished(self, class_name: str, options: DecodingOptions) -> None:
        """Report what changed and, with ``--verbose``, the speed."""
        if self._quiet:
            return
        tokens = self._folder.maximum_tokens - 1
        self._say(self._split, "rewritten in parts, split at sentence ends or at the length limit")
        self._say(
            self._unfaithful,
            "left unchanged, in whole or in part: no rewrite kept every number, quotation and word whole",
        )
        self._say(self._too_long, f"left unchanged: longer than the limit of {tokens} tokens of {self._folder.name}")
        self._say(
            self._unread, f"left unchanged, in whole or in part: {self._folder.name} knows too few of the characters"
        )
        self._say(self._truncated, f"truncated to {tokens} tokens, the limit of {self._folder.name}")
        self._say(self._repaired, repaired_bytes(self._encoding))
        self._say(self._unfinished, "answered with a text that was cut off before its end")
        if self._classes:
            report("found: " + ", ".join(f"{number:,} {name}" for name, number in self._classes.most_common()))
        done = "left unchanged" if options.if_already == "keep" else "rewritten anyway"
        self._say(self._already, f"already {class_name}, in whole or in part, and {done}")
        least = f"no candidate had a confidence of {options.min_confidence:g}"
        self._say(self._unsure, f"left unchanged, in whole or in part: {least}")
        if self._verbose:
            seconds = time.perf_counter() - self._ready
            lines = self._unit if self._lines == 1 else f"{self._unit}s"
            report(f"{self._lines:,} {lines} in {seconds:.1f} s, {self._lines / max(seconds, 1e-9):,.0f} a second")

    def _say(self, number: int, what: str) -> None:
        if number:
            report(f"{number:,} of {self._lines:,} {self._unit}s {'was' if number == 1 else 'were'} {what}")
