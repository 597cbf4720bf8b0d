"""Everything that tables are made from, by formula; ``python tests/golden_sources.py`` writes the golden tables anew."""

from pathlib import Path

from record_examples import record
from throughput_examples import data_set, measured

from iter_bench import data
from iter_bench.settings import RunSettings
from iter_bench.tables.catalogue import TABLES, Sources
from iter_bench.tables.data import DataStatistics
from iter_bench.throughput.settings import Subject

GOLDEN = Path(__file__).parent / "fixtures" / "tables" / "all"


def embedded(seed, quality, system):
    """A run on the first preset with ω = 3; every fifth document is half wrong."""
    documents = data.load("synthetic-w3", "test").documents
    split = record().data["test"].model_copy(update={"sha256": data.fingerprint(documents), "documents": len(documents)})
    counts = [(quality // 10, int(i % 5 == 0), int(i % 5 == 0)) for i in range(len(documents))]
    documents = dict.fromkeys(("ner", "re", "re_plus"), counts)
    return record(
        seed, quality, system=system, dataset="synthetic-w3", data=record().data | {"test": split}, documents=documents
    )


STATISTICS = {
    "encoder": "minilm",
    "rows": [
        {
            "dataset": "conll04",
            "split": "test",
            "expected_samples": 288,
            "paper_samples": "288",
            "paper": {"omega": 1},
            "measured": {
                "samples": 288,
                "entities": 1079,
                "relations": 422,
                "omega": 1,
                "overlapping": 0,
                "overlap_share": 0.0,
                "subtokens": [4, 173, 38.25],
            },
            "notes": {"skipped records": 1},
        },
        # without the file of the training split, of which the paper's ω and overlap are
        {
            "dataset": "genia",
            "split": "train",
            "expected_samples": 15023,
            "paper_samples": "16692",
            "paper": {"omega": 4},
            "measured": None,
            "notes": {},
        },
        {
            "dataset": "genia",
            "split": "test",
            "expected_samples": 1854,
            "paper_samples": "1854",
            "paper": None,
            "measured": {
                "samples": 1854,
                "entities": 5474,
                "relations": 0,
                "omega": 3,
                "overlapping": 371,
                "overlap_share": 0.2,
                "subtokens": [4, 200, 40.5],
            },
            "notes": {},
        },
    ],
    "absent": [],
}


def sources():
    """Runs of every kind: several seeds, settings, systems, encoders, folds; a search; VALID and INVALID throughput."""
    runs = [record(seed, 80 + 4 * (seed - 1)) for seed in (1, 2)]
    runs += [record(1, 60, training={"epochs": 7}), record(1, 90, encoder="google/flan-t5-large")]
    runs += [record(seed, 72, system="plmarker", dataset="scierc", symmetric=True) for seed in (1, 2)]
    runs += [record(1, 92, dataset="conll03", relations=False, lambda_curve=None), record(1, 99, test="dev")]
    runs += [record(1, quality, dataset="ade", fold=fold) for fold, quality in enumerate((80, 84))]
    runs += [embedded(1, quality, system) for quality, system in ((80, "iter"), (60, "asp"))]
    best = RunSettings(data={"dataset": "conll04"}, training={"lr_encoder": 2.067833e-4}, model={"activation": "relu"})
    asp = RunSettings(system="asp", data={"dataset": "conll04"}, training={"epochs": 12}, model={"dropout": 0.25})
    searches = {
        "mine": (best, {"training.lr_encoder": "0.0001 to 0.001", "model.dropout": "0.1 to 0.4"}),
        "of asp": (
            asp,
            {"training.lr_encoder": "1e-05 to 0.001", "training.epochs": "12 or 20", "model.dropout": "0.1 to 0.3"},
        ),
    }
    rates = {"iter": (99.0, 100.0, 101.0), "asp": (5.0,) * 3}
    speeds = [measured(name, of, workload=data_set("conll04")) for name, of in rates.items()]
    speeds += [measured(length=length, rates=(6400 / length,) * 3) for length in (64, 128, 256)]
    speeds += [measured(batch_size=1, workload=data_set("conll04"), problems=("drift: by 9%",))]
    lineups = {("t5-small", "t5-base"): (54, 229), ("deberta-v3-base", "flan-t5-base"): (226, 229), ("minilm", "gpt"): (23, 99)}
    for encoders, millions in lineups.items():
        lineup = [Subject(system=name, encoder=f"random:{encoder}") for name, encoder in zip(rates, encoders, strict=True)]
        for (name, of), count in zip(rates.items(), millions, strict=True):
            speeds.append(measured(name, of, workload=data_set("ace05"), lineup=lineup, parameters=10**6 * count))
    beside = [Subject(system="iter", trained="runs/ours"), Subject(system="released:Iter", trained="runs/released")]
    for subject, rate in zip(beside, (100.0, 25.0), strict=True):
        seen = {"structure": "predicted", "workload": data_set("conll04"), "work": None}
        speeds.append(measured(subject.system, (rate,) * 3, lineup=beside, **seen))
    return Sources(runs, DataStatistics.model_validate(STATISTICS), searches, speeds)


def written(folder):
    """Every table as Markdown with its notes, below ``folder``; name → path."""
    of = sources()
    made = {name: make(of) for name, make in TABLES.items()}
    return {name: next(path for path in table.write(folder, name) if path.suffix == ".md") for name, table in made.items()}


if __name__ == "__main__":  # after a change that is meant: look at `git diff` then
    for path in written(GOLDEN).values():
        for other in (".csv", ".tex"):
            path.with_suffix(other).unlink()
