"""Records made by formula, for the tests of records, tables and plots; no run ever gave these numbers."""

from datetime import UTC, datetime, timedelta
from statistics import mean

from iter_bench import mistakes, scoring
from iter_bench.environment import Environment, Git
from iter_bench.records import Record, write
from iter_bench.settings import RunSettings

ENVIRONMENT = Environment(
    git=Git(commit="0" * 40, dirty=False),
    packages={"torch": "2.13.0"},
    python="CPython 3.12.0",
    os="Linux 6 x86_64",
    cpu="Some CPU",
    cores=4,
    usable_cores=2,
    memory=2**34,
    threads=2,
    torch_cuda=None,
    gpus=[],
    command="iter-bench train",
)
START = datetime(2026, 12, 1, 12, tzinfo=UTC)


def tally(tp, fp, fn):
    precision, recall, f1 = scoring.precision_recall_f1(tp, fp, fn)
    return {"precision": precision, "recall": recall, "f1": f1, "tp": tp, "fp": fp, "fn": fn}


def entry(**counts):
    """tp, fp, fn by type, and their sums."""
    types = {name: tally(*of) for name, of in counts.items()}
    macro = {k: mean(of[k] for of in types.values()) for k in ("precision", "recall", "f1")}
    return {**tally(*map(sum, zip(*counts.values(), strict=True))), "macro": macro, "per_type": types}


def scores(quality, symmetric=False, relations=True):
    """``quality`` hits of 100 entities, half as many of 50 relations; half as many false positives as misses.

    Ten hits of relations are of one type, which PL-Marker's convention counts twice if it's symmetric (true, or what the data
    set calls it); by surface form one hit more is found than by position.
    """
    misses, one = 100 - quality, symmetric if isinstance(symmetric, str) else "spouse"
    by_convention = {}
    for convention in scoring.CONVENTIONS:
        factor, more = 2 if symmetric and convention == "pl_marker" else 1, int(convention == "surface" and misses >= 4)
        by_convention[convention] = {"ner": entry(PER=(quality + more, misses // 2 - more, misses - more))}
        if relations:
            for criterion, lost in (("re", 0), ("re_plus", 5)):
                counts = (quality // 2 - lost - 10 + more, misses // 4 + lost - more, misses // 2 + lost - more)
                by_convention[convention][criterion] = entry(**{one: (factor * 10, 0, 0), "lives_in": counts})
    return by_convention


def classes(quality, relations=True):
    """Mistakes that add up to `scores`: misses with a wrong type, else missed; false positives beyond these are spurious."""
    misses = 100 - quality
    wrong = misses // 4
    found: mistakes.Mistakes = {
        "entities": {"hit": quality, "type": wrong, "missed": misses - wrong, "spurious": misses // 2 - wrong}
    }
    if relations:
        hit, extra, lost = quality // 2 - 5, misses // 4 + 5, misses // 2 + 5
        found["relations"] = {"hit": hit, "entities": 3, "missed": 2, "missed entity": lost - 5, "spurious": extra - 3}
        found["given"] = {"gold": hit + 2, "predicted": hit + extra - 3}
    return {kind: dict.fromkeys(mistakes.CLASSES[kind], 0) | of for kind, of in found.items()}


def curve(quality):
    """RE+ at five λ, at the third that of `scores`: each finds one hit less than the one before, and two wrong ones less."""
    hits, extra, lost = quality // 2 - 5, (100 - quality) // 4 + 5, (100 - quality) // 2 + 5
    points = [scoring.precision_recall_f1(hits + 2 - i, extra + 4 - 2 * i, lost - 2 + i) for i in range(5)]
    return [{"lambda": i / 4, "precision": p, "recall": r, "f1": f} for i, (p, r, f) in enumerate(points)]


def record(
    seed=42, quality=80, *, system="iter", dataset="conll04", fold=None, test="test", symmetric=False, relations=True, **changes
):
    """A record; ``changes`` are fields of it, or of its settings where they are written ``training`` or ``model``."""
    settings = RunSettings(
        system=system,
        seed=seed,
        encoder=changes.pop("encoder", "minilm"),
        data={"dataset": dataset, "fold": fold, "test": test},
        training=changes.pop("training", {}),
        model=changes.pop("model", {}),
    )
    related = quality // 2 + (100 - quality) // 2
    split = {"sha256": "ab" * 32, "documents": 10, "words": 200, "entities": 100, "relations": related if relations else 0}
    fields = {
        "run_id": settings.run_id,
        "settings": settings,
        "scores": {"test": scores(quality, symmetric, relations), "dev": scores(quality - 2, symmetric, relations)},
        "data": {name: {"split": name, **split} for name in ("train", "dev", "test")},
        "history": [
            {
                "epoch": i,
                "loss": {"left": 4.0 / (i + 1), "span": 2.0 / (i + 1)},
                "dev": {"ner": quality / 100 - 0.3 / (i + 1)} | ({"re_plus": quality / 200} if relations else {}),
                "train_seconds": 9.0,
                "seconds": 10.0 + seed / 3,
                "selected": True,
            }
            for i in range(3)
        ],
        "durations": {"training": 30.0 + seed, "scoring": 1.0},
        "prediction": {"documents": 10, "seconds": 0.25, "batch_size": 8},
        "peak_memory": {"host": 3 * 2**30},
        "mistakes": classes(quality, relations),
        "parameters": 22_713_216,
        "device": "cpu",
        "lambda_curve": curve(quality) if relations else None,
        "environment": ENVIRONMENT,
        "started": START,
        "finished": START + timedelta(seconds=60),
    }
    return Record.model_validate(fields | changes)


def write_twelve(folder, which):
    """Records of seeds 0 to 11, as a process of its own that is called ``which``: here, where no torch is imported for it."""
    for seed in range(12):
        write(record(seed, durations={"train": float(which)}), folder)
