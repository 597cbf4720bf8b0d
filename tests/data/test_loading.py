import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iter_bench import data
from iter_bench.cli import app
from iter_bench.data.catalogue import MissingData, catalogue
from iter_bench.document import Document, Entity, Relation, Schema
from iter_bench.errors import DataError, SettingsError
from iter_bench.run import load_splits
from iter_bench.settings import DataSettings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a tiny CoNLL04, CoNLL03 and ADE."""
    monkeypatch.delenv("ITER_BENCH_DATA", raising=False)
    person = {"tokens": ["Ann", "sang"], "entities": [{"type": "Peop", "start": 0, "end": 1}], "relations": [], "orig_id": 1}
    for split in ("train", "dev"):
        write(tmp_path / f"conll04/conll04_{split}.json", json.dumps([person]))
    sentence = "Ann NNP I-NP I-PER\nsang VBD I-VP O\n\n"
    write(tmp_path / "conll03/eng.train", "-DOCSTART- -X- O O\n\n" + sentence * 500)
    write(tmp_path / "conll03/eng.testa", "-DOCSTART- -X- O O\n\n" + sentence * 500)
    write(tmp_path / "conll03/eng.testb", sentence)
    rows = (f"{i}|Rash after Xol.|Rash|10|14|Xol|21|24\n" for i in range(20))
    write(tmp_path / "ade_raw/DRUG-AE.rel", "".join(rows))
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_joined_splits_keep_ids_apart_and_tell_unexpected_counts(folder, caplog):
    dataset = data.load("conll04", "train+dev", data_dir=folder)
    assert [d.id for d in dataset.documents] == ["train/1", "dev/1"]
    assert dataset.split == "train+dev" and dataset.schema == data.schema_of("conll04")
    assert dataset.schema == Schema(
        ("Loc", "Org", "Peop", "Other"), ("Work_For", "Kill", "OrgBased_In", "Live_In", "Located_In")
    )
    assert dataset.notes == {"samples fewer than the 922 expected": 921, "samples fewer than the 231 expected": 230}
    assert "922 are expected" in caplog.text


def test_folds_part_the_data(folder):
    every = data.load("ade", "all", data_dir=folder)
    tests = [data.load("ade", "test", data_dir=folder, fold=k).documents for k in range(10)]
    assert sorted(d.id for fold in tests for d in fold) == sorted(d.id for d in every.documents)
    train = data.load("ade", "train", data_dir=folder, fold=3).documents
    assert {d.id for d in train} == {d.id for d in every.documents} - {d.id for d in tests[3]}
    joined = data.load("ade", "train+test", data_dir=folder, fold=3)
    assert len(joined.documents) == 20 and joined.notes == every.notes


def test_data_without_dev_are_refused_with_what_to_set(folder):
    with pytest.raises(SettingsError, match=r"ade has no split 'dev', .*; data\.dev=none"):
        load_splits(DataSettings(dataset="ade", fold=3), folder)
    assert set(load_splits(DataSettings(dataset="ade", fold=3, dev="none"), folder)) == {"train", "test"}


def test_conll03_by_document_and_by_sentence(folder):
    # 500 sentences of two words: training documents are cut once they have more than 800 words.
    assert [len(d.words) for d in data.load("conll03", "train", data_dir=folder).documents] == [802, 198]
    assert [len(d.words) for d in data.load("conll03", "dev", data_dir=folder).documents] == [1000]
    with pytest.raises(DataError, match="-DOCSTART-"):
        data.load("conll03", "test", data_dir=folder)
    sentences = data.load("conll03_sentence", "dev", data_dir=folder, context=3).documents
    assert len(sentences) == 500 and sentences[1].context_before == ("Ann", "sang")
    assert sentences[1].context_after == ("Ann", "sang", "Ann")


def test_missing_data_is_one_message_with_files_place_and_licence(folder):
    with pytest.raises(MissingData) as error:
        data.load("conll04", "test+train", data_dir=folder)
    message = str(error.value)
    assert str(folder / "conll04" / "conll04_test.json") in message and "lacks" in message
    for part in ("conll04_train.json", "ITER_BENCH_DATA", "--data-dir", "licence", "Roth and Yih"):
        assert part in message
    with pytest.raises(MissingData, match="neither is given"):
        data.load("ace05", "train")


@pytest.mark.parametrize(
    ("name", "split", "options", "message"),
    [
        ("conll05", "train", {}, "known are conll04"),
        ("conll04", "valid", {}, "train, dev, test"),
        ("conll04", "train+train", {}, "twice"),
        ("conll04", "train", {"fold": 0}, "no folds"),
        ("conll04", "train", {"context": 5}, "context"),
        ("ade", "test", {}, "fold from 0 to 9"),
        ("ade", "test", {"fold": 10}, "fold from 0 to 9"),
        ("ade", "dev", {"fold": 1}, "all, train, test"),
        ("synthetic", "test", {"context": 5}, "context"),
    ],
)
def test_what_can_not_be_loaded_is_a_message(folder, name, split, options, message):
    with pytest.raises(SettingsError, match=message):
        data.load(name, split, data_dir=folder, **options)


def test_the_embedded_corpus_and_its_types_come_by_the_same_way():
    assert "synthetic" in data.names()
    dataset = data.load("synthetic", "dev")
    assert dataset.documents and dataset.schema == data.schema_of("synthetic")


def test_a_fingerprint_is_of_everything_but_scores():
    head, tail = Entity(0, 1, "A"), Entity(1, 2, "A")
    document = Document("d", ("a", "b"), (head, tail), (Relation(head, tail, "r"),))
    changes = [
        {"id": "e"},
        {"words": ("a", "c")},
        {"entities": (head, tail, Entity(0, 2, "A"))},
        {"relations": (Relation(tail, head, "r"),)},
        {"sentences": ((0, 1), (1, 2))},
        {"context_before": ("x",)},
        {"context_after": ("x",)},
    ]
    prints = {data.fingerprint([replace(document, **change)]) for change in changes}
    assert len(prints | {data.fingerprint([document]), data.fingerprint([document, document])}) == len(changes) + 2
    scored = replace(document, entities=(replace(head, score=0.5), tail))
    assert data.fingerprint([scored]) == data.fingerprint([document])
    assert data.fingerprint([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_every_entry_says_what_a_user_needs():
    for name, entry in catalogue().items():
        assert entry.licence and entry.source and entry.title, name
        assert set(entry.samples) <= set(entry.files) and entry.schema.entity_types


OWN = """
[mine]
title = "My corpus"
format = "spert"
folder = "conll04"
files = { train = "conll04_train.json", test = "conll04_dev.json" }
entity_types = ["Peop", "Loc"]
samples = { train = 1 }
max_span_words = 8
licence = "own"
source = "own"
"""


def test_a_catalogue_of_ones_own_adds_data_sets(folder, monkeypatch):
    assert "mine" not in data.names()
    monkeypatch.setenv("ITER_BENCH_DATA", str(folder))
    write(folder / "catalogue.toml", OWN)
    assert data.names()[: len(catalogue()) - 1] == list(catalogue())[:-1] and list(catalogue())[-1] == "mine"
    dataset = data.load("mine", "train+test")
    assert [d.words for d in dataset.documents] == [("Ann", "sang")] * 2 and dataset.schema == Schema(("Peop", "Loc"))
    for wrong, message in (
        (OWN.replace('"spert"', '"spret"'), r"catalogue.toml, mine, format: Input should be 'spert'"),
        (OWN + "colour = 3", r"catalogue.toml, mine, colour: there is no such setting"),
        (OWN.replace("[mine]", "[ade]"), r"catalogue.toml: ade: there is a data set of that name already"),
        ("[mine", r"catalogue.toml: is no TOML file"),
        ("mine = 3", r"catalogue.toml, mine: "),
    ):
        write(folder / "catalogue.toml", wrong)
        with pytest.raises(SettingsError, match=message):
            data.names()


def test_all_that_is_missing_of_several_data_sets_is_named_at_once(tmp_path):
    error = CliRunner().invoke(app, ["data", "stats", "conll04", "synthetic", "conll03", "--data-dir", str(tmp_path)]).exception
    assert isinstance(error, MissingData)
    assert [line.split(":")[0] for line in str(error).splitlines() if "the data lacks" in line] == ["conll04", "conll03"]


def test_the_command_line_lists_describes_and_exports(folder, tmp_path):
    run = CliRunner().invoke
    listed = json.loads(run(app, ["data", "list", "--json", "--data-dir", str(folder)]).output)
    assert [row["name"] for row in listed] == data.names()
    assert next(row for row in listed if row["name"] == "conll04")["missing_files"] == ["conll04_test.json"]
    narrow = run(app, ["data", "list"], env={"COLUMNS": "80"}).output
    assert "…" not in narrow and all(f" {name} " in narrow for name in data.names())
    stats = run(app, ["data", "stats", "conll04", "ade", "--data-dir", str(folder), "--json"])
    rows = json.loads(stats.stdout)["rows"]
    assert [row["split"] for row in rows[:4]] == ["train", "dev", "test", "all"] and len(rows) == 14
    assert rows[0]["measured"]["omega"] == 1 and rows[0]["measured"]["subtokens"][0] == 4 and rows[2]["measured"] is None
    shown = run(app, ["data", "stats", "conll04", "--data-dir", str(folder)], env={"COLUMNS": "80"}).output
    assert "921" in shown and "sub-tokens min / max / avg" in shown, "nothing is cut"
    gold = tmp_path / "gold.json"
    exported = run(app, ["data", "export", "conll04", "--split", "dev", "--output", str(gold), "--data-dir", str(folder)])
    assert exported.exit_code == 0 and (tmp_path / "gold_types.json").is_file()
    assert json.loads(gold.read_text())[0]["tokens"] == ["Ann", "sang"]
