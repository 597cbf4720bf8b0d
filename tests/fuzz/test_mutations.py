"""Files that want to harm: every reader gives a correct result or a UserError, and the scorer counts right."""

import contextlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pyarrow
import pyarrow.parquet
import pytest
from fuzzing import ANNOTATED, SCHEMA, SPERT, fuzz
from plain_readers import columns, dygie, said_by
from plain_readers import spert as plain_spert
from plain_scorer import agree, spoilt
from record_examples import record
from throughput_examples import measured

from baselines.asp.configuration import VERSION as ASP_VERSION
from baselines.asp.configuration import AspConfig, AspSettings
from baselines.plmarker.configuration import PlMarkerConfig, PlMarkerSettings
from iter_bench import data, matrix, records
from iter_bench.bulk import Done, Job, items, marks
from iter_bench.bulk.attempts import Attempts
from iter_bench.cli.notes import counted
from iter_bench.cli.train import run_settings
from iter_bench.data import fetching, spert
from iter_bench.data.catalogue import DATA_DIR, MissingData, catalogue
from iter_bench.document import Document, Entity, Extraction, Schema
from iter_bench.encoders import encoder_config, max_length
from iter_bench.errors import UserError
from iter_bench.iter_model import released
from iter_bench.iter_model.configuration import IterConfig
from iter_bench.search import Search, load_search
from iter_bench.settings import RunSettings
from iter_bench.tables.catalogue import TABLES, load_sources
from iter_bench.throughput import check
from iter_bench.throughput.schema import ThroughputRecord
from iter_bench.throughput.sweep import Sweep, load_sweep
from iter_bench.verify import check_record

ROOT = Path(__file__).parents[2]
TYPES = {"entities": {"Drug": {"short": "D"}}, "relations": {"with": {"short": "w", "symmetric": True}}}
GOLD = [
    Document("one", ("a", "b"), (Entity(0, 1, "Drug"), Entity(0, 2, "Drug"))),
    Document("2", ("c",), (Entity(0, 1, "Adverse-Effect"),)),
]
LINES = '{"id": "x", "text": "Ann met Bob."}\n{"words": ["a", "b"]}\n{"text": "é ü"}\n'
PROFILE = """description = "d"
[change.training]
clip_norm = 1.0
[[group]]
system = "iter"
seeds = [1, 2]
folds = [0, 1]
data = { dataset = "ade", train = "train", dev = "none" }
training = { epochs = 2, batch_size = 16, lr_heads = 3e-4 }
model = { omega = 2 }
"""
CATALOGUE = """[mine]
title = "t"
format = "iob2"
columns = 3
tag_columns = 2
folder = "m"
files = { train = "train.txt", test = "test.txt" }
entity_types = ["a"]
max_span_words = 8
samples = { train = 3 }
licence = "l"
source = "s"
"""
ENCODER = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 16,
    "pad_token_id": 0,
}
RELEASED = {
    "model_type": "iter",
    "transformer_config": {**ENCODER, "_name_or_path": "bert"},
    "entity_types": ["a", "b"],
    "link_types": ["r"],
    "d_ff": 8,
    "activation_fn": "gelu",
    "dropout": 0.1,
    "features": 1 << 5 | 1 << 9,
    "max_nest_depth": 2,
}
SAVED = {"encoder": ENCODER, "entity_types": ["a", "b"], "relation_types": ["r", "s"], "symmetric": ["s"]}
PL_MARKER = {**SAVED, "settings": PlMarkerSettings(max_span_words=8).model_dump()}
IDS = {"opening": 1, "closing": 2, "context_opening": 3, "context_closing": 4}


PLAIN = {
    "spert.json": plain_spert,
    "dygie.json": dygie,
    "nested.iob2": columns(2),
    "conll03.iob1": columns(1),
    "tags.bilou": columns(1),
}
"""Of ADE there is none: where a span lies in a sentence has to be searched for, which is the reader's whole work."""


def annotated(documents: list) -> None:
    """Checks the documents, and the scorer on them: with their own gold, with nothing, and with gold that was spoilt."""
    assert all(isinstance(document, Document) for document in documents)
    assert len({document.id for document in documents}) == len(documents)
    for extraction in (lambda d: Extraction(d.id, d.entities, d.relations), lambda d: Extraction(d.id), spoilt):
        agree(documents, [extraction(document) for document in documents])


def gold_of(name, reader):
    """Where nothing was left out, the documents are what a plain reader finds in the file."""

    def read(path: Path, skip: bool) -> set:
        documents = reader(path, skip)
        annotated(documents)
        if not skip and name in PLAIN:
            assert [turned(said_by(document)) for document in documents] == list(map(turned, PLAIN[name](path.read_bytes())))
        return {repr((d.words, d.entities, d.relations)) for d in documents}

    return read


