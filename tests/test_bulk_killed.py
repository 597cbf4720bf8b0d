"""Documents that kill their process, without any exception: they are found, and cost the others nothing."""

import multiprocessing
import signal
from functools import partial

import deadly
import pytest
from typer.testing import CliRunner

from iter_bench import bulk
from iter_bench.cli import app
from iter_bench.errors import UserError


@pytest.fixture
def job(tmp_path):
    """Makes a job over so many documents, of which those with these numbers kill."""

    def make(name: str, count: int, killing: set[int], shard_size: int) -> bulk.Job:
        (tmp_path / name).mkdir()
        source = deadly.documents(tmp_path / name / "in.txt", count, killing)
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
    for content in ("", "[]", '{"killers": []}', '{"killers": [], "at_work": [1]}'):
        (made.folder / "attempts" / "part-000000.json").write_text(content)
        with pytest.raises(UserError, match=r"part-000000\.json: is damaged"):
            made.unfinished()


def two_workers(job: bulk.Job):
    arguments = ["--file", job.source, "--output", job.folder, "--shard-size", job.shard_size, "--workers", 2]
    return CliRunner().invoke(app, ["predict", job.system, *map(str, arguments)])


@pytest.mark.slow
def test_one_command_finds_two_documents_that_kill_their_worker(job):
    made = job("two", 8, {1, 3}, 4)
    result = two_workers(made)
    assert result.exit_code == 0 and "2 documents failed" in result.stderr, result.exception
    deadly.assert_set_aside(made.folder, 8, {1, 3})


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
