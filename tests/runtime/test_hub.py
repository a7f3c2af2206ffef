"""Models on the Hub, against a small server that answers as the Hub does; no other network is used."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote
from urllib.request import Request, urlopen

import pytest

from arae_transfer.errors import AraeError
from arae_transfer.folders import hub_address
from arae_transfer.runtime.hub import HubAddress

pytest.importorskip("huggingface_hub", reason="huggingface-hub is not installed")

ADDRESS = "hf://somebody/small"
LINE = "the food was cold"


class Hub:
    """The repositories of the server, and what was asked for.

    Attributes:
        files: The content of each file by commit.
        branches: The commit of each branch or tag.
        requests: The method and path of each request.
        down: Whether every answer is a refusal.
    """

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.requests: list[str] = []
        self.down = False

    def publish(self, folder: Path, branch: str = "main") -> str:
        """Put a folder up as the newest commit of a branch."""
        commit = hashlib.sha1(f"{branch} {len(self.files)}".encode()).hexdigest()
        self.files[commit] = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.branches[branch] = commit
        return commit

    @property
    def downloaded(self) -> set[str]:
        """Return the names of the files that were sent."""
        return {unquote(each.rpartition("/")[2]) for each in self.requests if each.startswith("GET ")}

    def find(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return the status, headers and body of an answer."""
        parts = unquote(path.partition("?")[0]).strip("/").split("/")
        if self.down:
            return 403, {}, b""  # the client tries others again for half a minute
        if len(parts) != 5 or parts[:3] != ["somebody", "small", "resolve"]:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        commit = self.branches.get(parts[3], parts[3])
        if commit not in self.files:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        content = self.files[commit].get(parts[4])
        if content is None:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
        digest = hashlib.sha1(content).hexdigest()
        return 200, {"X-Repo-Commit": commit, "ETag": f'"{digest}"'}, content


@pytest.fixture
def hub() -> Iterator[tuple[Hub, str]]:
    """Serve a hub, and return it with its address."""
    served = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            served.requests.append(f"{self.command} {self.path}")
            status, headers, body = served.find(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_GET = do_HEAD = _answer

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield served, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def settings(hub: tuple[Hub, str], tmp_path: Path) -> dict[str, str]:
    """Return the environment in which this hub is the Hub, with a cache of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "ARAE_"))}
    return inherited | {"HF_ENDPOINT": hub[1], "HF_HOME": str(tmp_path / "hf")}


@pytest.fixture
def arae(settings: dict[str, str], tmp_path: Path) -> Run:
    """Return a function that runs `arae` in a process of its own, where this hub is the Hub."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "arae_transfer", *arguments],
            input=f"{LINE}\n",
            capture_output=True,
            text=True,
            env=settings | environment,
            cwd=tmp_path,
            timeout=120,
            check=False,
        )

    return run


