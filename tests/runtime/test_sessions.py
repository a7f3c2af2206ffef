"""Devices that work or say why, and graphs that are opened from checked files only."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from functools import partial
from pathlib import Path

import onnxruntime
import pytest

from arae_transfer.errors import AraeError
from arae_transfer.layout import ExportLayout
from arae_transfer.runtime import device, sessions
from arae_transfer.runtime.device import CPU, choose_device, default_threads
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.runtime.sessions import Sessions
from arae_transfer.runtime.threads import run_in_parallel

HAS_CUDA = "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.mark.parametrize("wish", ["gpu", "", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "auto:1", "CUDA"])
def test_an_unknown_device_is_refused(wish: str) -> None:
    with pytest.raises(AraeError, match="device"):
        choose_device(wish)


def test_the_processor_needs_no_reason() -> None:
    assert choose_device("cpu") == (CPU, None)


def test_without_a_gpu_auto_is_the_processor_and_says_nothing(
    pristine_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "gpu_visible", lambda: False)
    rewriter = Rewriter.load(pristine_model)
    rewriter.prepare("positive")
    assert (rewriter.device, rewriter.fallback) == (CPU, None)


@pytest.mark.skipif(device.gpu_visible(), reason="there is a GPU")
def test_auto_falls_back_from_an_unusable_gpu_and_says_so(
    pristine_model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(device, "gpu_visible", lambda: True)
    rewriter = Rewriter.load(pristine_model)
    assert list(rewriter.transfer(["the food"], "positive")) == ["the food"]
    assert rewriter.device == CPU
    assert rewriter.fallback is not None and "there is a GPU" in rewriter.fallback
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(device.gpu_visible(), reason="there is a GPU")
def test_cuda_works_or_fails_with_a_remedy_and_no_noise(
    pristine_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AraeError, match=r"CUDA|cuda") as caught:
        Rewriter.load(pristine_model, device="cuda").prepare("positive")
    assert "--device cpu" in (caught.value.hint or "")
    assert capfd.readouterr() == ("", "")


@pytest.mark.gpu
@pytest.mark.skipif(not (device.gpu_visible() and HAS_CUDA), reason="no GPU that onnxruntime can use")
def test_cuda_gives_the_answers_of_the_processor(pristine_model: Path) -> None:
    lines = ["the food was cold", "", "great place , i will come back !"] * 50
    on_gpu = Rewriter.load(pristine_model, device="cuda")
    on_cpu = Rewriter.load(pristine_model, device="cpu")
    assert list(on_gpu.transfer(lines, "neutral")) == list(on_cpu.transfer(lines, "neutral"))
    assert on_gpu.device.kind == "cuda"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this platform has no affinity")
def test_the_threads_are_those_that_the_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert default_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert default_threads() == len(allowed)


def test_no_threads_are_refused(pristine_model: Path) -> None:
    with pytest.raises(AraeError, match="0 threads"):
        Sessions(ModelFolder.read(pristine_model), "cpu", 0)


def test_tasks_run_side_by_side_and_answer_in_order() -> None:
    both = threading.Barrier(2)

    def work(number: int) -> int:
        both.wait(timeout=10)  # raises when the two are not there together
        return number

    assert run_in_parallel([partial(work, number) for number in range(6)], 2) == list(range(6))


def test_after_a_failed_task_no_further_one_is_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 2:
            raise AraeError("no memory")

    with pytest.raises(AraeError, match="no memory"):
        run_in_parallel([partial(work, number) for number in range(5)], 1)
    assert begun == [0, 1, 2]


def test_batches_share_the_threads(pristine_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewriter = Rewriter.load(pristine_model, device="cpu", threads=2)
    run, both, sizes = rewriter._sessions.run, threading.Barrier(2), []

    def watched(tokens: sessions.Int64, lengths: sessions.Int64, to: str, longest: int) -> sessions.Int64:
        both.wait(timeout=10)
        sizes.append(len(tokens))
        return run(tokens, lengths, to, longest)

    monkeypatch.setattr(rewriter._sessions, "run", watched)
    lines = ["the food was cold", "great place !"] * 10
    assert len(list(rewriter.transfer(lines, "positive"))) == 20
    assert sizes == [10, 10]
    encoder, decoder = rewriter._sessions.open("positive")
    assert [each.get_session_options().intra_op_num_threads for each in (encoder, decoder)] == [1, 1]


def _replace(root: Path, name: str, content: bytes) -> None:
    """Replace a file of a model, description and all, as if it had been exported so."""
    (root / name).write_bytes(content)
    path = ExportLayout(root).config
    config = json.loads(path.read_text())
    config["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.positive.onnx"])
@pytest.mark.parametrize("content", [b"", b"not a graph", bytes(1000)], ids=["empty", "text", "zeros"])
def test_a_file_that_is_no_graph_is_an_error(
    small_model: Path, name: str, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    _replace(small_model, name, content)
    with pytest.raises(AraeError, match=f"cannot open .*{name}"):
        Rewriter.load(small_model, device="cpu").prepare("positive")
    assert capfd.readouterr() == ("", "")


def test_a_tokenizer_that_is_none_is_an_error(small_model: Path) -> None:
    _replace(small_model, "tokenizer.model", b"\x00nonsense")
    with pytest.raises(AraeError, match=r"tokenizer\.model"):
        Rewriter.load(small_model, device="cpu")


def test_a_graph_with_other_inputs_is_an_error(small_model: Path) -> None:
    _replace(small_model, "decoder.positive.onnx", (small_model / "encoder.onnx").read_bytes())
    with pytest.raises(AraeError, match="onnxruntime failed"):
        list(Rewriter.load(small_model, device="cpu").transfer(["the food"], "positive"))


def test_a_model_of_one_variant_refuses_the_other(pristine_model: Path) -> None:
    assert Rewriter.load(pristine_model, device="cpu").variant == "fp32"
    with pytest.raises(AraeError, match="has no int8 variant"):
        Rewriter.load(pristine_model, device="cpu", variant="int8")
    with pytest.raises(AraeError, match="unknown variant 'int4'"):
        Rewriter.load(pristine_model, variant="int4")
