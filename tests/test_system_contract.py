"""What every registered system promises (`iter_bench.systems.System`); a new one is tested by its line in the registry."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from iter_bench import data, scoring, systems
from iter_bench.data.synthetic import SCHEMA
from iter_bench.devices import default_device
from iter_bench.document import Document, Extraction, Schema
from iter_bench.errors import SettingsError, UserError
from iter_bench.run import Folders, describe, encoder_of, execute
from iter_bench.settings import DataSettings, RunSettings, TrainingSettings

TRAINING = TrainingSettings(epochs=2, batch_size=8, lr_encoder=1e-3, lr_heads=3e-3)


EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


@pytest.fixture(params=[*sorted(systems.REGISTRY), "tagger:Tagger"])
def system_class(request, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return systems.system_class(request.param)


@pytest.fixture(scope="module")
def documents():
    return data.load("synthetic", "train").documents[:24]


def _built(system_class, encoder, documents, schema=SCHEMA):
    return system_class.build(encoder, schema, documents, {}, seed=5)


def test_it_trains_and_is_the_same_after_save_and_load(system_class, tiny_encoder, documents, tmp_path):
    system = _built(system_class, tiny_encoder, documents)
    assert isinstance(system, systems.System) and systems.system_class(system.name) is system_class and system.parameters > 0
    steps = []
    history = system.fit(documents, documents[:4], TRAINING, seed=5, folder=tmp_path / "fit", report=steps.append)
    for stage in {epoch.get("stage") for epoch in history}:
        losses = [sum(epoch["loss"].values()) for epoch in history if epoch.get("stage") == stage]
        assert len(losses) == 2 and losses[1] < losses[0]
    again = _built(system_class, tiny_encoder, documents)
    untrained = again.predict(documents)
    assert [e["loss"] for e in again.fit(documents, documents[:4], TRAINING, seed=5)] == [e["loss"] for e in history]

    predicted = system.predict(documents)
    assert [e.id for e in predicted] == [d.id for d in documents]
    scoring.score(documents, predicted, SCHEMA)  # refuses offsets and types that there are not
    assert again.predict(documents) == predicted != untrained
    system.save(tmp_path / "saved")
    loaded = systems.load_system(tmp_path / "saved")
    assert type(loaded) is system_class and loaded.schema == SCHEMA and loaded.settings == system.settings
    assert loaded.predict(documents) == predicted
    assert not [p for p in (tmp_path / "saved").rglob("*") if p.suffix in (".bin", ".pt", ".pkl")]

    (tmp_path / "saved" / systems.RUN_FILE).write_text(RunSettings(training={"precision": "bf16"}).model_dump_json())
    loaded, system.precision = systems.load_system(tmp_path / "saved"), "bf16"
    assert loaded.precision == "bf16" and loaded.predict(documents) == system.predict(documents)

    resumed = _built(system_class, tiny_encoder, documents)
    resumed.fit(documents, documents[:4], TRAINING, seed=5, folder=tmp_path / "fit", report=(repeated := []).append)
    assert steps and not repeated and resumed.predict(documents) == predicted


@pytest.mark.parametrize("lacks", ["relation type", "entity type", "relations"])
def test_gold_of_types_that_a_system_lacks_is_counted_as_out_of_its_reach(system_class, lacks, tiny_encoder):
    loaded = data.load("synthetic-w1", "dev")
    loaded = replace(loaded, documents=loaded.documents[:60])
    entities, relations = SCHEMA.entity_types, SCHEMA.relation_types
    entities, relations = {
        "relation type": (entities, relations[1:]),
        "entity type": (entities[1:], relations),
        "relations": (entities, ()),
    }[lacks]
    few = Schema(entities, relations, SCHEMA.symmetric & set(relations))
    system = _built(system_class, tiny_encoder, [], few)
    split = describe(system, loaded)
    dropped = [e for d in loaded.documents for e in d.entities if e.type not in entities]
    lost = [
        r
        for d in loaded.documents
        for r in d.relations
        if r.type not in relations or {r.head.type, r.tail.type} - set(entities)
    ]
    counts = {reason.split(":")[0]: count for reason, count in split.unreachable.items() if "that the system lacks" in reason}
    assert counts == {name: len(of) for name, of in (("entities", dropped), ("relations", lost)) if of} and lost
    gold = sum(len(d.relations) for d in loaded.documents)
    recall = (gold - len(lost)) / gold
    assert split.ceiling["re"] <= 2 * recall / (1 + recall) + 1e-6 and (lacks != "relations" or split.ceiling["re"] == 0)


def test_a_document_gets_the_same_extraction_in_any_company(system_class, tiny_encoder, documents):
    system = _built(system_class, tiny_encoder, documents)
    torch.manual_seed(3)
    for weights in system.module.parameters():  # random decisions instead of none
        weights.data += 0.02 * torch.randn_like(weights)
    spans = [{(e.start, e.end, e.type) for e in extraction.entities} for extraction in system.predict(documents, batch_size=1)]
    assert any(spans)
    for batch_size, order in ((5, list(range(24))), (64, list(range(23, -1, -1)))):
        found = system.predict([documents[i] for i in order], batch_size=batch_size)
        assert [e.id for e in found] == [documents[i].id for i in order]
        assert [{(e.start, e.end, e.type) for e in extraction.entities} for extraction in found] == [spans[i] for i in order]


def test_it_says_what_it_cannot_reach_and_takes_documents_without_anything(system_class, tiny_encoder, documents):
    system = _built(system_class, tiny_encoder, documents)
    reachable = system.reachable(documents)
    assert [e.id for e in reachable.extractions] == [d.id for d in documents]
    entities = sum(len(d.entities) for d in documents) - sum(len(e.entities) for e in reachable.extractions)
    relations = sum(len(d.relations) for d in documents) - sum(len(e.relations) for e in reachable.extractions)
    assert sum(n for reason, n in reachable.lost.items() if reason.startswith("entities")) == entities
    assert sum(n for reason, n in reachable.lost.items() if reason.startswith("relations")) == relations
    for document, extraction in zip(documents, reachable.extractions, strict=True):
        assert set(extraction.entities) <= set(document.entities) and set(extraction.relations) <= set(document.relations)
    assert system.predict([]) == []
    bare = [Document("one", ("Rome",)), Document("invisible", ("\u200b",))]
    assert [e.id for e in system.predict(bare)] == ["one", "invisible"]


def test_it_does_without_relations_and_refuses_settings_that_it_has_not(system_class, tiny_encoder, documents):
    schema = Schema(SCHEMA.entity_types, (), frozenset())
    only_entities = [Document(d.id, d.words, d.entities) for d in documents]
    system = _built(system_class, tiny_encoder, only_entities, schema)
    history = system.fit(only_entities, only_entities[:4], TRAINING, seed=5)
    assert history and not any(e.relations for e in system.predict(only_entities))
    name = system_class.name.partition(":")[0]
    with pytest.raises(SettingsError, match=f"^settings of {name}, no_such_setting: there is no such setting$"):
        system_class.build(tiny_encoder, SCHEMA, documents, {"no_such_setting": 1}, seed=5)


class Bare:
    """The protocol and nothing more; it knows the gold annotation."""

    name = f"{__name__}:Bare"
    parameters = 0

    def __init__(self, schema, settings):
        self.schema, self.settings = schema, settings

    @classmethod
    def build(cls, encoder, schema, train, settings, *, seed):
        return cls(schema, settings)

    @classmethod
    def load(cls, folder):
        return cls(SCHEMA, {})

    def save(self, folder):
        folder.mkdir(parents=True)
        systems.write_system_file(folder, self)

    def fit(self, train_documents, dev_documents, training, *, seed, folder=None, report=None):
        return []

    def predict(self, documents, *, batch_size=8):
        return [Extraction(document.id, document.entities, document.relations) for document in documents]

    def reachable(self, documents):
        return systems.Reachable(self.predict(documents), Counter(), Counter())


def test_a_system_with_the_protocol_alone_gets_a_record(tmp_path):
    promised = {*systems.System.__annotations__, *vars(systems.System)}
    assert {name for name in dir(Bare(SCHEMA, {})) if name[0] != "_"} == {name for name in promised if name[0] != "_"}
    folders = Folders(tmp_path / "results", tmp_path / "runs")
    data_ = DataSettings(dataset="synthetic-w1", train="dev", dev="dev")
    record = execute(RunSettings(system=Bare.name, data=data_), folders)
    assert record.scores.test["strict"]["re_plus"].f1 == record.scores.dev["strict"]["ner"].f1 == 1
    assert record.lambda_curve is None and record.device == str(default_device())
    started = RunSettings(encoder=f"trained:{record.run_id}")
    with pytest.raises(UserError, match="Bare, whose encoder can't be started from"):
        encoder_of(started, folders)
