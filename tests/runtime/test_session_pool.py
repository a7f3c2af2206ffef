"""Sessions of one graph: one for each thread where there is much to do, and answers that do not depend on it."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from onnxruntime import InferenceSession

from arae_transfer.errors import AraeError
from arae_transfer.layout import ExportLayout
from arae_transfer.runtime import sessions
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.runtime.session_pool import MOST, SessionPool

LINES = [f"the food was cold {number} times , great place !" for number in range(200)]


def make(most: int, *, fails: bool = False) -> tuple[SessionPool, list[Any]]:
    """Return replicas of something, and a list of those that were opened beside the first."""
    opened: list[Any] = []

    def create() -> InferenceSession:
        opened.append(object())
        if fails:
            raise AraeError("its file is gone")
        return cast(InferenceSession, opened[-1])

    return SessionPool(cast(InferenceSession, "first"), create, most), opened


def test_no_two_borrow_the_same_where_more_may_be_opened() -> None:
    replicas, opened = make(3)
    with replicas.borrow(grow=True) as one, replicas.borrow(grow=True) as two, replicas.borrow(grow=True) as three:
        assert one == "first"
        assert [two, three] == opened
        with replicas.borrow(grow=True) as four:
            assert four == "first"
    with replicas.borrow(grow=True) as one, replicas.borrow(grow=True) as two:
        assert one is not two
    assert len(opened) == 2


def test_all_share_the_first_where_none_may_be_opened() -> None:
    replicas, opened = make(3)
    with replicas.borrow(grow=False) as one, replicas.borrow(grow=False) as two:
        assert one == two == "first"
    assert not opened


def test_more_threads_than_sessions_share_them_evenly() -> None:
    replicas, opened = make(3)
    with ExitStack() as stack:
        lent = [stack.enter_context(replicas.borrow(grow=True)) for _ in range(9)]
    assert Counter(map(id, lent)) == dict.fromkeys(map(id, ["first", *opened]), 3)
    with ExitStack() as stack:
        again = [stack.enter_context(replicas.borrow(grow=False)) for _ in range(3)]
    assert len({id(each) for each in again}) == 3


def test_there_are_never_too_many() -> None:
    replicas, opened = make(100)
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(replicas.borrow(grow=True))
    assert len(opened) == MOST - 1


def test_one_is_given_back_after_an_error() -> None:
    replicas, opened = make(2)
    with pytest.raises(KeyError), replicas.borrow(grow=True), replicas.borrow(grow=True):
        raise KeyError
    with replicas.borrow(grow=False) as one, replicas.borrow(grow=False) as two:
        assert {one, two} == {"first", *opened}


def test_what_cannot_be_opened_is_not_tried_again() -> None:
    replicas, opened = make(5, fails=True)
    for _ in range(3):
        with replicas.borrow(grow=True) as one, replicas.borrow(grow=True) as two:
            assert one == two == "first"
    assert len(opened) == 1


def watch(rewriter: Rewriter, monkeypatch: pytest.MonkeyPatch) -> dict[int, set[int]]:
    """Return a dictionary that fills with the decoders that each thread uses; two threads work side by side."""
    used: dict[int, set[int]] = {}
    rewrite, both = rewriter._sessions._rewrite, threading.Barrier(2)

    def watched(pair: tuple[InferenceSession, InferenceSession], *rest: Any) -> Any:
        both.wait(timeout=20)
        used.setdefault(threading.get_ident(), set()).add(id(pair[1]))
        return rewrite(pair, *rest)

    monkeypatch.setattr(rewriter._sessions, "_rewrite", watched)
    return used


def test_threads_with_much_to_do_have_sessions_of_their_own(
    pristine_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_SETTLED", 8)
    rewriter = Rewriter.load(pristine_model, device="cpu", threads=2)
    wanted = list(Rewriter.load(pristine_model, device="cpu", threads=1).transfer(LINES, "negative"))
    used = watch(rewriter, monkeypatch)
    assert list(rewriter.transfer(LINES[:40], "negative", batch_size=20)) == wanted[:40]
    assert len(set.union(*used.values())) == 1  # two batches are not worth it
    used.clear()
    assert list(rewriter.transfer(LINES, "negative", batch_size=20)) == wanted
    assert len(set.union(*used.values())) == 2


def test_a_model_that_is_replaced_meanwhile_goes_on_as_it_is(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_SETTLED", 3)
    rewriter = Rewriter.load(small_model, device="cpu", threads=2)
    wanted = list(rewriter.transfer(LINES[:20], "negative", batch_size=20))
    ExportLayout(small_model).decoder("negative").write_bytes(b"another one")
    used = watch(rewriter, monkeypatch)
    assert list(rewriter.transfer(LINES[:20] * 4, "negative", batch_size=20)) == wanted * 4
    assert len(set.union(*used.values())) == 1
