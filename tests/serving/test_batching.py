"""The queue: what waits goes together, within a budget; nothing is lost, nothing is answered twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from arae_transfer.serving.batching import Batcher, Ticket
from arae_transfer.serving.limits import Limits
from arae_transfer.serving.problems import Problem


@dataclass(eq=False)
class Model:
    """Answers a line by its capitals, and notes what it was given; it works only while its gate is open."""

    batches: list[list[str]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)

    def run(self, lines: Sequence[str]) -> list[str]:
        self.started.set()
        assert self.gate.wait(20)
        self.batches.append(list(lines))
        if any(line.startswith("bad") for line in lines):
            raise ValueError("bad")
        return [line.upper() for line in lines]


@dataclass(frozen=True)
class Shout:
    """A task; two are alike if their names are."""

    model: Model
    name: str = "a"
    width: int = 1

    def run(self, lines: Sequence[str]) -> list[Any]:
        return self.model.run(lines)


class Ear:
    """Hears of batches."""

    def batch(self, lines: int, tokens: int, seconds: float) -> None:
        pass

    def waited(self, seconds: float) -> None:
        assert seconds > -1


def trial(work: Callable[[Batcher, Model], Coroutine[Any, Any, None]], limits: Limits | None = None) -> Model:
    """Run work with a queue whose model has its first line in hand already, and waits at its gate."""
    model = Model()

    async def run() -> None:
        batcher = Batcher(limits or Limits(), Ear())
        batcher.start(lambda: None, lambda failure: None)
        first = submit(batcher, Shout(model), "first")
        await asyncio.to_thread(model.started.wait, 20)
        try:
            async with asyncio.timeout(20):
                await work(batcher, model)
                model.gate.set()
                await first.answers[0]
                await batcher.finished()
        finally:
            model.gate.set()
            batcher.abort()

    asyncio.run(run())
    return model


def submit(batcher: Batcher, task: Shout, *lines: str) -> Ticket:
    return batcher.submit(task, lines, [len(line) for line in lines])


def test_all_that_waits_goes_together_and_is_answered_in_order() -> None:
    async def work(batcher: Batcher, model: Model) -> None:
        tickets = [submit(batcher, Shout(model), f"a{number}", f"b{number}") for number in range(10)]
        await asyncio.sleep(0)
        model.gate.set()
        for number, ticket in enumerate(tickets):
            assert await asyncio.gather(*ticket.answers) == [f"A{number}", f"B{number}"]

    model = trial(work)
    assert [len(batch) for batch in model.batches] == [1, 20]


def test_what_arrives_in_one_turn_of_the_loop_is_not_taken_apart() -> None:
    model = Model()
    model.gate.set()

    async def run() -> None:
        batcher = Batcher(Limits(), Ear())
        batcher.start(lambda: None, lambda failure: None)
        await asyncio.sleep(0.05)
        tickets = [submit(batcher, Shout(model), str(number)) for number in range(8)]
        await asyncio.gather(*(answer for ticket in tickets for answer in ticket.answers))
        batcher.abort()

    asyncio.run(run())
    assert [len(batch) for batch in model.batches] == [8]


def test_batches_keep_to_both_budgets_and_a_larger_line_goes_alone() -> None:
    limits = Limits(batch_lines=4, batch_tokens=40)

    async def work(batcher: Batcher, model: Model) -> None:
        submit(batcher, Shout(model, width=2), *["x" * 12] * 3, "y" * 400, *["z"] * 9)  # 10 each, 204, 4 each

    model = trial(work, limits)
    assert ["".join(line[0] for line in batch) for batch in model.batches] == ["f", "xxx", "y", "zzzz", "zzzz", "z"]


def test_a_line_fails_by_its_own_fault_alone() -> None:
    async def work(batcher: Batcher, model: Model) -> None:
        good, bad, other = (submit(batcher, Shout(model), line) for line in ("good", "bad", "other"))
        await asyncio.sleep(0)
        model.gate.set()
        assert await good.answers[0] == "GOOD"
        assert await other.answers[0] == "OTHER"
        with pytest.raises(ValueError, match="bad"):
            await bad.answers[0]

    trial(work)


def test_a_short_request_does_not_wait_for_a_long_one() -> None:
    async def work(batcher: Batcher, model: Model) -> None:
        submit(batcher, Shout(model), *["long"] * 100)
        submit(batcher, Shout(model), "short")
        submit(batcher, Shout(model, name="b"), "unlike")

    model = trial(work, Limits(batch_lines=32))
    assert "short" in model.batches[1]
    assert model.batches[2] == ["unlike"]
    assert sum(map(len, model.batches)) == 103


def test_lines_of_other_tasks_do_not_share_a_batch() -> None:
    async def work(batcher: Batcher, model: Model) -> None:
        for number in range(6):
            submit(batcher, Shout(model, name=str(number % 2)), str(number % 2))

    model = trial(work)
    assert model.batches[1:] == [["0"] * 3, ["1"] * 3]


def test_nobody_works_for_a_client_that_has_gone() -> None:
    async def work(batcher: Batcher, model: Model) -> None:
        gone = submit(batcher, Shout(model), *["gone"] * 5)
        stays = submit(batcher, Shout(model), "stays")
        assert batcher.waiting == 6
        await asyncio.sleep(0)
        batcher.abandon(gone)
        assert batcher.waiting == 1
        assert all(answer.cancelled() for answer in gone.answers)
        model.gate.set()
        assert await stays.answers[0] == "STAYS"

    model = trial(work)
    assert model.batches == [["first"], ["stays"]]


def test_a_client_that_goes_while_the_model_works_harms_nobody() -> None:
    async def work(batcher: Batcher, model: Model) -> None:
        model.started.clear()
        gone, stays = submit(batcher, Shout(model), "gone", "gone"), submit(batcher, Shout(model), "stays")
        await asyncio.sleep(0)
        model.gate.set()
        await asyncio.to_thread(model.started.wait, 20)
        batcher.abandon(gone)
        batcher.abandon(gone)
        assert await stays.answers[0] == "STAYS"
        assert batcher.waiting == 0

    trial(work)


def test_a_full_queue_says_when_to_come_again() -> None:
    async def work(batcher: Batcher, model: Model) -> None:
        kept = submit(batcher, Shout(model), *["x"] * 9)
        with pytest.raises(Problem) as refused:
            submit(batcher, Shout(model), "x", "x")
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) >= 1
        assert batcher.waiting == 9
        last = submit(batcher, Shout(model), "y")
        model.gate.set()
        await asyncio.gather(*kept.answers, *last.answers)
        submit(batcher, Shout(model), "x", "x")

    trial(work, Limits(queue_lines=10, lines=10))


def test_draining_refuses_new_work_and_finishes_the_old() -> None:
    async def work(batcher: Batcher, model: Model) -> None:
        old = submit(batcher, Shout(model), "old")
        batcher.drain()
        with pytest.raises(Problem) as refused:
            submit(batcher, Shout(model), "new")
        assert refused.value.status == 503
        assert not batcher._empty.is_set()
        model.gate.set()
        await batcher.finished()
        assert old.answers[0].result() == "OLD"

    model = trial(work)
    assert ["new"] not in model.batches


def test_what_the_grace_does_not_suffice_for_is_told_so() -> None:
    model = Model()

    async def run() -> list[Any]:
        batcher = Batcher(Limits(), Ear())
        batcher.start(lambda: None, lambda failure: None)
        tickets = [submit(batcher, Shout(model), "a"), submit(batcher, Shout(model), "b", "c")]
        await asyncio.to_thread(model.started.wait, 20)
        assert batcher.abort() == 2
        await batcher.finished()
        model.gate.set()  # what the model has in hand comes too late, and is thrown away
        await asyncio.sleep(0.05)
        return await asyncio.gather(*(each for ticket in tickets for each in ticket.answers), return_exceptions=True)

    found = asyncio.run(run())
    assert [error.status for error in found] == [503] * 3


def test_a_model_that_cannot_be_made_ready_is_heard_of() -> None:
    async def run() -> Exception | None:
        heard: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

        def prepare() -> None:
            raise ValueError("no model")

        batcher = Batcher(Limits(), Ear())
        batcher.start(prepare, heard.set_result)
        async with asyncio.timeout(20):
            return await heard

    assert str(asyncio.run(run())) == "no model"
