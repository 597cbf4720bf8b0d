"""Documents that kill their process, or leave it unable to do more: they are found, and cost the others nothing."""

import multiprocessing
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from threading import Event
from types import SimpleNamespace

import deadly
import pytest
from typer.testing import CliRunner

from iter_bench import bulk
from iter_bench.bulk import in_processes
from iter_bench.bulk.on_ray import _Worker
from iter_bench.cli import app
from iter_bench.errors import UserError


@pytest.fixture
def job(tmp_path):
    """Makes a job over so many documents, of which those with these numbers kill."""

    def make(name: str, count: int, killing: set[int], shard_size: int, word: str = "deadly") -> bulk.Job:
        (tmp_path / name).mkdir()
        source = deadly.documents(tmp_path / name / "in.txt", count, killing, word)
        return bulk.Job(str(deadly.system(tmp_path / name / "system")), source, tmp_path / name / "out", shard_size)

    return make


def starts(job: bulk.Job) -> tuple[int, int]:
    """How often the job was started until it wasn't killed, and how it then ended."""
    for count in range(1, 30):
        job.start()
        run = partial(job.run, job.unfinished(), batch_size=8, report=print)
        process = multiprocessing.get_context("fork").Process(target=run)
        process.start()
        process.join()
        if process.exitcode != -signal.SIGKILL:
            return count, process.exitcode
    raise AssertionError("it comes to no end")


def test_the_sixth_start_sets_aside_what_kills_the_only_process(job):
    one = job("one", 1000, {300}, 600)
    assert starts(one) == (6, 0)  # killed over 512 documents, the same again, 64, 8 and 1
    deadly.assert_set_aside(one.folder, 1000, {300})
    four = job("four", 1000, {0, 1, 512, 999}, 600)
    count, ended = starts(four)
    assert count <= 1 + 5 * 4 and ended == 0
    deadly.assert_set_aside(four.folder, 1000, {0, 1, 512, 999})


def test_nothing_is_set_aside_by_a_system_that_a_plain_sentence_kills(job, monkeypatch):
    made = job("plain", 16, {2}, 8)
    monkeypatch.setenv(deadly.MODE, "plain")
    assert starts(made) == (5, 1)  # killed over 8 documents, the same again, 1, and the plain sentence; then it says so
    assert not deadly.lines(made.folder, "failed") and made.unfinished() == [0]
    monkeypatch.delenv(deadly.MODE)
    assert starts(made) == (4, 0)
    deadly.assert_set_aside(made.folder, 16, {2})


def test_an_attempt_that_can_not_be_read_is_told(job):
    made = job("damaged", 8, set(), 8)
    made.start()
    (made.folder / "attempts").mkdir()
    for content in ("", "[]", '{"killers": {}}', '{"killers": {}, "at_work": [1]}', '{"killers": {"x": ""}, "at_work": null}'):
        (made.folder / "attempts" / "part-000000.json").write_text(content)
        with pytest.raises(UserError, match=r"part-000000\.json: is damaged"):
            made.unfinished()


def test_a_worker_of_ray_that_can_do_nothing_more_ends_and_one_whose_system_is_broken_says_so(job):
    made = job("ray", 3, {0}, 1, "fatal")
    made.start()

    def ended(broken: bool) -> int:
        """How a process with such a worker ended: 0 if it said of all shards that the system is broken."""

        def work() -> None:
            deadly.Deadly.broken = broken
            worker = _Worker(SimpleNamespace(take=lambda: None), made, 8)
            problems = [worker({"shard": number})["problem"] for number in range(3)]
            sys.exit(not all("device-side assert triggered; finished shards are kept" in problem for problem in problems))

        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
        return process.exitcode

    assert ended(broken=False) == -signal.SIGKILL and made.progress(0) > (0,), "as if it were killed over its document"
    assert ended(broken=True) == 0 and [made.progress(number) for number in range(3)] == [(0,)] * 3, "no document is to blame"


@pytest.fixture
def scripted(monkeypatch):
    """Workers are threads here, and do what a function says, which is given their shards."""

    def workers(work) -> None:
        monkeypatch.setattr(in_processes, "pool_of_one", lambda *_: ThreadPoolExecutor(1))
        monkeypatch.setattr(in_processes, "_work", lambda job, shards, batch_size: work(shards))

    return workers


def test_a_shard_that_fails_leaves_no_other_worker_alone(job, scripted):
    made, begun, failed = job("fails", 4, set(), 1), [], Event()
    made.start()

    def work(shards: list[int]) -> None:
        begun.append(shards)
        if 0 in shards:
            failed.set()
            raise UserError("no space left")
        failed.wait()
        made.run(shards[:1], batch_size=8, report=print)
        if len(shards) > 1:
            time.sleep(1.5)  # until after the other's failure was seen
            raise BrokenProcessPool

    scripted(work)
    with pytest.raises(UserError, match="no space left"):
        in_processes.run(made, range(4), batch_size=8, workers=2, look=lambda: None)
    assert sorted(begun) == [[0, 2], [1, 3], [3]] and made.unfinished() == [0, 2]


def test_a_system_that_breaks_every_process_is_begun_once_more_a_worker(job, scripted):
    made, begun = job("breaks", 6, set(range(6)), 1, "fatal"), []
    made.start()

    def work(shards: list[int]) -> None:
        begun.append(shards)
        made.run(shards, batch_size=8, report=print)

    scripted(work)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError, match="no longer extracts anything"):
        patch.setattr(deadly.Deadly, "broken", True)
        in_processes.run(made, range(6), batch_size=8, workers=2, look=lambda: None)
    assert len(begun) == 4 and made.unfinished() == list(range(6)) and not deadly.lines(made.folder, "failed")


def test_no_core_is_kept_for_a_worker_that_has_no_shard(job, scripted, monkeypatch):
    made, asked = job("few", 2, set(), 1), []
    made.start()
    scripted(lambda shards: made.run(shards, batch_size=8, report=print))
    monkeypatch.setattr(in_processes, "pool_of_one", lambda *worker: asked.append(worker) or ThreadPoolExecutor(1))
    for shards in ([0, 1], []):
        in_processes.run(made, shards, batch_size=8, workers=5, look=lambda: None)
    assert asked == [(0, 2), (1, 2)] and made.unfinished() == []


def two_workers(job: bulk.Job):
    arguments = ["--file", job.source, "--output", job.folder, "--shard-size", job.shard_size, "--workers", 2]
    return CliRunner().invoke(app, ["predict", job.system, *map(str, arguments)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "reason"), [("deadly", "killed over this document alone"), ("fatal", "alone nothing more was extracted: Runtime")]
)
def test_one_command_finds_two_documents_that_end_their_worker(job, word, reason):
    made = job(word, 8, {1, 3}, 4, word)
    result = two_workers(made)
    assert result.exit_code == 0 and "2 documents failed" in result.stderr, result.exception
    deadly.assert_set_aside(made.folder, 8, {1, 3}, reason)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "said", "extracted"),
    [("plain", "not even from 'Ann met Bob .': its process", ["1"]), ("load", "is memory short", [])],
)
def test_a_system_that_kills_its_process_anyway_stops_the_command(job, monkeypatch, mode, said, extracted):
    made = job(mode, 2, {0}, 1)
    monkeypatch.setenv(deadly.MODE, mode)
    result = two_workers(made)
    assert isinstance(result.exception, UserError) and said in str(result.exception)
    assert not deadly.lines(made.folder, "failed") and not list(made.folder.glob("*/.*"))
    assert [line["id"] for line in deadly.lines(made.folder, "extracted")] == extracted