def turned(said):
    """A symmetric relation's ends have no order."""
    words, entities, relations = said
    return words, entities, {(kind, *(sorted(of) if kind in SCHEMA.symmetric else of)) for kind, *of in relations}


def predictions(path: Path, _: bool) -> set:
    found = spert.read_predictions(path, SCHEMA, GOLD)
    agree(GOLD, found)
    return {repr(found)}


def bulk_items(path: Path, _: bool) -> None:
    found = list(items([path]))
    assert all((item.document is None) == bool(item.problem) for item in found)
    total, begins, _ = marks([path], 2)
    assert total == len(found) and [next(items([path], begin)) for begin in begins] == found[::2]


def attempts(path: Path, _: bool) -> None:
    found = Attempts(path)
    assert found.progress >= (0,) and all(isinstance(number, int) for number in found.killers)
    if found.suspects is None or found.suspects.count:  # else the system is broken, and there are none
        ranges = found.ranges(4, 2)
        assert ranges[0][0] == 0 and all(end == begin for (_, end), (begin, _) in pairwise(ranges))


def done(path: Path, _: bool) -> None:
    found = Done.read(path)
    total = found + Done(1, 1, 1.0, Counter({"x": 1}))
    assert total.documents == found.documents + 1 and total.seconds >= 1 and counted(total.notes)


def job_of(folder: Path) -> Job:
    """Of one document, from a system of one file; both lie in the folder of the job."""
    (folder / "system").mkdir(parents=True, exist_ok=True)
    (folder / "system" / "system.json").write_text("{}")
    (folder / "in.txt").write_text("Ann met Bob.\n")
    return Job(str(folder / "system"), folder / "in.txt", folder)


def described() -> str:
    """The `job.json` of that job, which is the same wherever the folder lies."""
    with tempfile.TemporaryDirectory() as folder:
        job_of(Path(folder)).start()
        return Path(folder, "job.json").read_text()


def begun(path: Path, _: bool) -> None:
    job = job_of(path.parent)
    assert job.start() == 1 and job.shards == [(0, 0, 0, 0)], "whatever else it says is refused"


def kind(expected, load):
    def read(path: Path, _: bool) -> None:
        assert isinstance(load(path), expected)

    return read


def verified(of, checks):
    """As `iter-bench verify` reads a record."""

    def read(path: Path, _: bool) -> None:
        assert all(checks(records.load(path, of), path.name))

    return read


def encoder(path: Path, _: bool) -> None:
    max_length(encoder_config(str(path.parent)))


def released_config(path: Path) -> IterConfig:
    if not released.is_released(path.parent):
        raise UserError("isn't one of the released code")
    return IterConfig.from_dict(json.loads(path.read_text(encoding="utf-8")))


def sources(path: Path, _: bool) -> None:
    """As `iter-bench tables` reads it, with the table that it is for."""
    name = "table2-data" if path.suffix == ".json" else "table5-hyperparameters"
    TABLES[name](load_sources(path.parents[path.suffix == ".toml"]))


def own_entries(path: Path, _: bool) -> None:
    with mock.patch.dict(os.environ, {DATA_DIR: str(path.parent)}):
        if "mine" in catalogue():
            with contextlib.suppress(MissingData):
                data.load("mine", "train")


def parquet() -> bytes:
    sink = pyarrow.BufferOutputStream()
    rows = [{"id": "x", "text": "Ann met Bob."}, {"id": "y", "words": ["é", "ü"]}, {"id": None, "text": None}]
    schema = {"id": pyarrow.string(), "text": pyarrow.string(), "words": pyarrow.list_(pyarrow.string())}
    codecs = {"id": "snappy", "text": "none", "words.list.element": "zstd"}
    table = pyarrow.Table.from_pylist(rows * 3, schema=pyarrow.schema(schema))
    pyarrow.parquet.write_table(table, sink, row_group_size=4, compression=codecs)
    return sink.getvalue().to_pybytes()


def packed(name: str) -> bytes:
    return (ROOT / "iter_bench" / name).read_bytes()


