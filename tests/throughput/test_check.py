"""`iter-bench verify` computes what a throughput record says again, and names whatever was changed in it."""

import json
import shutil
from datetime import timedelta
from statistics import mean

import pytest
from record_examples import START
from throughput_examples import measured

from iter_bench import data, records
from iter_bench.data.catalogue import MissingData
from iter_bench.report import write_all_tables
from iter_bench.tables.catalogue import load_sources
from iter_bench.throughput.check import check_record
from iter_bench.throughput.schema import ThroughputRecord
from iter_bench.throughput.workloads import documents_of, of_length, subtokens
from iter_bench.verify import verify
from iter_bench.verify.splits import check_documents

WORK = {"flops": 2e9, "seconds": 0.004, "share": 0.4}
CEILING = {"dtype": "float32", "flops": 1e12, "matrix": 512, "copy_rate": 1e10}
RATES = tuple(100 + i % 3 for i in range(60))  # 60 calls of 0.1 s: enough for the rules


DOCUMENTS, _ = documents_of(of_length(64, 10))
LENGTHS = subtokens(DOCUMENTS)
DESCRIBED = {
    "sha256": data.fingerprint(DOCUMENTS),
    "documents": 10,
    "words": sum(len(document.words) for document in DOCUMENTS),
    "subtokens": (min(LENGTHS), mean(LENGTHS), max(LENGTHS)),
    "entities": sum(len(document.entities) for document in DOCUMENTS),
    "relations": sum(len(document.relations) for document in DOCUMENTS),
}


def good(**changes):
    work = WORK | {"share": 0.004 * 101}
    return measured("iter", RATES, **{"documents": DESCRIBED, "work": work, "ceiling": CEILING, **changes})


