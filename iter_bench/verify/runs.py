"""Whether a run's record contradicts itself: ids, counts and ratios are computed again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import pairwise
from math import isclose
from statistics import mean

from iter_bench import mistakes, scoring
from iter_bench.data import catalogue, synthetic
from iter_bench.errors import SettingsError
from iter_bench.records import Record
from iter_bench.records.schema import Ratios, Scores, SplitData, Tally

TOLERANCE = 1e-5
"""Stored ratios have six digits."""


def check_record(record: Record, name: str) -> Iterator[str]:
    """What in a record contradicts the rest of it.

    Args:
        record: what the file holds.
        name: of the file.
    """
    if record.run_id != record.settings.run_id:
        yield f"run_id is {record.run_id}, the settings give {record.settings.run_id}"
    if name != record.file_name:
        yield f"should be called {record.file_name}"
    if record.finished < record.started:
        yield "finished before it started"
    try:
        symmetric = _symmetric(record.settings.data.dataset)
    except SettingsError as error:
        yield f"settings.data.dataset: {error}"
        return
    for role in ("train", "dev", "test"):
        held = record.data[role].split if role in record.data else None
        if held != (named := getattr(record.settings.data, role)):
            yield f"data.{role}: is of {held or 'no split'}, the settings name {named or 'none'}"
    tuned = "dev" in record.data and record.data["dev"].documents > 0
    if tuned != (record.scores.dev is not None):
        yield f"scores.dev: {'are missing' if tuned else 'data.dev holds nothing that they could be of'}"
    for split in ("test", "dev"):
        if (scores := getattr(record.scores, split)) is not None:
            yield from (f"scores.{split}.{problem}" for problem in _sums(scores))
            yield from (f"scores.{split}.{problem}" for problem in _conventions(scores, symmetric))
            if split in record.data:
                yield from (f"scores.{split}.{problem}" for problem in _gold(scores, record.data[split]))
    yield from _documents(record)
    yield from _seconds(record)
    yield from _mistakes(record)
    yield from _lambda_curve(record)


def _symmetric(dataset: str) -> Collection[str]:
    """The relation types without direction. Raises SettingsError where there is no such data set."""
    return (synthetic.SCHEMA if dataset in synthetic.PRESETS else catalogue.entry(dataset).schema).symmetric


def _sums(scores: Scores) -> Iterator[str]:
    """Ratios by the counts, counts by the types."""
    for convention, by_criterion in scores.items():
        for criterion, score in by_criterion.items():
            where = f"{convention}.{criterion}"
            for place, tally in ((where, score), *((f"{where}.{t}", tally) for t, tally in score.per_type.items())):
                if _differ(scoring.precision_recall_f1(tally.tp, tally.fp, tally.fn), tally):
                    yield f"{place}: precision, recall and F1 aren't those of tp, fp and fn"
            sums = tuple(sum(getattr(tally, n) for tally in score.per_type.values()) for n in ("tp", "fp", "fn"))
            if sums != _counts(score):
                yield f"{where}: the counts aren't the sums over the types"
            for ratio in ("precision", "recall", "f1"):
                of_types = [getattr(t, ratio) for t in score.per_type.values() if t.tp or t.fp or t.fn]
                if of_types and abs(mean(of_types) - getattr(score.macro, ratio)) > 1e-4:
                    yield f"{where}: macro {ratio} isn't the mean over the types"


def _conventions(scores: Scores, symmetric: Collection[str]) -> Iterator[str]:
    """What follows from ``strict`` for the other conventions, type by type.

    PL-Marker's counts a symmetric pair twice and is else the same. By surface, equal mentions of a document are one item: there
    are at most as many items, none only where there is none by position, and a hit by position is a hit.
    """
    for criterion, score in scores["strict"].items():
        if any(set(scores[convention][criterion].per_type) != set(score.per_type) for convention in scoring.CONVENTIONS):
            yield f"strict.{criterion}: the types aren't those of the other conventions"
            continue
        for type_, strict in score.per_type.items():
            twice = criterion != "ner" and type_ in symmetric
            again = tuple(count * (2 if twice else 1) for count in _counts(strict))
            if _counts(scores["pl_marker"][criterion].per_type[type_]) != again:
                yield f"pl_marker.{criterion}.{type_}: the counts aren't {'twice ' if twice else ''}those of strict"
            surface = scores["surface"][criterion].per_type[type_]
            for side, few, many in (
                ("gold", surface.tp + surface.fn, strict.tp + strict.fn),
                ("predicted", surface.tp + surface.fp, strict.tp + strict.fp),
            ):
                if few > many or (many and not few):
                    yield f"surface.{criterion}.{type_}: {few} {side} items, {many} by position"
            if strict.tp and not surface.tp:
                yield f"surface.{criterion}.{type_}: no hit, {strict.tp} by position"


def _gold(scores: Scores, split: SplitData) -> Iterator[str]:
    """Hits and misses are what the split holds."""
    for kind, criterion in (("entities", "ner"), ("relations", "re_plus")):
        score = scores["strict"].get(criterion)
        if (score.tp + score.fn if score else 0) != getattr(split, kind):
            yield f"strict.{criterion}: hits and misses aren't the {kind} of the split"


def _documents(record: Record) -> Iterator[str]:
    """The counts by document add up."""
    for criterion, counts in record.documents.items():
        score = record.scores.test["strict"].get(criterion)
        if score is None or tuple(map(sum, zip(*counts, strict=True))) != _counts(score):
            yield f"documents.{criterion}: the counts of the documents don't add up to those of scores.test.strict"
        if len(counts) != record.data["test"].documents:
            yield f"documents.{criterion}: {len(counts)} documents, the split has {record.data['test'].documents}"


def _seconds(record: Record) -> Iterator[str]:
    """What speeds and durations in tables are made of."""
    if record.prediction and record.prediction.documents != record.data["test"].documents:
        yield f"prediction.documents: is {record.prediction.documents}, the split has {record.data['test'].documents}"
    epochs = sum(epoch.seconds for epoch in record.history)
    if not isclose(record.durations.get("training", epochs), epochs, rel_tol=2 * TOLERANCE):
        yield f"durations.training: isn't the {epochs:.6g} seconds of all epochs"


def _mistakes(record: Record) -> Iterator[str]:
    """The classes add up, and what is left given right entities lies between what they allow."""
    for kind, criterion in (("entities", "ner"), ("relations", "re_plus")):
        score = record.scores.test["strict"].get(criterion)
        if kind in record.mistakes and (score is None or mistakes.totals(record.mistakes[kind]) != _counts(score)):
            yield f"mistakes.{kind}: the classes don't add up to the counts of scores.test.strict.{criterion}"
    if "given" in record.mistakes:
        for side, (least, most) in mistakes.bounds(record.mistakes["relations"]).items():
            if not least <= (given := record.mistakes["given"][side]) <= most:
                yield f"mistakes.given.{side}: is {given}, the classes of relations leave {least} to {most}"


def _lambda_curve(record: Record) -> Iterator[str]:
    """Each point has counts, which fall as λ grows; around the run's own λ they are those of the scores."""
    score = record.scores.test["strict"].get("re_plus")
    if not record.lambda_curve or score is None:
        if record.lambda_curve:
            yield "lambda_curve: scores.test.strict has no re_plus that it could be of"
        return
    if any(after.lambda_ <= before.lambda_ for before, after in pairwise(record.lambda_curve)):
        yield "lambda_curve: λ doesn't grow from point to point"
        return
    gold, counted = score.tp + score.fn, {}
    for point in record.lambda_curve:
        hits = round(point.recall * gold)
        found = round(hits / max(point.precision, 1e-12))  # where nothing is right, it isn't known how much was found
        counted[point.lambda_] = hits, found
        if _differ(scoring.precision_recall_f1(hits, found - hits, gold - hits), point):
            yield f"lambda_curve at {point.lambda_:g}: precision, recall and F1 come from no counts with {gold} gold relations"
    for (_, more), (at, fewer) in pairwise(counted.items()):
        if any(b > a * (1 + TOLERANCE) for a, b in zip(more, fewer, strict=True)):
            yield f"lambda_curve at {at:g}: more relations than at a smaller λ"
    own = _own_lambda(record)
    if own is None or not min(counted) <= own <= max(counted):
        return
    most, least = counted[max(at for at in counted if at <= own)], counted[min(at for at in counted if at >= own)]
    for count, low, high in zip((score.tp, score.tp + score.fp) if most[0] else (score.tp,), least, most, strict=False):
        if not low - 1 - low / 100 <= count <= high + 1 + high / 100:  # it was found in other batches, which round otherwise
            yield f"lambda_curve: isn't at {own:g}, the run's own λ, what scores.test.strict.re_plus is"
            return


def _own_lambda(record: Record) -> float | None:
    """λ of the run; None of a system of one's own that doesn't name it."""
    from iter_bench.iter_model.configuration import IterSettings

    default = IterSettings.model_fields["link_threshold"].default if record.system == "iter" else None
    own = record.settings.model.get("link_threshold", default)
    return own if isinstance(own, int | float) else None


def _differ(ratios: tuple[float, float, float], stored: Ratios) -> bool:
    given = (stored.precision, stored.recall, stored.f1)
    return any(abs(a - b) > TOLERANCE for a, b in zip(ratios, given, strict=True))


def _counts(tally: Tally) -> scoring.Counts:
    return tally.tp, tally.fp, tally.fn