def archive(kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed_:
            for name in ("../a.json", "d/b.json", "x"):
                packed_.writestr(name, name * 20)
    else:
        with tarfile.open(fileobj=out, mode="w") as packed_:
            for name in ("../a.json", "d/b.json", "x"):
                member = tarfile.TarInfo(name)
                member.size = 20
                packed_.addfile(member, io.BytesIO(b"0" * 20))
    return out.getvalue()


def unpacked(path: Path, _: bool) -> None:
    folder = path.with_name("unpacked")
    shutil.rmtree(folder, ignore_errors=True)
    found = fetching.unpack(path, {"a.json", "b.json"}, folder)
    assert {p.name for p in found} <= {"a.json", "b.json"} and all(p.parent == folder and p.is_file() for p in found)
    assert {p.name for p in path.parent.parent.glob("*.json")} == set(), "nothing lies above the folder"


def as_json(model) -> str:
    return json.dumps(model.model_dump(mode="json", by_alias=True))


MEASURED = {
    **{"samples": 1, "entities": 2, "relations": 1, "omega": 1},
    **{"overlapping": 0, "overlap_share": 0.1, "subtokens": [1, 2, 1.5]},
}
PAPER = {"train": "922", "omega": 1, "overlap": "0"}
OF_PAPER = {"expected_samples": 922, "paper_samples": "922", "paper": PAPER}
DATA = {
    "encoder": "minilm",
    "rows": [
        {"dataset": "conll04", "split": "train", "measured": MEASURED, **OF_PAPER, "notes": {"x": 1}},
        {"dataset": "ade", "split": "all", "measured": None, **dict.fromkeys(OF_PAPER), "notes": {}},
    ],
    "absent": ["genia"],
}
ASP = {"version": ASP_VERSION, **SAVED, "prefix": [7], "start": 0, **IDS, "settings": AspSettings().model_dump()}
FORMATS = {
    **{name: (content, gold_of(name, read)) for name, (content, read) in ANNOTATED.items()},
    "types.json": (json.dumps(TYPES), kind(Schema, spert.read_types)),
    "predictions.json": (json.dumps(SPERT), predictions),
    "lines.jsonl": (LINES, bulk_items),
    "lines.txt": ("Ann met Bob.\n\n\té\n", bulk_items),
    "rows.parquet": (parquet(), bulk_items),
    "job.json": (described(), begun),
    "done.json": ('{"documents": 4, "failed": 1, "seconds": 0.5, "notes": {"words without sub-token": 2}}', done),
    "attempts.json": ('{"killers": {"1": null}, "at_work": [2, 2, 1, "no luck"]}', attempts),
    "record.json": (as_json(record()), verified(records.Record, check_record)),
    "throughput.json": (as_json(measured()), verified(ThroughputRecord, check.check_record)),
    "profile.toml": (PROFILE, kind(list, lambda path: matrix.load_profile(str(path)).runs())),
    "search.toml": (packed("searches/conll04-iter.toml"), kind(Search, lambda path: load_search(str(path)))),
    "sweep.toml": (packed("throughput/sweeps/quick.toml"), kind(Sweep, lambda path: load_sweep(str(path)))),
    "run.toml": (packed("recipes/iter-conll04.toml"), kind(RunSettings, lambda path: run_settings(path, {}, []))),
    "catalogue.toml": (CATALOGUE, own_entries),
    "data.json": (json.dumps(DATA), sources),
    "searches/conll04-iter.toml": ('seed = 1\n[data]\ndataset = "conll04"\n[model]\nactivation = "relu"\n', sources),
    "archives/a.zip": (archive("zip"), unpacked),
    "archives/a.tar": (archive("tar"), unpacked),
    "encoder/config.json": (json.dumps(ENCODER), encoder),
    "released/config.json": (json.dumps(RELEASED), kind(IterConfig, released_config)),
    "asp/asp.json": (json.dumps(ASP), kind(AspConfig, lambda path: AspConfig.read(path.parent))),
    "plmarker/plmarker.json": (json.dumps(PL_MARKER), kind(PlMarkerConfig, lambda path: PlMarkerConfig.read(path.parent))),
}


def run(name: str, folder: Path, numbers: range) -> tuple[int, int]:
    content, read = FORMATS[name]
    return fuzz(name, content if isinstance(content, bytes) else content.encode(), read, folder, numbers)


@pytest.mark.parametrize("name", FORMATS)
def test_a_sample_of_mutations(name, tmp_path):
    accepted, different = run(name, tmp_path, range(100))
    assert accepted > 0
    if name in ANNOTATED or name == "predictions.json":
        assert different > 1, "else nothing was told apart"


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_mutations(name, tmp_path):
    """ITER_BENCH_MUTATIONS says how many of all formats together; docs/robustness.md has the last run of 100,000."""
    each = -(-int(os.environ.get("ITER_BENCH_MUTATIONS", "10000")) // len(FORMATS))
    accepted, different = run(name, tmp_path, range(1000, 1000 + each))
    print(name, each, "mutations,", accepted, "read without an error,", different, "different documents or predictions")
