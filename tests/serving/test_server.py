"""The process: its address, its signals, its end, its keys, and what it says."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from arae_transfer.bench.serving import request_bytes, running_server
from arae_transfer.cli import app
from arae_transfer.errors import AraeError
from arae_transfer.serving.keys import Keys, hash_key, make_key
from arae_transfer.serving.limits import Limits

ROOT = Path(__file__).resolve().parents[2]
KEY = "correct-horse-battery-staple"
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    content = None if body is None else json.dumps(body).encode()
    connection.request(method, path, content, {"Content-Type": "application/json"})
    response = connection.getresponse()
    found = response.status, json.loads(response.read())
    connection.close()
    return found


@posix
def test_sigterm_finishes_what_was_accepted_refuses_the_rest_and_ends_with_0(pristine_model: Path) -> None:
    lines = ["the food was cold"] * 400
    wanted = [{"text": lines, "to": "negative", "form": "corpus"}] * 6
    with running_server(["--model", str(pristine_model), "--max-batch-lines", "1", "--max-texts", "500"]) as (
        process,
        port,
    ):

        async def press() -> tuple[list[int], int]:
            pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in wanted]
            late_reader, late_writer = await asyncio.open_connection("127.0.0.1", port)
            for (_, writer), body in zip(pairs, wanted, strict=True):
                writer.write(request_bytes("/v1/rewrite", body))
                await writer.drain()
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            late_writer.write(request_bytes("/v1/rewrite", {"text": "late", "to": "positive"}))
            late = await late_reader.readuntil(b"\r\n")
            numbers = []
            for reader, _ in pairs:
                head = await reader.readuntil(b"\r\n\r\n")
                assert b" 200 " in head
                length = int(re.findall(rb"content-length: (\d+)", head)[0])
                numbers.append(len(json.loads(await reader.readexactly(length))["results"]))
            return numbers, int(late.split()[1])

        numbers, late = asyncio.run(press())
        assert process.wait(60) == 0
    assert numbers == [400] * 6
    assert late == 503


@posix
@pytest.mark.parametrize(("second", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_stops_at_once(pristine_model: Path, second: signal.Signals, status: int) -> None:
    arguments = ["--model", str(pristine_model), "--max-batch-lines", "1", "--max-lines", "4000"]
    with running_server(arguments) as (process, port), socket.create_connection(("127.0.0.1", port), timeout=60) as one:
        body = {"text": "\n".join(["good"] * 2000), "to": "positive", "form": "corpus"}
        one.sendall(request_bytes("/v1/rewrite", body))
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert process.poll() is None, "there was too little to do"
        started = time.monotonic()
        process.send_signal(second)
        assert process.wait(60) == status
        assert time.monotonic() - started < 5


@posix
def test_a_grace_that_does_not_suffice_is_said(pristine_model: Path) -> None:
    arguments = ["--model", str(pristine_model), "--max-batch-lines", "1", "--grace", "0.2", "--max-lines", "4000"]
    with running_server(arguments) as (process, port), socket.create_connection(("127.0.0.1", port), timeout=60) as one:
        body = {"text": "\n".join(["good"] * 2000), "to": "positive", "form": "corpus"}
        one.sendall(request_bytes("/v1/rewrite", body))
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        answer = b""
        while block := one.recv(65536):
            answer += block
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"urn:arae:problem:stopped" in answer
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "1 accepted requests did not finish" in said
        assert "--grace" in said


@posix
def test_ctrl_c_ends_it_as_it_ends_every_command(pristine_model: Path) -> None:
    with running_server(["--model", str(pristine_model)]) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


@posix
def test_a_stream_is_finished_too(pristine_model: Path) -> None:
    with running_server(["--model", str(pristine_model), "--max-batch-lines", "1"]) as (process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        body = {"text": "\n".join(["the food was cold"] * 200), "to": "positive"}
        headers = {"Content-Type": "application/json", "Accept": "application/x-ndjson"}
        connection.request("POST", "/v1/rewrite", json.dumps(body), headers)
        response = connection.getresponse()
        first = json.loads(response.readline())
        process.send_signal(signal.SIGTERM)
        rest = [json.loads(line) for line in response.read().splitlines()]
        assert process.wait(60) == 0
    assert (first["index"], len(rest)) == (0, 200)
    assert rest[-1] == {"done": {"texts": 1, "parts": 200, "repaired": 0}}


def test_an_address_that_is_taken_is_said_in_two_lines(pristine_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--model", str(pristine_model), "--port", str(port)])
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert f"cannot listen on http://127.0.0.1:{port}: " in first
    assert "--port 0" in second


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "no such host"], "there is no address"),
        (["--max-queue", "5"], "has no room for a request of 1024"),
        (["--cors-origin", "*"], "not the origin"),
        (["--cors-origin", "https://a.example/path"], "not the origin"),
        (["--api-key-file", "/none"], "cannot read /none"),
        (["--check-to", "bad"], "no class 'bad'"),
        (["--device", "tpu"], "unknown device"),
    ],
)
def test_what_cannot_be_served_is_said_before_it_is(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["serve", "--port", "0", *arguments])
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_a_model_of_the_same_name_twice_is_refused(pristine_model: Path) -> None:
    result = CliRunner().invoke(app, ["serve", "--port", "0", *["--model", str(pristine_model)] * 2])
    assert (result.exit_code, "the same name" in result.stderr) == (1, True)


def test_a_damaged_model_ends_the_server_with_what_is_wrong(small_model: Path) -> None:
    (small_model / "encoder.onnx").write_bytes(b"nothing")
    command = [sys.executable, "-m", "arae_transfer", "serve", "--port", "0", "--model", str(small_model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "encoder.onnx is damaged" in done.stderr
    assert "Traceback" not in done.stderr


@posix
def test_the_log_holds_no_text_key_or_address(pristine_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of a test\n\n{hash_key(KEY)} somebody\n")
    arguments = ["--model", str(pristine_model), "--verbose", "--api-key-file", str(file)]
    with running_server(arguments) as (process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        for path, body in (
            ("/v1/rewrite", {"text": "zanzibar", "to": "positive"}),
            ("/v1/rewrite", {"text": "zanzibar", "to": "zanzibar"}),
            ("/v1/rewrite", {"zanzibar": "zanzibar"}),
            ("/v1/interpolate", {"first": "zanzibar " * 90, "second": "zanzibar"}),
            ("/zanzibar?zanzibar=1", {}),
        ):
            connection.request("POST", path, json.dumps(body), headers)
            connection.getresponse().read()
        connection.close()
        with socket.create_connection(("127.0.0.1", port)) as broken:
            broken.sendall(b"zanzibar\r\n\r\n")
            assert broken.recv(100).startswith(b"HTTP/1.1 400")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "POST /v1/rewrite 200" in said
    assert "POST /v1/interpolate 422" in said
    for secret in ("zanzibar", KEY, hash_key(KEY), "127.0.0.1"):
        assert secret not in said


def test_a_bug_is_answered_and_logged_without_the_text(small: Any, monkeypatch: Any, caplog: Any) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("zanzibar")

    monkeypatch.setattr("arae_transfer.serving.api.joined", fail)
    answer = small.post("/v1/rewrite", {"text": "a", "to": "positive"})
    assert (answer.status, answer.json["type"]) == (500, "urn:arae:problem:bug")
    deadline = time.monotonic() + 10
    while "RuntimeError in POST /v1/rewrite" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)  # another thread writes the log, perhaps after the answer
    assert "RuntimeError in POST /v1/rewrite" in caplog.text
    assert "zanzibar" not in caplog.text.replace('raise RuntimeError("zanzibar")', "")


def test_ready_only_when_a_line_was_rewritten_and_not_while_stopping(small: Any, monkeypatch: Any) -> None:
    assert small.get("/health/ready").status == 200
    monkeypatch.setattr(small.service, "ready", False)
    starting = small.get("/health/ready")
    assert (starting.status, starting.json["type"]) == (503, "urn:arae:problem:starting")
    monkeypatch.setattr(small.service, "ready", True)
    monkeypatch.setattr(small.service.batcher, "_draining", True)
    stopping = small.get("/health/ready")
    assert (stopping.status, stopping.json["type"]) == (503, "urn:arae:problem:draining")
    assert small.get("/health/live").status == 200


def test_too_many_requests_at_once_are_refused_politely(pristine_model: Path, serve: Any) -> None:
    with (
        serve(pristine_model, limits=Limits(connections=1, body_seconds=5)) as client,
        socket.create_connection(("127.0.0.1", client.port), timeout=20) as slow,
    ):
        head = "POST /v1/rewrite HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        slow.sendall(head.encode())
        time.sleep(0.3)
        refused = client.get("/info")
        assert client.get("/health/live").status == client.get("/metrics").status == 200
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.json["type"] == "urn:arae:problem:too-many-requests"


def test_a_key_is_hashed_and_then_lets_in(tmp_path: Path) -> None:
    typed = CliRunner().invoke(app, ["serve", "--hash-api-key"], input=f"{KEY}\n")
    assert typed.exit_code == 0
    assert typed.stdout == f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}\n"
    assert KEY not in typed.output
    made = CliRunner().invoke(app, ["serve", "--hash-api-key"], input="\n")
    random = made.stderr.split()[-1]
    file = tmp_path / "keys"
    file.write_text(typed.stdout + made.stdout)
    keys = Keys.read(file)
    assert keys.admit(KEY)
    assert keys.admit(random)
    assert not keys.admit(KEY + "x")
    assert not keys.admit("")
    assert not keys.admit(None)


@pytest.mark.parametrize("typed", ["short", "a key with blanks in it is none", "schlüssel-schlüssel-schlüssel"])
def test_keys_that_can_be_guessed_or_not_sent_are_refused(typed: str) -> None:
    with pytest.raises(AraeError):
        make_key(typed)


@pytest.mark.parametrize("content", ["", "# nobody\n", KEY, "sha256:12", "md5:" + "a" * 64])
def test_a_file_without_hashes_is_refused_and_not_shown(content: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(AraeError) as refused:
        Keys.read(file)
    assert KEY not in str(refused.value)
    assert "--hash-api-key" in str(refused.value)


@posix
def test_nothing_is_lost_under_load_hang_ups_and_a_stop(pristine_model: Path) -> None:
    script = ROOT / "tests" / "benchmarks" / "serving.py"
    command = [sys.executable, str(script), "--requests", "1200", "--model", str(pristine_model), "--to", "negative"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_the_extra_it_says_what_to_type(monkeypatch: Any) -> None:
    monkeypatch.setattr("arae_transfer.cli.extras.find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 1
    assert "pip install 'arae-transfer[serve]'" in result.stderr
