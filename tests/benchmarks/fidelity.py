"""How many of generated lines keep what has nothing to do with style; prints a table of properties and outcomes.

Run from the repository's folder: ``python -m tests.benchmarks.fidelity --lines 10000``.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings

from arae_transfer.runtime.decoding import DecodingOptions
from arae_transfer.runtime.rewriter import Rewriter
from tests.text.properties import broken_properties
from tests.text.strategies import lines


def generate(number: int, start: int) -> list[str]:
    """Return different generated lines, the same ones for a start."""
    found: dict[str, None] = {}
    round_number = 0
    while len(found) < number:

        @seed(start + round_number)
        @settings(
            max_examples=min(number, 2000),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(lines)
        def collect(line: str) -> None:
            found.setdefault(line)

        collect()
        round_number += 1
    return list(found)[:number]


def main() -> int:
    """Rewrite generated lines and count; the exit status is 1 where a property is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=10, help="how many lines that break a property are shown")
    arguments = parser.parse_args()
    rewriter = Rewriter.load(arguments.model, device="cpu")
    texts = generate(arguments.lines, arguments.seed)
    failures = 0
    for name, options in (("beam of the export", DecodingOptions()), ("greedy", DecodingOptions(beam=1))):
        broken: Counter[str] = Counter()
        outcomes: Counter[str] = Counter()
        shown = 0
        for to in rewriter.classes:
            for rewrite in rewriter.rewrites(texts, to, options=options):
                outcomes[rewrite.status] += 1
                for each in broken_properties(rewriter, rewrite.source, rewrite.output):
                    broken[each.partition(":")[0]] += 1
                    if shown < arguments.show:
                        shown += 1
                        sys.stdout.write(f"  {each}\n    {rewrite.source!r}\n    {rewrite.output!r}\n")
        sys.stdout.write(f"{name}: {len(texts):,} lines to each of {len(rewriter.classes)} classes\n")
        for status, number in outcomes.most_common():
            sys.stdout.write(f"  {status:<24}{number:>8,}\n")
        for each, number in broken.most_common():
            sys.stdout.write(f"  BROKEN {number:>8,}  {each}\n")
        sys.stdout.write(f"  properties broken       {sum(broken.values()):>8,}\n")
        failures += sum(broken.values())
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
