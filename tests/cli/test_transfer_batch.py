"""`arae transfer` of tables in parts: the same bytes, whoever does the work and however often it is killed."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from arae_transfer.cli import app

Expected = Callable[[str, str], str]
Arae = Callable[..., Result]

WORDS = ("the food was cold", "great place !", "we waited an hour", "the waiter was rude")
TEXTS = [f"{WORDS[number % 4]} and {WORDS[number % 3]}" for number in range(50)]


@pytest.fixture
def command(pristine_model: Path) -> list[str]:
    return ["transfer", "--device", "cpu", "--model", str(pristine_model), "--to", "negative"]


@pytest.fixture
def arae(tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> Arae:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [*command, *arguments])


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _write_jsonl(path: Path, texts: Sequence[str], further: str = "") -> None:
    path.write_text(
        "".join(f'{{"id": {n}, "text": {json.dumps(text)}, "x":1.50}}\n' for n, text in enumerate(texts)) + further
    )


def test_json_lines_keep_their_fields_and_order(arae: Arae, tmp_path: Path, expected_rewrite: Expected) -> None:
    _write_jsonl(tmp_path / "in.jsonl", TEXTS, '\n{bad\n{"id": 7, "text": 3}\n{"text":"great"}')
    done = arae("in.jsonl", "-o", "out/", "--rows-per-part", "20", "--workers", "1")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "out\n"
    assert "2 of 53 rows have no text and were kept" in done.stderr
    lines = "".join((tmp_path / "out" / f"part-0000{n}.jsonl").read_text() for n in range(3)).splitlines()
    for number, (line, text) in enumerate(zip(lines, TEXTS, strict=False)):
        assert line.startswith(f'{{"id": {number}, "text": {json.dumps(text)}, "x":1.50, "rewrite": ')
        assert json.loads(line)["rewrite"] == expected_rewrite(text, "negative")
    assert [json.loads(line).get("arae_status") for line in lines[-3:]] == ["error", "error", "rewritten"]
    assert json.loads(lines[-3])["text"] == "{bad"
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert manifest["statuses"] == {"error": 2, "rewritten": 51}
    assert [part["rows"] for part in manifest["parts"]] == [20, 20, 13]
    assert sorted(_contents(tmp_path / "out")) == ["_manifest.json", *(part["file"] for part in manifest["parts"])]


def test_csv_keeps_its_rows_as_they_stand(arae: Arae, tmp_path: Path, expected_rewrite: Expected) -> None:
    rows = ['0;"great ""place""\r\nthe food";z', "1;;", "too;many;fields;here", "2", '3;"the food was cold";']
    (tmp_path / "in.csv").write_bytes("\r\n".join(["\ufeffid;text;note", *rows, ""]).encode())
    done = arae("in.csv", "-o", "out/", "--rows-per-part", "2")
    assert done.exit_code == 0, done.stderr
    parts = [(tmp_path / "out" / f"part-0000{n}.csv").read_bytes().decode() for n in range(3)]
    assert all(part.startswith("id;text;note;rewrite;arae_status;arae_error\r\n") for part in parts)
    assert f"\r\n{rows[0]};" in parts[0]
    found = [row for part in parts for row in csv.DictReader(part.splitlines(keepends=True), delimiter=";")]
    assert [row["arae_status"] for row in found] == ["rewritten", "blank", "error", "error", "rewritten"]
    assert found[2]["text"] == "too;many;fields;here"
    assert found[2]["arae_error"] == "4 columns instead of 3"
    assert found[4]["rewrite"] == expected_rewrite("the food was cold", "negative")
    assert all(len(row) == 6 for row in found)


def test_lines_of_text_become_rows_in_order(arae: Arae, tmp_path: Path, expected_rewrite: Expected) -> None:
    (tmp_path / "in.txt").write_bytes(b"great place !\r\n\nb\xff\nthe food")
    assert arae("in.txt", "-o", "out/").exit_code == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "part-00000.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == ["great place !", "", "b\ufffd", "the food"]
    assert rows[0]["rewrite"] == expected_rewrite("great place !", "negative")


def test_parquet_keeps_columns_types_and_row_order(arae: Arae, tmp_path: Path, expected_rewrite: Expected) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table(
        {"id": pyarrow.array(range(50), pyarrow.int16()), "text": [*TEXTS[:49], None], "when": [[1, 2]] * 50},
        metadata={"by": "us"},
    )
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=14)
    done = arae("in.parquet", "-o", "out/", "--rows-per-part", "10", "--workers", "1")
    assert done.exit_code == 0, done.stderr
    found = parquet.read_table(tmp_path / "out")  # the manifest does not disturb
    assert found.select(table.column_names).equals(table)
    assert parquet.read_schema(tmp_path / "out" / "part-00000.parquet").metadata[b"by"] == b"us"
    assert found["rewrite"].to_pylist() == [*(expected_rewrite(text, "negative") for text in TEXTS[:49]), None]
    assert found["arae_status"].to_pylist() == ["rewritten"] * 49 + ["error"]


def test_cutting_does_not_change_the_rows(arae: Arae, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"id": list(range(50)), "text": TEXTS})
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=14)
    tables = []
    for rows in (1000, 9):
        assert arae("in.parquet", "-o", f"out{rows}/", "--rows-per-part", str(rows), "--workers", "1").exit_code == 0
        tables.append(parquet.read_table(tmp_path / f"out{rows}"))
    assert tables[0].equals(tables[1])


def test_the_first_bad_row_ends_a_job_that_does_not_keep_them(arae: Arae, tmp_path: Path) -> None:
    _write_jsonl(tmp_path / "in.jsonl", TEXTS[:8], '{"id": 9}\n')
    done = arae("in.jsonl", "-o", "out/", "--on-error", "fail", "--rows-per-part", "4")
    assert done.exit_code == 1
    assert "in.jsonl: row 9: the column 'text' is missing or is not a string" in done.stderr
    assert not (tmp_path / "out" / "_manifest.json").exists()
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ('{"text": "a", "rewrite": 1}\n', [], "already has a column 'rewrite'"),
        ('{"text": "a"}\n', ["--engine", "cluster"], "none of local, ray"),
        ('{"text": "a"}\n', ["--address", "auto"], "--engine ray"),
        ('{"text": "a"}\n', ["--json"], "'--json'"),
        ('{"text": "a"}\n', ["--format", "text", "--workers", "1"], "'--format'"),
    ],
)
def test_what_does_not_go_together_is_refused(
    content: str, options: list[str], message: str, arae: Arae, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text(content)
    done = arae("in.jsonl", "-o", "out/", *options)
    assert done.exit_code in (1, 2)
    assert message in done.stderr


def test_inputs_of_two_kinds_or_none_are_refused(arae: Arae, tmp_path: Path) -> None:
    for name in ("a.csv", "b.jsonl", "c.docx"):
        (tmp_path / name).write_text("text\n")
    assert "different kinds" in arae("a.csv", "b.jsonl", "-o", "out/").stderr
    assert "not a table of a known kind" in arae("c.docx", "--workers", "1", "-o", "out/").stderr
    assert "there is no file d.csv" in arae("d.csv", "-o", "out/").stderr
    assert "-o FOLDER/" in arae("a.csv", "--workers", "1").stderr
    assert "no column 'words'" in arae("a.csv", "-o", "out/", "--column", "words").stderr


def test_a_folder_is_not_taken_from_another_job(arae: Arae, tmp_path: Path) -> None:
    _write_jsonl(tmp_path / "in.jsonl", TEXTS[:3])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    assert "is not empty" in arae("in.jsonl", "-o", "out/").stderr
    assert arae("in.jsonl", "-o", "new/").exit_code == 0
    assert "has a finished job" in arae("in.jsonl", "-o", "new/").stderr
    assert "has a finished job" in arae("in.jsonl", "-o", "new/", "--resume", "--beam", "2").stderr
    before = _contents(tmp_path / "new")
    assert arae("in.jsonl", "-o", "new/", "--resume").exit_code == 0
    assert _contents(tmp_path / "new") == before


class Job:
    """The command as a process, in which parts are small enough to be counted."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        self.folder = folder
        self.options = [*command, "in.jsonl", "--rows-per-part", "3"]
        _write_jsonl(folder / "in.jsonl", TEXTS * 3)

    @contextmanager
    def started(self, output: str, *options: str) -> Iterator[subprocess.Popen[str]]:
        """Start it, and wait until it has written some parts; it is ended with the block."""
        command = [sys.executable, "-m", "arae_transfer", *self.options, "-o", output, *options]
        folder = self.folder / output
        wanted = len(list(folder.glob("part-*"))) + 4
        with subprocess.Popen(command, cwd=self.folder, stderr=subprocess.PIPE, text=True) as process:
            try:
                deadline = time.monotonic() + 180
                while len(list(folder.glob("part-*"))) < wanted:
                    assert process.poll() is None, process.communicate()
                    assert time.monotonic() < deadline
                    time.sleep(0.002)
                yield process
            finally:
                process.kill()

    def run(self, output: str, *options: str) -> Result:
        """Run it to its end, or to its error."""
        with contextlib.chdir(self.folder):
            return CliRunner().invoke(app, [*self.options, "-o", output, *options])

    def contents(self, output: str) -> dict[str, bytes]:
        """Return what it wrote."""
        return _contents(self.folder / output)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, pristine_model: Path) -> Job:
    """Return a job that has been done once, undisturbed, into ``whole/``."""
    command = ["transfer", "--device", "cpu", "--model", str(pristine_model), "--to", "negative"]
    job = Job(tmp_path_factory.mktemp("job"), command)
    done = job.run("whole/", "--workers", "1")
    assert done.exit_code == 0, done.stderr
    return job


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return [each for child in children for each in (child, *_descendants(child))]


