"""A bulk job and what may change or break under it: the system, the input, the memory that it has."""

import json
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from test_bulk import json_lines, lines

from iter_bench import bulk
from iter_bench.bulk.job import CHUNK
from iter_bench.document import Extraction
from iter_bench.errors import UserError
from iter_bench.systems import Reachable


class Stub:
    """Finds nothing; fails on what has the word `cursed`, and on everything once it has done so many documents."""

    def __init__(self, lasts: int = 10**9):
        self.lasts = lasts

    def predict(self, documents, **_):
        if self.lasts < len(documents):
            raise RuntimeError("device lost")
        if any("cursed" in document.words for document in documents):
            raise ValueError("too long")
        self.lasts -= len(documents)
        return [Extraction(document.id) for document in documents]

    def reachable(self, documents):
        return Reachable([], Counter(), Counter())


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Makes a job of 48 documents in shards of 12, and runs it with the stub that is given."""
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "weights").write_text("1")

    def run(stub: Stub, source: Path | None = None) -> bulk.Job:
        monkeypatch.setattr("iter_bench.bulk.job.load_system", lambda _: stub)
        source = source or json_lines(tmp_path / "in.jsonl", range(48))
        made = bulk.Job(str(tmp_path / "system"), source, tmp_path / "out", 12)
        made.start()
        made.run(made.unfinished(), batch_size=8, report=lambda _: None)
        return made

    return run


def test_a_system_that_breaks_midway_costs_no_document(job, tmp_path):
    with pytest.raises(UserError, match="device lost"):
        job(Stub(lasts=20))
    assert len(lines(tmp_path / "out")) == 12 and not list((tmp_path / "out" / "failed").iterdir())
    done = job(Stub()).finished()
    assert (done.documents, done.failed) == (48, 0) and [line["id"] for line in lines(tmp_path / "out")][-1] == "s47"


class Device(Stub):
    """A process whose device does nothing any more after the word `fatal`."""

    def predict(self, documents, **rest):
        if self.lasts == 0 or any("fatal" in document.words for document in documents):
            self.lasts = 0
            raise RuntimeError("device-side assert triggered")
        return super().predict(documents, **rest)


@pytest.mark.parametrize("fatal", [{17}, {0, 23, 47}])
def test_a_document_after_which_a_process_can_do_nothing_more_is_set_aside_with_the_reason(job, tmp_path, fatal):
    source = tmp_path / "in.txt"
    source.write_text("".join(f"Ann {i} is {'fatal' if i in fatal else 'kind'}.\n" for i in range(48)))
    for _ in range(4 * len(fatal)):  # over 12 documents, the same again, 2 and 1; each time in a new process, as it were
        with pytest.raises(UserError, match="device-side assert triggered; finished shards are kept, run it again"):
            job(Device(), source)
    job(Device(), source)
    assert [line["id"] for line in lines(tmp_path / "out")] == [str(i) for i in range(48) if i not in fatal]
    failed = lines(tmp_path / "out", "failed")
    assert [line["id"] for line in failed] == [str(i) for i in sorted(fatal)]
    said = "after this document alone nothing more was extracted: RuntimeError: device-side assert triggered"
    assert {line["reason"] for line in failed} == {said} and not list((tmp_path / "out" / "attempts").iterdir())


@pytest.mark.parametrize("deaths", [1, 2, 3])
def test_a_document_alone_is_to_blame_for_the_third_process_that_was_killed_over_it(job, tmp_path, deaths):
    (tmp_path / "out" / "attempts").mkdir(parents=True)
    left = {"killers": {}, "at_work": [11, 1, deaths - 1]}  # a shard's last document is often a range of its own
    (tmp_path / "out" / "attempts" / "part-000001.json").write_text(json.dumps(left))
    assert job(Stub()).finished().failed == (deaths == 3)
    assert [line["id"] for line in lines(tmp_path / "out", "failed")] == ["s23"] * (deaths == 3)


class Noting(Stub):
    def reachable(self, documents):
        return Reachable([], Counter(), Counter({"words without sub-token": len(documents)}))


def test_notes_are_counted_over_all_shards_and_kept(job):
    job(Noting())
    assert job(Stub()).finished().notes == Counter({"words without sub-token": 48})


@pytest.mark.parametrize(
    "content", ['{"documents": "12"}', "null", '{"documents": 12, "notes": 3}', '{"seconds": NaN}', '{"failed": -1}', "[1"]
)
def test_what_a_shard_left_is_read_or_named(job, tmp_path, content):
    job(Stub())
    (tmp_path / "out" / "done" / "part-000001.json").write_text(content)
    with pytest.raises(UserError, match=r"part-000001\.json: is damaged \(.*; delete it and run again"):
        job(Stub())


def test_a_system_that_gives_too_few_extractions_is_broken(job, tmp_path):
    stub = Stub()
    stub.predict = lambda documents, **_: []
    with pytest.raises(UserError, match="0 extractions from 1 documents"):
        job(stub)
    assert {path.parent.name for path in (tmp_path / "out").glob("*/*")} <= {"attempts"}, "nothing else, not even half"


def test_a_shard_of_nothing_but_bad_documents_stops_no_other(job, tmp_path):
    texts = ["cursed" if 12 <= i < 36 else "Ann" for i in range(48)]
    source = tmp_path / "bad.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    done = job(Stub(), source).finished()
    assert (done.documents, done.failed) == (48, 24)
    assert [line["id"] for line in lines(tmp_path / "out", "failed")] == [str(i) for i in range(12, 36)]


def test_a_shard_whose_files_are_lost_is_done_anew(job, tmp_path):
    texts = ["cursed" if i == 20 else "Ann" for i in range(48)]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    job(Stub(), source)
    files = {path: path.read_bytes() for kind in ("extracted", "failed") for path in (tmp_path / "out" / kind).iterdir()}
    for path in (tmp_path / "out" / "extracted" / "part-000002.jsonl", tmp_path / "out" / "failed" / "part-000001.jsonl"):
        path.unlink()
    left = bulk.Job(str(tmp_path / "system"), source, tmp_path / "out", 12)
    assert left.unfinished() == [1, 2] and left.finished().documents == 24
    assert job(Stub(), source).finished().documents == 48
    assert {path: path.read_bytes() for path in files} == files


@pytest.mark.parametrize("content", ["", "[" * 3000, '{"system": ' + "[" * 3000, "\ud800"])
def test_a_damaged_description_of_the_job_is_named(job, tmp_path, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "job.json").write_text(content, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(UserError, match=r"job\.json: can't be read \(.*; use another folder"):
        job(Stub())


def test_only_what_the_job_itself_left_half_written_is_deleted(job, tmp_path):
    out = tmp_path / "out"
    own = [out / ".job.json-a1.tmp", out / "done" / ".part-000001.json-a1.tmp", out / "attempts" / ".part-000001.json.tmp"]
    others = [out / "runs" / ".record.json-a1.tmp", out / ".notes.tmp", out / "done" / ".notes.tmp"]
    for path in own + others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    job(Stub())
    assert not any(path.exists() for path in own) and all(path.exists() for path in others)


def test_input_that_changes_is_never_mixed(job, tmp_path):
    source, stub = json_lines(tmp_path / "in.jsonl", range(48)), Stub()
    predicted = stub.predict
    stub.predict = lambda *given, **rest: (json_lines(source, range(20)), predicted(*given, **rest))[1]
    with pytest.raises(UserError, match="had 12 documents for shard 1 and now has 8; was it changed"):
        job(stub, source)
    assert len(lines(tmp_path / "out")) == 12
    source.write_text(json_lines(source, range(48)).read_text().replace("Ann", "Bob"))  # as many bytes and documents
    with pytest.raises(UserError, match="begun with another files;"):
        job(Stub(), source)
    assert job(Stub()).finished().documents == 48
    with json_lines(source, range(48)).open("a") as file:
        more = bulk.Job(str(tmp_path / "system"), source, tmp_path / "more", 100)
        more.start()
        file.write('{"text": "late"}\n')
    more.run([0], batch_size=8, report=lambda _: None)
    assert more.finished().documents == 48


def test_a_system_is_known_by_its_files_or_its_revision_on_the_hub(job, tmp_path, monkeypatch):
    source = json_lines(tmp_path / "in.jsonl", range(8))
    job(Stub(), source)
    monkeypatch.chdir(tmp_path / "system")
    bulk.Job(".", source, tmp_path / "out", 12).start()
    (tmp_path / "system" / "weights").write_text("2")
    with pytest.raises(UserError, match="another system"):
        bulk.Job(".", source, tmp_path / "out", 12).start()
    revision = {"org-a/iter": "1f", "org-b/iter": "1f"}
    monkeypatch.setattr("iter_bench.hub.files", lambda name, *_, **__: Path("snapshots", revision[name]))
    for _ in range(2):
        bulk.Job("org-a/iter", source, tmp_path / "hub", 8).start()
    with pytest.raises(UserError, match="another system"):
        bulk.Job("org-b/iter", source, tmp_path / "hub", 8).start()
    revision |= {"org-a/iter": "2e", "org-a/iter@1f": "1f"}
    with pytest.raises(UserError, match="another system; name org-a/iter@1f to go on, or use another folder"):
        bulk.Job("org-a/iter", source, tmp_path / "hub", 8).start()
    bulk.Job("org-a/iter@1f", source, tmp_path / "hub", 8).start()
    monkeypatch.setattr("iter_bench.bulk.job.load_system", lambda name: name)
    assert bulk.Job("org-a/iter", source, tmp_path / "hub", 8).load() == "org-a/iter@1f", "whatever is newest meanwhile"
    with pytest.raises(UserError, match="no such folder"):
        bulk.Job("sytem", source, tmp_path / "typo", 8).start()


def test_output_within_the_system_would_change_it_and_is_refused(tmp_path):
    (tmp_path / "system").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "system")
    for folder in (tmp_path / "system", tmp_path / "system" / "out", tmp_path / "link" / "out"):
        with pytest.raises(UserError, match="the system's folder, and would change it"):
            bulk.Job(str(tmp_path / "system"), tmp_path / "in.txt", folder)
    bulk.Job(str(tmp_path / "system"), tmp_path / "in.txt", tmp_path / "system out")


def test_memory_does_not_grow_with_the_input(tmp_path, monkeypatch):
    """Two chunks are held at a time, whether a shard has two or eight; to hold all would take four times that."""
    (tmp_path / "system").mkdir()
    monkeypatch.setattr("iter_bench.bulk.job.load_system", lambda _: Stub())

    def peak(documents: int) -> int:
        source = tmp_path / f"{documents}.txt"
        source.write_text("".join(f"{i} " + "Ann met Bob " * 10 + "\n" for i in range(documents)))
        job = bulk.Job(str(tmp_path / "system"), source, tmp_path / f"out {documents}", 8 * CHUNK)
        job.start()
        tracemalloc.start()
        job.run(job.unfinished(), batch_size=8, report=lambda _: None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(1)  # what is imported or remembered at first
    few, many = peak(2 * CHUNK), peak(8 * CHUNK)
    assert many < 1.3 * few, f"{few} bytes for {2 * CHUNK} documents, {many} for {8 * CHUNK}"
