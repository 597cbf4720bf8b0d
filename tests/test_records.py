"""Records are whole or absent, come back as they were written, and say which field is wrong."""

import json
import os
import tempfile
from pathlib import Path

import pytest
import typer
from record_examples import record
from typer.testing import CliRunner

from iter_bench import records
from iter_bench.cli.ls import ls
from iter_bench.document import Dataset, Document, Entity, Relation, Schema
from iter_bench.records import RecordError


def test_what_is_written_comes_back_and_reads_well(tmp_path):
    written = record(durations={"train": 12.3456789}, training={"lr_encoder": 4.907682226565861e-05})
    path = records.write(written, tmp_path / "runs")
    assert path.name == f"conll04-iter-minilm-s42-{written.run_id}.json"
    assert records.load(path) == written == records.find(path.parent, written.run_id)
    assert records.load_all(path.parent) == [written]
    content = json.loads(path.read_text())
    assert content["durations"]["train"] == 12.3457, "six digits of what is measured"
    assert content["settings"]["training"]["lr_encoder"] == 4.907682226565861e-05, "all digits of what is set"
    assert content["lambda_curve"][1]["lambda"] == 0.25
    assert list(content) == sorted(content)
    records.write(written, path.parent)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_file_names_are_safe():
    settings = record().settings.model_copy(update={"encoder": "/srv/models/my enc"})
    name = record(settings=settings).file_name
    assert name.startswith("conll04-iter-my_enc-s42-")
    settings = settings.model_copy(update={"encoder": "google/flan-t5-large"})
    assert record(settings=settings).file_name.startswith("conll04-iter-google_flan-t5-large-s42-")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_record_and_nothing_else(tmp_path, monkeypatch, failing):
    path = records.write(record(), tmp_path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(RecordError, match="No space left on device"):
        records.write(record(durations={"train": 1.0}), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_the_temporary_file_lies_in_the_same_folder(tmp_path, monkeypatch):
    """Renaming is atomic only within one file system."""
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    records.write(record(), tmp_path)


def damaged(change):
    content = record().model_dump(mode="json", by_alias=True)
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON file"),
        ("[]", "should hold an object"),
        ('{"schema_version": 3, "scores": {"f1": 0.5, "f1": 0.9}}', "'f1' stands twice in one object"),
        (damaged(lambda c: c.update(schema_version=4)), "schema_version: is 4; .* reads up to 3: upgrade"),
        (damaged(lambda c: c["scores"]["test"]["strict"]["ner"].update(f1=82.0)), r"scores\.test\.strict\.ner\.f1: .*less"),
        (damaged(lambda c: c["settings"]["training"].update(epoch=3)), r"settings\.training\.epoch: Extra"),
        (damaged(lambda c: c.pop("environment")), "environment: Field required"),
        (damaged(lambda c: c.update(started="2026-11-01T12:00:00")), "started: .*timezone"),
    ],
)
def test_errors_name_file_and_field(tmp_path, text, message):
    (tmp_path / "bad.json").write_text(text)
    for read in (lambda: records.load(tmp_path / "bad.json"), lambda: records.load_all(tmp_path)):
        with pytest.raises(RecordError, match=r"bad\.json.*" + message):
            read()


def test_one_run_in_two_files_is_an_error(tmp_path):
    path = records.write(record(), tmp_path)
    path.with_name("copy.json").write_bytes(path.read_bytes())
    with pytest.raises(RecordError, match=r"run_id: .* is also that of"):
        records.load_all(tmp_path)


def test_no_folder_holds_no_records(tmp_path):
    assert records.load_all(tmp_path / "none") == []
    assert records.find(Path("none"), "0" * 12) is None


def test_a_split_is_described_with_what_it_costs():
    inner, outer = Entity(0, 1, "PER"), Entity(0, 2, "PER")
    document = Document("1", ("Ann", "Lee"), (inner, outer), (Relation(inner, outer, "is"),))
    dataset = Dataset("d", "test", (document,), Schema(("PER",), ("is",)), {"skipped records": 1})
    split = records.describe_split(dataset, "0" * 64, unreachable={"nested entity": 1}, ceiling={"ner": 2 / 3})
    assert (split.documents, split.words, split.entities, split.relations) == (1, 2, 2, 1)
    assert (split.unreachable, split.ceiling) == ({"nested entity": 1}, {"ner": 0.666667})
    assert split.notes == {"skipped records": 1}


def test_ls_lists_what_there_is(tmp_path):
    app = typer.Typer()
    app.command()(ls)

    def listed(*arguments):
        return CliRunner().invoke(app, [*arguments, "--results", str(tmp_path)], catch_exceptions=False).stdout

    assert "no runs in" in listed("runs")
    records.write(record(), tmp_path / "runs")
    (run,) = json.loads(listed("runs", "--json"))
    assert (run["run"], run["dataset"], run["seed"]) == (record().run_id, "conll04", 42)
    assert run["ner_f1"] == pytest.approx(2 * 80 / (2 * 80 + 10 + 20), abs=1e-6)
    assert "84.21" in listed("runs")
    assert "iter" in [row["system"] for row in json.loads(listed("systems", "--json"))]
    assert {"conll04", "scierc"} <= {row["dataset"] for row in json.loads(listed("datasets", "--json"))}
