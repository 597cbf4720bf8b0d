"""Records of throughput made by formula, and systems that cost nothing, for the tests of the harness."""

from datetime import timedelta

from record_examples import ENVIRONMENT, START

from iter_bench.document import Extraction
from iter_bench.systems import Reachable
from iter_bench.throughput.schema import Conditions, ThroughputRecord, rate_of, stored
from iter_bench.throughput.settings import CellSettings, Rules, Subject
from iter_bench.throughput.workloads import of_dataset, of_length

HARDWARE = ENVIRONMENT.hardware("cpu")


def measured(
    system="iter", rates=(99.0, 100.0, 101.0), *, workload=None, length=64, batch_size=8, cell=0, lineup=None, **changes
):
    """A record of 10 documents a call at these rates; ``cell`` tells apart when it was measured."""
    lineup = lineup or [Subject(system=name) for name in ("iter", "asp", "plmarker")]
    settings = CellSettings(
        subject=next(subject for subject in lineup if subject.system == system),
        lineup=lineup,
        workload=workload or of_length(length, 10),
        batch_size=batch_size,
        rules=Rules(),
        hardware=changes.pop("hardware", HARDWARE),
    )
    samples = stored([10 / rate for rate in rates])
    words = {"sha256": "ab" * 32, "documents": 10, "words": 500, "entities": 30, "relations": 20}
    fields = {
        "run_id": settings.run_id,
        "settings": settings,
        "system": system,
        "structure": "gold",
        "documents": {**words, "subtokens": (length - 2, length - 1, length)},
        "samples": samples,
        "rate": rate_of(samples, 10),
        "parts": {"forward": 0.08, "decode": 0.01},
        "conditions": Conditions(others=0.0),
        "work": {"flops": 2e9, "seconds": 0.004, "share": 0.4},
        "parameters": 22_713_216,
        "device": "cpu",
        "execution": {"dtype": "float32", "attention": "sdpa", "compile": "none"},
        "environment": ENVIRONMENT,
        "started": START + timedelta(hours=cell),
        "finished": START + timedelta(hours=cell, minutes=1),
    }
    return ThroughputRecord.model_validate(fields | changes)


def data_set(name, **options):
    """The workload of a data set, whether or not the corpus is here."""
    return of_dataset(name, 10, None).model_copy(update={"corpus": options.get("corpus")})


class Echo:
    """Gives back the structure that it's given, and counts calls."""

    name = "echo"
    parameters = 1_000_000
    matrix_weights = 500
    calls = 0

    @classmethod
    def build(cls, encoder, schema, train, settings, *, seed):
        return cls()

    def prepare_structure(self, documents, extractions):
        return list(extractions)

    def predict(self, documents, *, batch_size=8, structure=None):
        type(self).calls += 1
        return list(structure) if structure else [Extraction(document.id) for document in documents]

    def reachable(self, documents):
        return Reachable([Extraction(d.id, d.entities, d.relations) for d in documents], {}, {})

    def flops(self, documents, structure):
        return 1000 * len(documents)


class Loses(Echo):
    """Forgets an entity."""

    name = "loses"

    def predict(self, documents, *, batch_size=8, structure=None):
        first, *rest = super().predict(documents, batch_size=batch_size, structure=structure)
        return [Extraction(first.id, first.entities[1:], first.relations), *rest]


class Bare:
    """A system that can be given no structure."""

    name = "bare"

    @classmethod
    def build(cls, encoder, schema, train, settings, *, seed):
        return cls()
