"""Tables beyond the paper: what the scoring convention does to a score, and which differences are more than luck."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from iter_bench.records import Record
from iter_bench.scoring import CONVENTIONS, CRITERIA, precision_recall_f1
from iter_bench.tables.captions import provenance
from iter_bench.tables.output import LABELS
from iter_bench.tables.runs import ABOUT, group_runs, on_test, percent
from iter_bench.tables.significance import differences
from iter_bench.tables.text import Made


def conventions(records: Sequence[Record]) -> Made:
    """The same predictions in every convention; RE and RE+ are rows of their own."""
    records = on_test(records)
    rows = []
    for group in group_runs(records):
        for criterion in (c for c in CRITERIA if c in group.records[0].scores.test["strict"]):
            row = group.about | {"criterion": LABELS[criterion]}
            for convention in CONVENTIONS:
                row[convention], row[f"{convention} std"] = percent(group, criterion, convention)
            row |= {f"difference {name}": row[name] - row["strict"] for name in ("pl_marker", "surface")}
            rows.append(row)
    columns = [*ABOUT, "criterion"]
    columns += [f"{name}{std}" for name in CONVENTIONS for std in ("", " std")]
    columns += ["difference pl_marker", "difference surface"]
    note = (
        "F1 in percent of the same predictions, mean ± sample standard deviation over runs. Differences are to `strict`. RE "
        "ignores the types of a relation's entities, RE+ doesn't: their distance is what wrong entity types cost."
    )
    return Made("Scoring conventions", pd.DataFrame(rows, columns=columns), (note, provenance(records)))


def types(records: Sequence[Record]) -> Made:
    """Which types are hit, missed and invented: counts (strict, NER and RE+) summed over the runs of a group."""
    records = on_test(records)
    rows = []
    for group in group_runs(records):
        tests = [record.scores.test["strict"] for record in group.records]
        for criterion in (c for c in ("ner", "re_plus") if c in tests[0]):
            for name in sorted({name for test in tests for name in test[criterion].per_type}):
                tallies = [test[criterion].per_type[name] for test in tests if name in test[criterion].per_type]
                hit, spurious, missed = (sum(getattr(tally, field) for tally in tallies) for field in ("tp", "fp", "fn"))
                row = group.about | {"criterion": LABELS[criterion], "type": name}
                row |= {"hit": hit, "missed": missed, "spurious": spurious}
                rows.append(row | {"strict F1": 100 * precision_recall_f1(hit, spurious, missed)[2]})
    columns = [*ABOUT, "criterion", "type", "hit", "missed", "spurious", "strict F1"]
    note = "Counts in convention `strict`, summed over the runs; F1 in percent, of these sums. A wrong type or border is both."
    return Made("Errors by type", pd.DataFrame(rows, columns=columns), (note, provenance(records)))


def significance(records: Sequence[Record]) -> Made:
    """All pairs of systems and settings that were scored on the same test documents, and which could be no part of one."""
    return differences(on_test(records), "Differences between systems")
