"""No process of this package looks up a host, connects to one, or writes into the home folder."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from arae_transfer.bench.serving import running_server

# Long enough for onnxruntime's telemetry, where it is on, to write its device id and its database of events.
STAYING = """
import os, sys, time
import arae_transfer
rewriter = arae_transfer.load(sys.argv[1])
print(*rewriter.transfer(["the food was cold"], to="positive"))
if "concurrent" in sys.argv:
    from multiprocessing import get_context
    with get_context("spawn").Pool(1) as pool:
        print(pool.apply(os.getenv, ["ORT_DISABLE_TELEMETRY"]))
time.sleep(1)
"""
RECIPE = """
description = "Two steps."

[tokenizer]
vocabulary_size = 300

[model]
code_size = 8
embedding_size = 8
hidden_size = 8

[training]
sentences = 8
batch_size = 2

[validation]
sentences = 2
probes = 1
"""
# The library is loaded before the package can turn its telemetry off.
TELEMETRY_ON = """
import pathlib, sys, time
import onnxruntime
deadline = time.monotonic() + 10
while not any(path.is_file() for path in pathlib.Path.home().rglob("*")) and time.monotonic() < deadline:
    time.sleep(0.05)
"""
# onnxruntime keeps its telemetry off where one of these is set, so that files could not appear on such a machine.
BUILD_MACHINE = (
    *("APPVEYOR", "BITBUCKET_BUILD_NUMBER", "BUILDKITE", "CI", "CIRCLECI", "CODEBUILD_BUILD_ID", "GITHUB_ACTIONS"),
    *("GITLAB_CI", "JENKINS_URL", "TEAMCITY_VERSION", "TF_BUILD", "TRAVIS"),
)


def _environment(home: Path) -> dict[str, str]:
    """Return an environment with an empty home, as a user's shell has it."""
    hidden = ("XDG_", "ORT_", "ARAE_")
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(hidden) and name not in BUILD_MACHINE
    }
    return {**own, "HOME": str(home), "USERPROFILE": str(home), "LOCALAPPDATA": str(home)}


def _run(
    arguments: Sequence[str], home: Path, line: str = "the food was cold\n", **more: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        input=line,
        capture_output=True,
        text=True,
        env={**_environment(home), **more},
        cwd=home.parent,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def _arae(*arguments: str) -> list[str]:
    return ["-m", "arae_transfer", *arguments]


def _files(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="the place of the files is that of Linux")
def test_telemetry_leaves_files_where_nothing_turns_it_off(home: Path) -> None:
    """What the other tests look for is really there when it is not prevented."""
    import onnxruntime

    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 31):
        pytest.skip("this onnxruntime has no telemetry")
    _run(["-c", TELEMETRY_ON], home)
    if not _files(home):
        pytest.skip("onnxruntime writes no files on this machine, so that the other tests have nothing to find")
    assert any("onnxruntime" in name for name in _files(home))


def test_a_program_that_keeps_a_model_open_writes_nothing(pristine_model: Path, home: Path) -> None:
    done = _run(["-c", STAYING, str(pristine_model)], home)
    assert done.stdout == "the food was cold\n"
    assert done.stderr == ""
    assert _files(home) == []


def test_worker_processes_inherit_the_switch(pristine_model: Path, home: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("if __name__ == '__main__':\n" + re.sub("^", "    ", STAYING, flags=re.MULTILINE), "utf-8")
    done = _run([str(script), str(pristine_model), "concurrent"], home)
    assert done.stdout.splitlines()[-1] == "1"
    assert _files(home) == []


def test_a_server_writes_nothing(pristine_model: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(os.environ) - set(_environment(home)):
        monkeypatch.delenv(name)
    for name, value in _environment(home).items():
        monkeypatch.setenv(name, value)
    with running_server(["--model", str(pristine_model)]) as (_, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        asked = json.dumps({"text": "the food was cold", "to": "positive"})
        connection.request("POST", "/v1/rewrite", asked, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200
        connection.close()
        time.sleep(1)
    assert _files(home) == []


def test_a_choice_of_the_user_is_kept(home: Path) -> None:
    script = "import os, arae_transfer; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert _run(["-c", script], home, ORT_DISABLE_TELEMETRY="0").stdout == "0\n"
    assert _run(["-c", script], home, ORT_DISABLE_TELEMETRY="").stdout == "1\n"


def test_without_a_home_nothing_is_said(pristine_model: Path, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere" / "home"
    missing.parent.mkdir()
    done = _run(["-c", STAYING, str(pristine_model)], missing, XDG_CACHE_HOME="/proc/nowhere")
    assert done.stderr == ""


def _leaves(call: str) -> bool:
    """Say whether a traced call looks up a host or reaches for another machine."""
    looks_up = "/etc/resolv.conf" in call or "/etc/hosts" in call
    sends = re.search(r"\b(connect|sendto|sendmsg|sendmmsg)\(", call) is not None and "sa_family=AF_INET" in call
    return looks_up or sends


def _start_traced(arguments: Sequence[str], home: Path, trace: Path) -> subprocess.Popen[str]:
    strace = shutil.which("strace")
    assert strace is not None
    return subprocess.Popen(
        [strace, "-f", "--seccomp-bpf", "-o", str(trace), "-e", "trace=network,openat", sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(home),
        cwd=home.parent,
    )


def _finish(process: subprocess.Popen[str], line: str = "") -> None:
    _, said = process.communicate(line, timeout=300)
    assert process.returncode == 0, said


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace counts the look-ups")
def test_commands_look_up_no_host_and_write_nothing(home: Path, tmp_path: Path) -> None:
    assert _leaves('1 connect(7, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.1")}, 16) = 0')
    # Telemetry looks up its host nine seconds after the library was loaded.
    staying = _start_traced(_arae("transfer", "--to", "positive"), home, tmp_path / "transfer.trace")
    started = time.monotonic()
    for label in ("good", "bad"):
        lines = [f"the {thing} was {label} .\n" for thing in ("food", "soup", "place", "waiter", "table")]
        (tmp_path / f"{label}.txt").write_text("".join(lines) * 4, "utf-8")
    (tmp_path / "page.md").write_text("# Food\n\nThe *soup* was cold.\n", "utf-8")
    (tmp_path / "table.csv").write_text("text\nthe food was cold\n", "utf-8")
    (tmp_path / "tiny.toml").write_text(RECIPE, "utf-8")
    data = ["--data", "good=good.txt", "--data", "bad=bad.txt"]
    others = {
        "classify": _arae("classify"),
        "sample": _arae("sample", "-n", "2", "--to", "positive", "--model", "yelp-sentiment"),
        "document": _arae("transfer", "--to", "positive", "page.md", "-o", "page.out.md"),
        "parts": _arae("transfer", "--to", "positive", "table.csv", "-o", "parts/", "--workers", "2", "--quiet"),
        "train": _arae("train", "tiny.toml", *data, "--name", "first", "--device", "cpu", "--quiet"),
    }
    for name, arguments in others.items():
        _finish(_start_traced(arguments, home, tmp_path / f"{name}.trace"), "the food was cold .\n")
    assert list((tmp_path / "runs").glob("*/first/latest.json"))
    assert (tmp_path / "page.out.md").is_file()
    assert list((tmp_path / "parts").glob("*.csv"))
    time.sleep(max(0.0, started + 12 - time.monotonic()))
    _finish(staying, "the food was cold .\n")
    for name in ("transfer", *others):
        calls = (tmp_path / f"{name}.trace").read_text("utf-8", "replace").splitlines()
        assert [call for call in calls if _leaves(call)] == [], name
    assert _files(home) == []