def _workers(pid: int, name: str) -> list[int]:
    """Return the processes below one whose command line holds a name."""
    found = []
    for each in _descendants(pid):
        with contextlib.suppress(OSError):
            if name in Path(f"/proc/{each}/cmdline").read_text():
                found.append(each)
    return found


SPAWNED = "spawn_main"
LINUX = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes by /proc")


@LINUX
def test_whatever_is_killed_the_resumed_output_is_the_same(job: Job) -> None:
    folder = job.folder / "killed"
    with job.started("killed/", "--workers", "2") as process:
        while not list(folder.glob("_arae/part-*.json")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    # A part counts once its report is written; the killed process had not come to that for its last parts.
    reports = {path.stem for path in folder.glob("_arae/part-*.json")}
    finished = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*") if path.stem in reports}
    assert not (folder / "_manifest.json").exists()
    with job.started("killed/", "--workers", "2", "--resume") as process:
        os.kill(_workers(process.pid, SPAWNED)[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert "was killed by SIGKILL" in errors
    assert job.contents("killed") == job.contents("whole")
    assert finished
    assert all((folder / name).stat().st_mtime_ns == when for name, when in finished.items())


@LINUX
def test_a_stopped_job_leaves_finished_parts_and_no_process(job: Job) -> None:
    folder = job.folder / "stopped"
    stops: list[tuple[int, list[str]]] = [(signal.SIGINT, []), (signal.SIGTERM, ["--resume"])]
    for number, options in stops:
        with job.started("stopped/", "--workers", "2", *options) as process:
            workers = _workers(process.pid, SPAWNED)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 130
            assert errors.startswith("arae: interrupted; finished parts are in stopped")
            assert "Traceback" not in errors
        assert workers
        assert not [each for each in workers if Path(f"/proc/{each}").exists()]
        assert not list(folder.glob(".*"))
        assert not (folder / "_manifest.json").exists()
    assert "unfinished job" in job.run("stopped/").stderr
    assert "parts of another job (different: options)" in job.run("stopped/", "--resume", "--beam", "2").stderr
    done = job.run("stopped/", "--resume", "--workers", "1")
    assert done.exit_code == 0, done.stderr
    assert job.contents("stopped") == job.contents("whole")


def test_two_runs_do_not_share_a_folder(job: Job) -> None:
    pytest.importorskip("fcntl")
    with job.started("shared/", "--workers", "1"):
        assert "another run is writing" in job.run("shared/", "--resume").stderr


@LINUX
def test_ray_writes_the_same_bytes_and_outlives_a_killed_worker(job: Job) -> None:
    pytest.importorskip("ray")
    with job.started("by-ray/", "--engine", "ray", "--workers", "2") as process:
        os.kill(_workers(process.pid, "ray::PartWorker")[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors
        assert "died" in errors
    assert job.contents("by-ray") == job.contents("whole")


def test_a_users_own_ray_pipeline_rewrites_its_rows(
    pristine_model: Path, expected_rewrite: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "120")
    data: Any = pytest.importorskip("ray.data")
    import ray

    from arae_transfer.batch import RewriteBatch

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        rows = data.from_items([{"n": n, "text": text} for n, text in enumerate(TEXTS)]).map_batches(
            RewriteBatch,
            fn_constructor_kwargs={"model": str(pristine_model), "to": "negative", "device": "cpu"},
            batch_format="pyarrow",
            batch_size=16,
            compute=data.ActorPoolStrategy(size=1),
        )
        found = {row["n"]: row["rewrite"] for row in rows.take_all()}
    finally:
        ray.shutdown()
    assert found == {n: expected_rewrite(text, "negative") for n, text in enumerate(TEXTS)}