CHANGES = {
    "median": ({"rate": {"median": 200.0, "p5": 100.0, "p95": 102.0}}, "rate: isn't the median"),
    "validity": ({"samples": [0.1] * 5, "rate": {"median": 100.0, "p5": 100.0, "p95": 100.0}}, "too few samples: 5, not 10"),
    "excuse": ({"problems": ["drift: it felt slow"]}, "problems: the rules give []"),
    "others": ({"conditions": {"others": 0.5}}, "other processes took 50%"),
    "share": ({"work": WORK | {"share": 0.9}}, "work.share"),
    "ceiling": ({"ceiling": None}, "there is no ceiling"),
    "faster": ({"work": WORK | {"seconds": 0.001, "share": 0.101}}, "work.seconds: the ceiling needs longer"),
    "slower": ({"work": WORK | {"read": 1e7, "share": 0.004 * 101}}, "work.seconds: the ceiling needs less"),
    "bytes": ({"work": WORK | {"read": 1e8, "share": 0.004 * 101}}, "work.seconds: the ceiling needs longer"),
    "dtype": ({"ceiling": CEILING | {"dtype": "bfloat16"}}, "ceiling.dtype is bfloat16, the system computed in float32"),
    "settings": ({"run_id": "0" * 12}, "run_id is 000000000000"),
    "system": ({"system": "asp"}, "system is asp, the settings name iter"),
    "structure": ({"structure": "predicted"}, "structure is predicted"),
    "machine": ({"device": "cuda:0", "environment": {"cpu": "Faster CPU"}}, "the environment says unknown GPU, Faster CPU"),
    "time": ({"finished": (START + timedelta(seconds=5)).isoformat()}, "last longer than from started to finished"),
    "lineup": ({"settings": {"lineup": []}}, "settings: Value error, the subject is none of the lineup's"),
    "no time": ({"samples": [0.1, 0.0]}, "samples.1: "),
    "no speed": ({"ceiling": CEILING | {"copy_rate": 0.0}}, "ceiling.copy_rate: "),
    "no samples": ({"samples": []}, "samples: there are none"),
    "field": ({"documents": {"documents": 0}}, "documents.documents: "),
    "other documents": ({"documents": {"sha256": "0" * 64}}, "documents: hash, counts or lengths aren't those of the workload"),
    "words": ({"documents": {"words": 1 + DESCRIBED["words"]}}, "documents: hash, counts or lengths aren't those of the"),
    "lengths": ({"documents": {"subtokens": [1.0, 60.0, 64.0]}}, "documents: hash, counts or lengths aren't those of the"),
    "entities": ({"documents": {"entities": 1}}, "documents.entities: is 1, the workload length-64 has "),
    "relations": ({"documents": {"relations": 9999}}, "documents.relations: is 9999, the workload length-64 has "),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A results folder of one record that nothing contradicts."""
    folder = tmp_path_factory.mktemp("sound")
    records.write(good(), folder / "throughput")
    write_all_tables(load_sources(folder), folder / "tables")
    assert verify(folder, [])[1:] == ([], [])
    return folder


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_named(name, sound, tmp_path):
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    (path,) = (tmp_path / "throughput").iterdir()
    changes, wanted = CHANGES[name]
    content = json.loads(path.read_text())
    for key, value in changes.items():
        content[key] = content[key] | value if key in ("environment", "documents", "settings") else value
    path.write_text(json.dumps(content))
    problems = verify(tmp_path, [])[1]
    assert any(wanted in problem for problem in problems), problems


def test_wrong_output_is_no_contradiction_and_other_names_are(tmp_path):
    wrong = good(problems=("wrong output: 1 of 5 documents don't have the imposed structure",))
    assert list(check_record(wrong, wrong.file_name)) == []
    assert list(check_record(wrong, "mine.json")) == [f"should be called {wrong.file_name}"]
    path = records.write(wrong, tmp_path)
    assert records.load(path, ThroughputRecord) == wrong


def test_documents_of_a_corpus_are_compared_where_it_is_and_no_more_than_their_gold_is_imposed():
    workload = of_length(64, 10).model_copy(update={"corpus": "synthetic"})
    documents, _ = documents_of(workload)
    lengths, gold = subtokens(documents), sum(len(document.entities) for document in documents)
    described = {
        **{"sha256": data.fingerprint(documents), "documents": 10, "words": sum(len(d.words) for d in documents)},
        **{"subtokens": (min(lengths), mean(lengths), max(lengths)), "relations": 0},
    }

    def said(entities, **changes):
        record = good(workload=workload, documents=described | {"entities": entities}, **changes)
        return list(check_documents(record, None))

    assert said(gold - 1) == said(gold) == said(gold + 1, structure="predicted") == []
    assert said(gold + 1) == [f"documents.entities: is {gold + 1}, the workload length-64 has {gold}"]
    elsewhere = good(workload=workload.model_copy(update={"corpus": "conll04"}), documents=described | {"entities": gold})
    with pytest.raises(MissingData):
        list(check_documents(elsewhere, None))


def test_documents_that_can_not_be_made_are_told():
    workload = of_length(64, 3).model_copy(update={"shortest": 63, "mean": 9.0})
    (problem,) = check_documents(good(workload=workload), None)
    assert problem.startswith("documents: can't be made again: ") and "take more" in problem


def test_texts_may_name_measured_rates_and_no_others(tmp_path):
    rates = tuple(10.25 + i % 3 / 10 for i in range(60))
    records.write(measured("iter", rates, work=None, documents=DESCRIBED), tmp_path / "throughput")
    write_all_tables(load_sources(tmp_path), tmp_path / "tables")
    text = tmp_path / "text.md"
    source = "<!-- from: tables/table1-throughput-same-encoder.csv -->"
    text.write_text(f"{source}\nITER: 10.35 documents/s, not 11.35; the paper's 34.83 is not ours.\n")
    problems = verify(tmp_path, [text])[1]
    assert [problem.split(": ")[1].split()[0] for problem in problems] == ["11.35", "34.83"]
