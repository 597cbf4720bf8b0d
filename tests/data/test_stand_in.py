"""Generated texts in ACE05's formats: both readers give the same, and nothing takes them for ACE05."""

import json

import pytest
from typer.testing import CliRunner

from iter_bench import data
from iter_bench.cli import app
from iter_bench.data import catalogue, stand_in
from iter_bench.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand-in")
    done = CliRunner().invoke(app, ["data", "stand-in", "ace05", "--output", str(folder), "--texts", "12"])
    assert done.exit_code == 0 and "(stand-in)" in done.stdout
    return folder


@pytest.mark.parametrize("split", ["train", "test"])
def test_both_formats_hold_the_same_under_ace05s_schema(folder, split):
    lines, samples = (data.load(name, split, data_dir=folder, context=64) for name in ("ace05", "ace05_asp"))
    assert lines.schema == samples.schema == catalogue.entry("ace05").schema
    for a, b in zip(lines.documents, samples.documents, strict=True):
        assert (a.id, a.words, a.entities, a.relations) == (b.id, b.words, b.entities, b.relations)
        # ASP's context is cut at whole sentences, so it is the nearer part of the other's
        assert a.context_before[len(a.context_before) - len(b.context_before) :] == b.context_before
        assert a.context_after[: len(b.context_after)] == b.context_after
    with_context = [d for d in samples.documents if d.context_before or d.context_after]
    assert len(with_context) > 0.8 * len(samples.documents)
    assert {e.type for d in lines.documents for e in d.entities} == set(lines.schema.entity_types)
    if split == "train":
        assert {r.type for d in lines.documents for r in d.relations} == set(lines.schema.relation_types)
    expected = catalogue.entry("ace05").samples[split]
    assert (
        lines.notes
        == samples.notes
        == {
            f"samples fewer than the {expected} expected": expected - len(lines.documents),
            stand_in.NOTE: len(lines.documents),
        }
    )


def test_relation_types_beyond_the_catalogues_join_the_schema_of_all_splits(folder, tmp_path):
    for name in ("ace05", "ace05_asp"):
        (tmp_path / name).mkdir()
        for file in catalogue.entry(name).files.values():
            text = (folder / name / file).read_text()
            changed = text.replace('"ORG-AFF"', '"METONYMY"') if "test" in file else text
            (tmp_path / name / file).write_text(changed)
        train, test = (data.load(name, split, data_dir=tmp_path) for split in ("train", "test"))
        assert train.schema == test.schema and train.schema.relation_types[-1] == "METONYMY"
        assert train.schema.symmetric == {"PER-SOC"} and len(train.schema.relation_types) == 7
        found = sum(r.type == "METONYMY" for d in test.documents for r in d.relations)
        assert test.notes["relations of type METONYMY, which the catalogue doesn't name"] == found > 0
        assert data.schema_of(name, folder).relation_types[-1] == "PHYS"
    path = tmp_path / "ace05" / "dev.json"
    path.write_text(path.read_text().replace('"PER"', '"HERO"'))
    with pytest.raises(DataError, match="unknown type"):  # entity types are not open
        data.load("ace05", "dev", data_dir=tmp_path)


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "ace05").mkdir()
    own = tmp_path / "ace05" / "dev.json"
    own.write_text(json.dumps({"doc_key": "mine"}))
    with pytest.raises(SettingsError, match="is there already"):
        stand_in.write_ace05(tmp_path, 4)
    assert [path.name for path in tmp_path.rglob("*.json")] == ["dev.json"]
