"""Whether `arae serve` loses nothing: many requests, hang-ups, bodies that are too large, SIGTERM in the middle.

Every request that the server accepts must be answered once, with the rewrite of its own text, and the server must end
with status 0. `arae bench serve` measures how fast it is.

    python tests/benchmarks/serving.py [--requests 10000] [--clients 32] [--model NAME] [--to CLASS]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from arae_transfer.bench.serving import read_response, request_bytes, running_server
from arae_transfer.runtime.decoding import DecodingOptions
from arae_transfer.runtime.rewriter import Rewriter

NOUNS = ("food", "service", "waiter", "room", "coffee", "soup", "place", "staff", "pizza", "price")
WORDS = ("cold", "rude", "great", "awful", "slow", "friendly", "stale", "cheap", "dirty", "lovely")
HANG_UPS = 0.1
TOO_LARGE = 0.02
BODY_LIMIT = 1 << 16
ROUTE = "POST /v1/rewrite"
SECONDS = 600


@dataclass
class Seen:
    """What the clients saw.

    Attributes:
        statuses: The answers of each status.
        wrong: The answers that were not to the request's own text.
        hung_up: The requests whose client did not wait.
        lost: The requests that were not answered before the server was told to stop.
        unreached: Those that the server did not take afterwards.
        stopped: Whether it was told to stop.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    hung_up: int = 0
    lost: int = 0
    unreached: int = 0
    stopped: bool = False


async def client(
    port: int, numbers: itertools.count[int], total: int, expected: dict[str, str], to: str, seen: Seen, seed: int
) -> None:
    """Send requests until there are none left, on one connection as far as that goes."""
    chance = random.Random(seed)
    texts = list(expected)
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while (number := next(numbers)) < total:
        text = texts[number % len(texts)]
        draw = chance.random()
        # Hang-ups end well before the server is told to stop, so that their number is known for certain.
        hangs_up = draw < HANG_UPS and number < 0.4 * total
        too_large = HANG_UPS <= draw < HANG_UPS + TOO_LARGE
        body = {"text": text + "x" * (BODY_LIMIT * 2 if too_large else 0), "to": to, "beam": 1}
        try:
            if connection is None:
                connection = await asyncio.open_connection("127.0.0.1", port)
            reader, writer = connection
            writer.write(request_bytes("/v1/rewrite", body))
            if hangs_up:
                await writer.drain()
                await asyncio.sleep(chance.random() * 0.03)
                writer.close()
                connection = None
                seen.hung_up += 1
                continue
            status, content = await read_response(reader)
        except (OSError, asyncio.IncompleteReadError):
            connection = None
            if seen.stopped:
                seen.unreached += 1
            else:
                seen.lost += 1
            continue
        seen.statuses[status] += 1
        if status == 200:
            (result,) = json.loads(content)["results"]
            seen.wrong += (result["source"], result["output"]) != (text, expected[text])
        elif status == 413:
            seen.wrong += not too_large
        if status != 200:  # the server may close behind a refusal
            writer.close()
            connection = None


async def stop_in_the_middle(process: subprocess.Popen[str], seen: Seen, total: int) -> None:
    """Tell the server to stop when half of the requests are done."""
    while sum(seen.statuses.values()) + seen.hung_up < total / 2:
        await asyncio.sleep(0.01)
    seen.stopped = True
    process.send_signal(signal.SIGTERM)


async def press(
    process: subprocess.Popen[str], port: int, arguments: argparse.Namespace, expected: dict[str, str]
) -> Seen:
    """Let all clients work, and stop the server meanwhile."""
    seen, numbers = Seen(), itertools.count()
    clients = (
        client(port, numbers, arguments.requests, expected, arguments.to, seen, number)
        for number in range(arguments.clients)
    )
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(stop_in_the_middle(process, seen, arguments.requests), *clients)
    return seen


def say(line: str) -> None:
    """Write a line of the report."""
    sys.stdout.write(f"{line}\n")


def main() -> int:
    """Run all, print what was found, and return 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--model")
    parser.add_argument("--to", default="positive")
    arguments = parser.parse_args()
    rewriter = Rewriter.load(arguments.model)
    texts = [f"the {noun} was {word} and {other} ." for noun in NOUNS for word in WORDS for other in WORDS[:4]]
    answers = rewriter.transfer(texts, to=arguments.to, options=DecodingOptions(beam=1))
    expected = dict(zip(texts, answers, strict=True))
    started = time.perf_counter()
    options = ["--model", str(rewriter.folder.root), "--max-body", str(BODY_LIMIT), "--verbose"]
    with running_server(options) as (process, port):
        assert process.stderr is not None
        # Its log must be read, or it would wait for room in the pipe.
        lines: list[str] = []
        reading = asyncio.run(_pressed(process, port, arguments, expected, lines))
        status = process.wait(timeout=SECONDS)
    counted: Counter[int] = Counter()
    for line in lines:
        if found := re.search(rf"answered {ROUTE} (\d+): (\d+)", line):
            counted[int(found[1])] += int(found[2])
    seen = reading
    answered = sum(seen.statuses.values())
    ended = sum(counted.values())
    say(f"{arguments.requests:,} requests of {arguments.clients} clients in {time.perf_counter() - started:.0f} s")
    say(f"answers that clients got, by status: {dict(sorted(seen.statuses.items()))}")
    say(f"clients that hung up: {seen.hung_up:,}; requests after the end of the server: {seen.unreached:,}")
    say(f"requests that the server ended, by status: {dict(sorted(counted.items()))}")
    checks = {
        "each answer is that of its own text": seen.wrong == 0,
        "no request was lost before SIGTERM": seen.lost == 0,
        "the server ended exactly the requests that were answered or hung up": ended == answered + seen.hung_up,
        "it answered before and refused after SIGTERM": seen.statuses[200] > 0
        and seen.statuses[503] + seen.unreached > 0,
        "bodies that are too large were refused": seen.statuses[413] > 0,
        "some clients hung up": seen.hung_up > 0,
        "nothing failed": not seen.statuses[500] and not counted[500],
        "the server ended with status 0": status == 0,
    }
    for what, met in checks.items():
        say(f"{'met   ' if met else 'MISSED'} {what}")
    return 0 if all(checks.values()) else 1


async def _pressed(
    process: subprocess.Popen[str], port: int, arguments: argparse.Namespace, expected: dict[str, str], lines: list[str]
) -> Seen:
    log = process.stderr
    assert log is not None
    reading = asyncio.get_running_loop().run_in_executor(None, lambda: lines.extend(log))
    seen = await press(process, port, arguments, expected)
    await reading
    return seen


if __name__ == "__main__":
    sys.exit(main())
