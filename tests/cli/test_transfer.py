"""`arae transfer` as its users meet it: a process with pipes, files, signals and mistakes."""

from __future__ import annotations

import json
import os
import pty
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import pytest
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.layout import ExportLayout

Expected = Callable[[str, str], str]

COMMAND = [sys.executable, "-m", "arae_transfer", "transfer", "--device", "cpu", "--threads", "1"]
LINES = b"the food was cold\n\ngreat place !\n  \nlast"


def _environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARAE_")}
    kept.pop("PYTHONUNBUFFERED", None)  # it would hide answers that are never flushed
    return kept | more


class Done(NamedTuple):
    """How a run ended."""

    returncode: int
    stdout: bytes
    stderr: bytes


class Arae:
    """Runs the command on the small model, in a folder of its own."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.model = model

    def __call__(self, *arguments: str, given: bytes = b"") -> Done:
        """Run the command in this process, which is fast."""
        done = CliRunner().invoke(app, [*COMMAND[3:], *self._model(arguments), *arguments], input=given)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Done(done.exit_code, done.stdout_bytes, done.stderr_bytes)

    def process(
        self,
        *arguments: str,
        given: bytes = b"",
        stdout: int | IO[bytes] = subprocess.PIPE,
        environment: dict[str, str] | None = None,
    ) -> Done:
        """Run the command in a process of its own, which is real."""
        done = subprocess.run(
            [*COMMAND, *self._model(arguments), *arguments],
            input=given,
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=_environment(**environment or {}),
            timeout=60,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def start(self, *arguments: str, **streams: int) -> Iterator[subprocess.Popen[bytes]]:
        """Start a process, leave its streams to the test, and end it after the test whatever happens."""
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        command = [*COMMAND, *self._model(arguments), *arguments]
        with subprocess.Popen(command, cwd=self.folder, env=_environment(), bufsize=0, **streams) as process:  # type: ignore[call-overload]
            try:
                yield process
            finally:
                process.kill()

    def _model(self, arguments: tuple[str, ...]) -> list[str]:
        return [] if "--model" in arguments else ["--model", str(self.model)]


@pytest.fixture
def arae(tmp_path: Path, pristine_model: Path, monkeypatch: pytest.MonkeyPatch) -> Arae:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ARAE_")]:
        monkeypatch.delenv(name)
    return Arae(tmp_path, pristine_model)


def _one_or_two_lines(stderr: bytes) -> str:
    """Return an error message, after seeing that it is one: short, marked, no traceback."""
    text = stderr.decode()
    assert text.startswith("arae: ")
    assert 1 <= text.count("\n") <= 2
    return text


def test_one_line_in_one_line_out(arae: Arae, expected_rewrite: Expected) -> None:
    done = arae.process("--to", "negative", given=LINES)
    answers = done.stdout.decode().split("\n")
    texts = ["the food was cold", "", "great place !", "", "last"]
    assert answers == [expected_rewrite(text, "negative") if text else "" for text in texts] + [""]
    assert (done.returncode, done.stderr) == (0, b"")


def test_no_input_gives_no_output(arae: Arae) -> None:
    done = arae.process("--to", "positive")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_any_bytes_give_as_many_lines(arae: Arae) -> None:
    generator = random.Random(3)
    words = [b"the food", b"\xff\xfe", b"\x00", b"\r", "\u2028".encode(), "\x85".encode(), "💬".encode(), b"\x1b", b" "]
    raw = b"\n".join(b"".join(generator.choices(words, k=generator.randrange(5))) for _ in range(500))
    content = raw + b"\nwords\r\n" + b"x" * 100_000 + b"\nend"
    done = arae.process("--to", "neutral", given=content)
    assert done.returncode == 0
    assert done.stdout.count(b"\n") == content.count(b"\n") + 1
    assert not set(done.stdout.decode().replace("\n", "")) & set("\x00\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")


def test_files_are_read_in_order_and_standard_input_among_them(arae: Arae) -> None:
    (arae.folder / "one").write_bytes(b"great\nplace")
    (arae.folder / "two").write_bytes(b"food\r\n")
    done = arae("--to", "positive", "one", "-", "two", given=b"cold\n")
    assert done.stdout == b"great\nplace\ncold\nfood\n"


def test_batches_and_chunks_change_nothing(arae: Arae) -> None:
    generator = random.Random(4)
    words = ["the", "food", "was", "cold", "", "hungry", "!", "é"]
    text = "\n".join(" ".join(generator.choices(words, k=generator.randrange(30))) for _ in range(300)).encode()
    outputs = {arae("--to", "neutral", "--batch-size", size, given=text).stdout for size in ("1", "7", "64", "9999")}
    assert len(outputs) == 1
    assert outputs.pop().count(b"\n") == 300


def test_changes_are_counted_and_said_once(arae: Arae) -> None:
    long = b"the " * 100 + b"\n"
    done = arae(
        "--to",
        "positive",
        "--long",
        "truncate",
        given=long * 3 + b"the food was cold at the great place caf\xe9 \xff\n" + b"fine\n",
    )
    text = done.stderr.decode()
    assert "3 of 5 lines were truncated to 23 tokens" in text
    assert "1 of 5 lines was repaired" in text
    assert "--encoding names another encoding" in text
    assert text.count("\n") == 2
    assert arae("--to", "positive", "--quiet", given=long).stderr == b""


def test_input_in_another_encoding_is_answered_in_utf8(arae: Arae) -> None:
    done = arae("--to", "positive", "--encoding", "latin-1", given="le café\n".encode("latin-1"))
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, "le café\n", b"")
    refused = arae("--to", "positive", "--encoding", "utf-16")
    assert refused.returncode == 1
    assert "cannot be split into lines" in _one_or_two_lines(refused.stderr)


def test_long_lines_are_rewritten_in_pieces_and_counted(arae: Arae) -> None:
    source = b"the food was cold .  the waiter was rude !\nfine\n"
    done = arae("--to", "positive", "--json", given=source)
    first, second = (json.loads(line) for line in done.stdout.decode().splitlines())
    assert (first["output"], first["pieces"], first["kept"]) == (first["source"], 2, False)
    assert second["pieces"] == 1
    assert "1 of 2 lines was rewritten in parts" in done.stderr.decode()
    kept = arae("--to", "neutral", "--long", "keep", given=b"the food " * 50 + b"\n")
    assert kept.stdout == b"the food " * 50 + b"\n"
    assert "1 of 1 lines was left unchanged" in kept.stderr.decode()
    assert arae("--to", "positive", "--long", "drop").returncode == 2


def test_tab_separated_values(arae: Arae) -> None:
    done = arae("--to", "positive", "--tsv", given=b"the\tfood\x0cwas\rcold\r\n\n")
    assert done.stdout == b"the food was cold\tthe food was cold\n\t\n"


def test_json_lines(arae: Arae) -> None:
    source = "the food [was] \u2028 caf".encode() + b"\xe9\n\n" + b"the " * 100 + b"\n"
    done = arae("--to", "pos", "--json", "--long", "truncate", given=source)
    text = done.stdout.decode()
    assert len(text.splitlines()) == 3  # which also splits at U+2028
    first, blank, long = (json.loads(line) for line in text.splitlines())
    assert first["source"] == "the food [was] \u2028 caf\ufffd"
    assert (first["to"], first["repaired"], first["truncated"]) == ("positive", 1, False)
    assert (blank["output"], blank["tokens"]) == ("", 0)
    assert (long["truncated"], long["tokens"], long["unfinished"]) == (True, 23, False)


def test_verbose_says_what_ran_where(arae: Arae) -> None:
    text = arae("--to", "positive", "-v", given=b"the food\n").stderr.decode()
    assert "small, to positive, on cpu" in text
    assert "1 line in" in text


# Streams: answers come when they can, memory is bounded, the other side may leave.


def _answer(stream: IO[bytes] | None, seconds: float = 20) -> bytes:
    assert stream is not None
    ready, _, _ = select.select([stream], [], [], seconds)
    assert ready, "no answer came"
    return os.read(stream.fileno(), 65536)


def test_each_typed_line_is_answered_before_the_next(arae: Arae) -> None:
    with arae.start("--to", "positive") as process:
        assert process.stdin is not None
        for line in (b"great place\n", b"\n", b"food\n"):
            process.stdin.write(line)
            assert _answer(process.stdout) == line
        process.stdin.write(b"half a ")
        time.sleep(0.2)
        assert process.stdout is not None
        assert not select.select([process.stdout], [], [], 0)[0]
        process.stdin.write(b"line\n")
        assert _answer(process.stdout) == b"half a line\n"
        process.stdin.close()
        assert process.wait(20) == 0


def test_a_closed_pipe_ends_quietly_although_the_input_goes_on(arae: Arae) -> None:
    with arae.start("--to", "positive") as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write(b"great place\n")
        assert _answer(process.stdout) == b"great place\n"
        process.stdout.close()
        process.stdin.write(b"food\n")  # and no end of input: the reader still waits
        assert process.wait(20) == 141
        assert process.stderr.read() == b""


def test_an_interrupt_ends_quietly(arae: Arae) -> None:
    with arae.start("--to", "positive") as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(b"great place\n")
        _answer(process.stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == b""


def test_a_terminal_is_told_what_to_do(arae: Arae) -> None:
    master, terminal = pty.openpty()
    with arae.start("--to", "positive", stdin=terminal) as process:
        os.close(terminal)
        said = b""
        while b"Ctrl-D" not in said:
            said += _answer(process.stderr)
        os.write(master, b"great place\n")
        assert _answer(process.stdout) == b"great place\n"
        os.write(master, b"\x04")
        assert process.wait(20) == 0
    os.close(master)


def test_a_progress_bar_is_for_a_person_and_a_file(arae: Arae) -> None:
    (arae.folder / "file").write_bytes(b"food\n" * 10)
    for arguments, shown in ((["file"], True), (["-"], False), (["file", "-q"], False)):
        master, terminal = pty.openpty()
        done = subprocess.run(
            [*COMMAND, "--model", str(arae.model), "--to", "positive", *arguments],
            input=b"food\n" * 10,
            stdout=subprocess.PIPE,
            stderr=terminal,
            cwd=arae.folder,
            env=_environment(TERM="xterm"),
            timeout=60,
            check=True,
        )
        os.close(terminal)
        text = b"".join(_everything(master))
        assert (b"%" in text) == shown, text
        assert done.stdout == b"food\n" * 10


def _everything(descriptor: int) -> Iterator[bytes]:
    while select.select([descriptor], [], [], 0.2)[0]:
        try:
            block = os.read(descriptor, 65536)
        except OSError:  # the other end of a terminal was closed
            break
        if not block:
            break
        yield block
    os.close(descriptor)


# Outputs.


def test_an_output_file_is_complete_or_absent(arae: Arae) -> None:
    target = arae.folder / "answers"
    done = arae.process("--to", "positive", "-o", "answers", given=LINES)
    assert (done.returncode, done.stdout) == (0, b"")
    assert target.read_bytes().count(b"\n") == 5
    before = target.read_bytes()
    with arae.start("--to", "positive", "-o", "answers") as process:
        assert process.stdin is not None
        process.stdin.write(b"food\n")
        deadline = time.monotonic() + 20
        while not any(path.stat().st_size for path in arae.folder.glob(".answers.*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert target.read_bytes() == before
    assert sorted(path.name for path in arae.folder.iterdir()) == ["answers"]


def test_a_file_may_be_replaced_by_its_own_answers(arae: Arae) -> None:
    (arae.folder / "text").write_bytes(b"great place\n")
    assert arae("--to", "neutral", "text", "-o", "text").returncode == 0
    assert (arae.folder / "text").read_bytes() == b"place great\n"


def test_a_link_stays_a_link_and_a_device_a_device(arae: Arae) -> None:
    (arae.folder / "link").symlink_to("real")
    pipe = arae.folder / "pipe"
    os.mkfifo(pipe)
    assert arae("--to", "positive", "-o", "link", given=b"food\n").returncode == 0
    assert (arae.folder / "link").is_symlink()
    assert (arae.folder / "real").read_bytes() == b"food\n"
    with arae.start("--to", "positive", "-o", "pipe") as process:
        assert process.stdin is not None
        process.stdin.write(b"food\n")
        with pipe.open("rb", buffering=0) as reading:
            assert _answer(reading) == b"food\n"
        process.stdin.close()
        assert process.wait(20) == 0
    assert pipe.is_fifo()


@pytest.mark.parametrize("target", [".", "file/below", "/proc/nothing/answers", "loop"])
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(arae: Arae, target: str) -> None:
    (arae.folder / "file").touch()
    (arae.folder / "loop").symlink_to("loop")
    with arae.start("--to", "positive", "-o", target) as process:  # standard input stays open
        assert process.wait(20) == 1
        assert process.stderr is not None
        assert "cannot write" in _one_or_two_lines(process.stderr.read())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_said_and_fails(arae: Arae, unbuffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = arae.process("--to", "positive", given=LINES, stdout=full, environment={"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 1
    assert "No space left" in _one_or_two_lines(done.stderr)


def test_unbuffered_output_is_whole(arae: Arae) -> None:
    text = b"the food was cold\n" * 5_000  # more than a pipe holds
    done = arae.process("--to", "positive", given=text, environment={"PYTHONUNBUFFERED": "1"})
    assert done.stdout == text


@pytest.mark.parametrize("closed", ["0<&-", "1>&-"])
def test_a_closed_stream_is_an_error_or_unneeded(arae: Arae, closed: str) -> None:
    command = " ".join([*COMMAND, "--model", str(arae.model), "--to", "positive", closed])
    done = subprocess.run(
        ["sh", "-c", command], input=b"food\n", capture_output=True, env=_environment(), timeout=60, check=False
    )
    assert done.returncode == 1
    assert "is closed" in _one_or_two_lines(done.stderr)


def test_answers_and_lists_are_utf8_in_any_locale(arae: Arae, small_model: Path) -> None:
    (arae.folder / "exported").mkdir()
    small_model.rename(arae.folder / "exported" / "日本")
    locale = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    text = "café 💬\n".encode()
    done = arae.process("--to", "positive", given=text, environment=locale)
    assert (done.returncode, done.stdout) == (0, text)
    listed = arae.process("--list-models", environment=locale)
    assert listed.returncode == 0
    assert "日本" in [line.split("\t")[0] for line in listed.stdout.decode().splitlines()]


# Mistakes.


def test_a_missing_file_is_refused_before_anything_is_written(arae: Arae) -> None:
    (arae.folder / "there").write_bytes(b"food\n")
    done = arae.process("--to", "positive", "there", "missing", ".")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "missing" in _one_or_two_lines(done.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "positve"], ["did you mean positive?", "positive, negative, neutral tone, endless"]),
        (["--to", "ne"], ["negative or neutral tone"]),
        (["--to", "positive", "--model", "nowhere"], ["nowhere", "models:"]),
        (["--to", "positive", "--model", "./nowhere"], ["nowhere"]),
        (["--to", "positive", "--model", "~nobody-of-this-name/model"], ["~nobody-of-this-name/model"]),
        (["--to", "positive", "--device", "tpu"], ["tpu", "cuda"]),
        (["--to", "positive", "--form", "verse"], ["verse", "ordinary"]),
        (["--to", "positive", "the food was bad ."], ["there is no file 'the food was bad .'", "echo SENTENCE | arae"]),
    ],
)
def test_a_mistake_is_answered_with_what_exists(arae: Arae, arguments: list[str], words: list[str]) -> None:
    done = arae(*arguments, given=LINES)
    assert (done.returncode, done.stdout) == (1, b"")
    message = _one_or_two_lines(done.stderr)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--to", "positive, negative, neutral tone, endless"]),
        (["--to", "positive", "--tsv", "--json"], ["--tsv", "--json"]),
        (["--to", "positive", "--batch-size", "0"], ["--batch-size"]),
        (["--to", "positive", "--threads", "many"], ["--threads"]),
        (["--to", "positive", "--thread", "1"], ["--threads"]),
        (["--to"], ["--to"]),
    ],
)
def test_wrong_usage_has_status_2(arae: Arae, arguments: list[str], words: list[str]) -> None:
    done = arae(*arguments, given=LINES)
    assert (done.returncode, done.stdout) == (2, b"")
    assert all(word in done.stderr.decode() for word in words), done.stderr.decode()
    assert b"Traceback" not in done.stderr


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_cut, _flip, Path.unlink], ids=["cut", "flipped", "missing"])
@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.positive.onnx", "tokenizer.model"])
def test_a_damaged_model_is_named_and_gives_no_answer(
    arae: Arae, small_model: Path, damage: Callable[[Path], None], name: str
) -> None:
    damage(small_model / name)
    done = arae("--model", str(small_model), "--to", "positive", given=LINES)
    assert (done.returncode, done.stdout) == (1, b"")
    assert name in _one_or_two_lines(done.stderr)


def test_models_and_classes_are_listed(arae: Arae, small_model: Path) -> None:
    (arae.folder / "exported").mkdir()
    small_model.rename(arae.folder / "exported" / "small")
    broken = arae.folder / "exported" / "broken"
    broken.mkdir()
    ExportLayout(broken).config.write_text("{")
    listed = arae("--list-models").stdout.decode().splitlines()
    assert "small\tpositive, negative, neutral tone, endless\texported/small" in listed
    assert any(line.startswith("broken\t(") for line in listed)
    classes = arae("--list-classes", "--model", "small")
    assert (classes.returncode, classes.stdout) == (0, b"positive\nnegative\nneutral tone\nendless\n")
    answer = arae("--model", "small", "--to", "neutral", given=b"great place\n")
    assert answer.stdout == b"place great\n"


def test_the_environment_chooses_model_and_threads(arae: Arae) -> None:
    command = [sys.executable, "-m", "arae_transfer", "transfer", "--to", "positive", "-v"]
    for threads, status in (("1", 0), ("none", 2)):
        environment = _environment(ARAE_MODEL=str(arae.model), ARAE_THREADS=threads)
        done = subprocess.run(command, input=b"food\n", capture_output=True, env=environment, timeout=60, check=False)
        assert done.returncode == status
    assert b"ARAE_THREADS" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("arae transfer --to ", {"positive", "negative", "neutral tone", "endless"}),
        ("arae transfer --to ne", {"negative", "neutral tone"}),
        ("arae transfer --model ", {"small"}),
        ("arae trans", {"transfer", "transfer-table"}),
    ],
)
def test_completion_knows_classes_and_models(arae: Arae, small_model: Path, words: str, expected: set[str]) -> None:
    (arae.folder / "exported").mkdir()
    small_model.rename(arae.folder / "exported" / "small")
    environment = _environment(
        ARAE_MODEL="small",
        _ARAE_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split(" ")) - 1),
    )
    done = subprocess.run(
        [sys.executable, "-m", "arae_transfer"], cwd=arae.folder, env=environment, capture_output=True, check=False
    )
    completions = set(done.stdout.decode().splitlines())
    assert expected <= completions
    if expected != {"small"}:
        assert expected == completions