def transfer(arae: Run, to: str = "positive", address: str = ADDRESS, **environment: str) -> tuple[str, str]:
    done = arae("transfer", "--model", address, "--to", to, "--device", "cpu", **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_a_model_is_downloaded_once_and_then_used_without_the_network(
    hub: tuple[Hub, str], arae: Run, small_model: Path, expected_rewrite: Callable[[str, str], str]
) -> None:
    (small_model / "LICENSE").write_text("terms", "utf-8")
    (small_model / "unrelated.bin").write_bytes(b"x" * 1000)
    commit = hub[0].publish(small_model)
    answer, messages = transfer(arae)
    assert answer == f"{LINE}\n"
    assert "downloading 6 files" in messages
    assert f"{ADDRESS}@{commit}" in messages
    # Of every class, so that another one needs no network later; of the rest, what tells the terms.
    assert hub[0].downloaded == {path.name for path in small_model.iterdir()} - {"unrelated.bin", "README.md"}

    hub[0].requests.clear()
    hub[0].down = True
    answer, messages = transfer(arae, "negative")
    assert answer == f"{expected_rewrite(LINE, 'negative')}\n"
    assert messages == ""
    assert hub[0].requests == []
    assert transfer(arae, "negative", HF_HUB_OFFLINE="1")[0] == answer


def test_only_the_files_of_the_wished_arithmetic_are_downloaded(
    hub: tuple[Hub, str], arae: Run, small_model: Path
) -> None:
    path = small_model / "config.json"
    config = json.loads(path.read_bytes())
    names = [config["encoder"], *config["decoders"].values()]
    for name in names:
        content = (small_model / name).read_bytes() + b"\x32\x04int8"  # a remark, in the protocol of such files
        (small_model / f"int8.{name}").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        config["files"][f"int8.{name}"] = {"sha256": digest, "bytes": len(content)}
    decoders = {label: f"int8.{name}" for label, name in config["decoders"].items()}
    config["variants"] = {"int8": {"encoder": f"int8.{config['encoder']}", "decoders": decoders, "accepted": True}}
    path.write_text(json.dumps(config), "utf-8")
    hub[0].publish(small_model)
    transfer(arae)
    assert hub[0].downloaded == {"config.json", config["tokenizer"], *(f"int8.{name}" for name in names)}
    hub[0].requests.clear()
    done = arae("transfer", "--model", ADDRESS, "--to", "positive", "--variant", "fp32")
    assert (done.returncode, done.stdout) == (0, f"{LINE}\n")
    assert hub[0].downloaded == set(names)
    listed = arae("transfer", "--model", f"{ADDRESS}@main", "--list-classes")
    assert listed.stdout.split("\n")[0] == "positive"


def test_a_revision_is_a_commit_a_branch_or_a_tag(hub: tuple[Hub, str], arae: Run, small_model: Path) -> None:
    first = hub[0].publish(small_model, "v1")
    (small_model / "config.json").write_text("{}", "utf-8")
    hub[0].publish(small_model)
    for revision in ("v1", first):
        assert transfer(arae, address=f"{ADDRESS}@{revision}")[0] == f"{LINE}\n"
    done = arae("transfer", "--model", ADDRESS, "--to", "positive")
    assert done.returncode == 1
    assert "is not the description of an exported model" in done.stderr


def test_the_variable_names_a_model_on_the_hub_too(hub: tuple[Hub, str], arae: Run, small_model: Path) -> None:
    hub[0].publish(small_model)
    done = arae("transfer", "--to", "positive", "--quiet", ARAE_MODEL=ADDRESS)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{LINE}\n", "")
    # Completion works in the middle of a line: it must never wait for a network.
    hub[0].requests.clear()
    words = {"_ARAE_COMPLETE": "complete_bash", "COMP_WORDS": "arae transfer --to ne", "COMP_CWORD": "3"}
    done = arae(ARAE_MODEL=f"{ADDRESS}@other", **words)
    assert done.stdout.strip() == ""
    assert hub[0].requests == []


def test_a_server_finds_its_model_once(
    hub: tuple[Hub, str], settings: dict[str, str], small_model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    commit = hub[0].publish(small_model)
    command = [sys.executable, "-m", "arae_transfer", "serve", "--model", ADDRESS, "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=settings) as process:
        try:
            assert process.stderr is not None
            said: list[str] = []
            while not said or "ready" not in said[-1]:
                said.append(process.stderr.readline())
                assert said[-1], said
            assert f"{ADDRESS}@{commit}" in said[0]  # downloaded before it listens
            served = re.search(r"http://\S+?:\d+", said[1])
            assert served is not None
            hub[0].down = True
            body = json.dumps({"text": LINE, "to": "positive"}).encode()
            request = Request(f"{served[0]}/v1/rewrite", body, {"Content-Type": "application/json"})
            with urlopen(request, timeout=60) as response:
                assert LINE in response.read().decode()
        finally:
            process.terminate()
            process.wait(60)
    downloads = [each for each in hub[0].requests if each.startswith("GET ")]
    assert sorted(downloads) == sorted(set(downloads))
    assert [each for each in downloads if each.endswith("config.json")]


def test_workers_find_what_was_downloaded_before_them(
    hub: tuple[Hub, str], arae: Run, small_model: Path, tmp_path: Path
) -> None:
    (small_model / "LICENSE").write_text("terms", "utf-8")
    commit = hub[0].publish(small_model)
    rows = "".join(json.dumps({"text": f"{LINE} {number}"}) + "\n" for number in range(4))
    (tmp_path / "rows.jsonl").write_text(rows, "utf-8")
    done = arae(
        *("transfer", "rows.jsonl", "--column", "text", "-o", "out/", "--rows-per-part", "1", "--workers", "2"),
        *("--model", f"{ADDRESS}@main", "--to", "positive", "--device", "cpu"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("downloading") == 1
    assert f"{ADDRESS}@{commit}" in done.stderr
    written = [json.loads(line) for path in sorted((tmp_path / "out").glob("part-*.jsonl")) for line in path.open()]
    assert [each["rewrite"] for each in written] == [f"{LINE} {number}" for number in range(4)]


def test_a_file_that_is_not_the_exported_one_is_refused(hub: tuple[Hub, str], arae: Run, small_model: Path) -> None:
    commit = hub[0].publish(small_model)
    good = hub[0].files[commit]["encoder.onnx"]
    hub[0].files[commit]["encoder.onnx"] = good[:-1] + bytes([good[-1] ^ 1])
    done = arae("transfer", "--model", ADDRESS, "--to", "positive")
    assert done.returncode == 1
    assert f"encoder.onnx of {ADDRESS}@{commit} is not the file that was exported" in done.stderr
    hub[0].files[commit]["encoder.onnx"] = good  # what was wrong is not kept
    assert transfer(arae)[0] == f"{LINE}\n"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://somebody", "is no address of a model on the Hub"),
        ("hf://somebody/small/encoder.onnx", "is no address of a model on the Hub"),
        ("hf://somebody/small@", "is no address of a model on the Hub"),
        ("hf://somebody/-bad-", "is no address of a model on the Hub"),
        ("hf://somebody/other", "the Hub has no model somebody/other"),
        ("hf://somebody/small@v9", "somebody/small has no revision 'v9'"),
        ("hf://somebody/small@empty", "has no config.json"),
    ],
)
def test_what_is_not_there_is_said(
    address: str, message: str, hub: tuple[Hub, str], arae: Run, small_model: Path, tmp_path: Path
) -> None:
    hub[0].publish(small_model)
    (tmp_path / "empty").mkdir()
    hub[0].publish(tmp_path / "empty", "empty")
    done = arae("transfer", "--model", address, "--to", "positive")
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.count("\n") <= 2


def test_offline_nothing_is_asked_and_the_remedy_is_named(hub: tuple[Hub, str], arae: Run, small_model: Path) -> None:
    hub[0].publish(small_model)
    done = arae("transfer", "--model", ADDRESS, "--to", "positive", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "HF_HUB_OFFLINE forbids the network" in done.stderr
    assert "hf download somebody/small" in done.stderr
    assert hub[0].requests == []


def test_a_hub_that_fails_is_one_message(hub: tuple[Hub, str], arae: Run) -> None:
    hub[0].down = True
    done = arae("transfer", "--model", ADDRESS, "--to", "positive")
    assert done.returncode == 1
    assert f"cannot download config.json of {ADDRESS}" in done.stderr
    assert "--local-dir X" in done.stderr
    assert done.stderr.count("\n") == 2


def test_without_the_client_the_remedy_is_named(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['huggingface_hub'] = None; from arae_transfer.cli.main import main; "
        f"sys.argv = ['arae', 'transfer', '--model', '{ADDRESS}', '--to', 'positive']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, input="", cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "pip install 'arae-transfer[hub]'" in done.stderr
    assert "hf download somebody/small --local-dir X" in done.stderr
    assert "--model X" in done.stderr


def test_only_the_prefix_leads_to_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARAE_MODEL", raising=False)
    assert hub_address("hf://a/b") == "hf://a/b"
    assert [hub_address(wish) for wish in ("a/b", "hf:/a/b", "x/hf://a/b", Path("hf://a/b"), None)] == [None] * 5
    monkeypatch.setenv("ARAE_MODEL", "hf://a/b@c")
    assert hub_address() == "hf://a/b@c"
    assert hub_address("a/b") is None


def test_addresses_are_read_and_written() -> None:
    assert HubAddress.parse("hf://a-b.c/d_e") == HubAddress("a-b.c/d_e")
    assert HubAddress.parse("hf://a/b@refs/pr/1") == HubAddress("a/b", "refs/pr/1")
    assert str(HubAddress("a/b", "v1")) == "hf://a/b@v1"
    with pytest.raises(AraeError):
        HubAddress.parse("hf://a/../b")
