"""Whether what is timed is right: a structure that is imposed, the states that lead to decisions, and predictions."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from iter_bench import systems
from iter_bench.document import Document, Extraction
from iter_bench.observation.shown import look
from iter_bench.throughput.measurable import DescribesExecution, ShowsStates
from iter_bench.throughput.schema import Structure

CHECKED = 4
"""Documents that are extracted one by one as well, to see that batches change nothing; with which compiled code is checked."""

PLAIN = 8
"""With an imposed structure, the most documents whose states are computed by the plain path as well."""

APART, LOW_APART = 1e-4, 5e-2
"""Most that states may differ from those of the plain path, relative to their length: in float32, and in any type of fewer
bits, in which they may differ no more than ``ROUNDED`` times what rounding makes of the plain path's either."""

ROUNDED = 3.0
"""On a CPU, batches of sound systems were 0.6 to 1 times as far apart as rounding takes the plain path."""

ALONE = 2
"""With an imposed structure, the documents whose probabilities are computed one by one as well."""

ROUNDING, LOW_ROUNDING = 1e-4, 0.1
"""By how much rounding may change a probability: in float32, and in any type of fewer bits."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A system with all that a call takes."""

    system: systems.System
    structure: Structure
    given: Any
    entities: int
    relations: int

    def predict(self, documents: Sequence[Document], batch_size: int) -> list[Extraction]:
        """The timed region."""
        if self.structure == "gold":
            return self.system.predict(documents, batch_size=batch_size, structure=self.given)
        return self.system.predict(documents, batch_size=batch_size)


def check(prepared: Prepared, documents: Sequence[Document], batch_size: int) -> list[str]:
    """What is wrong with the outputs: an imposed structure must come out, and how documents are computed must not matter.

    Whether batches change predictions is looked at in float32: in fewer bits, rounding decides what is nearly undecided.
    """
    system, found = prepared.system, []
    if prepared.structure == "gold":
        extracted, found = _with_structure(prepared, documents, batch_size)
        if wrong := _different(extracted, system.reachable(documents).extractions):
            return [f"wrong output: {wrong} of {len(documents)} documents don't have the imposed structure"]
        return found + _scores_of_batches(system, documents, extracted)
    if isinstance(system, ShowsStates) and prepared.given is not None:
        _, found = _with_structure(prepared, documents, batch_size)
    with _in_float32(system):
        extracted = prepared.predict(documents, batch_size)
        plain = [prepared.predict([document], 1)[0] for document in documents[:CHECKED]]
    if wrong := _different(extracted[: len(plain)], plain):
        found.append(f"wrong output: {wrong} of {len(plain)} documents differ from their extraction one by one")
    return found


def _with_structure(prepared: Prepared, documents: Sequence[Document], batch_size: int) -> tuple[list[Extraction], list[str]]:
    """The extractions of a call as it's timed, with the structure imposed, and what is wrong with its states.

    Those of some documents must be what they are by the plain path, in the type of number that is timed.
    """
    system = prepared.system
    if not isinstance(system, ShowsStates):
        return system.predict(documents, batch_size=batch_size, structure=prepared.given), []
    some = _some(documents)
    plain, bound = system.plain_states(documents, prepared.given, some), APART
    with look(plain) as shown:
        extracted = system.predict(documents, batch_size=batch_size, structure=prepared.given)
    if _dtype(system) != "float32":
        bound = LOW_APART
        if isinstance(system, systems.ChoosesPrecision):
            with _in_float32(system):
                exact = system.plain_states(documents, prepared.given, some)
            bound = min(bound, ROUNDED * _furthest(plain, exact))
    if (apart := _furthest(shown, plain)) <= bound:
        return extracted, []
    if math.isnan(apart):
        return extracted, ["wrong output: states are 0 or no numbers, or those of some documents weren't computed at all"]
    return extracted, [f"wrong output: states are up to {apart:.2g} of their length from the plain path's, not {bound:.2g}"]


def _some(documents: Sequence[Document]) -> list[int]:
    """Up to ``PLAIN`` documents, evenly spaced by length, the longest and the shortest among them: batches are by length."""
    by_length = sorted(range(len(documents)), key=lambda i: len(documents[i].words))
    return [by_length[int(place)] for place in np.linspace(0, len(documents) - 1, min(PLAIN, len(documents)))]


def _furthest(found: Mapping[Hashable, torch.Tensor], expected: Mapping[Hashable, torch.Tensor]) -> float:
    """How far apart any states are; NaN where any are incomparable."""
    return float(np.max([0.0, *(_apart(found.get(key), states) for key, states in expected.items())]))


def _apart(found: torch.Tensor | None, expected: torch.Tensor) -> float:
    """How far apart states are, relative to their length; NaN where they weren't shown, are of other places, or are all 0."""
    if found is None or found.shape != expected.shape:
        return math.nan
    found, expected = found.double(), expected.double()
    return float((found - expected).norm() / expected.norm()) if expected.numel() else 0.0


def _dtype(system: systems.System) -> str:
    """Of its matrix products."""
    return system.execution.get("dtype", "float32") if isinstance(system, DescribesExecution) else "float32"


def _different(extractions: Sequence[Extraction], others: Sequence[Extraction]) -> int:
    """How many aren't of the same document with the same entities and relations."""
    parts = [[(e.id, set(e.entities), set(e.relations)) for e in of] for of in (extractions, others)]
    return sum(one != other for one, other in zip(*parts, strict=True))


@contextmanager
def _in_float32(system: systems.System) -> Iterator[None]:
    """Within it the system computes so, if it lets its precision be set."""
    if not isinstance(system, systems.ChoosesPrecision):
        yield
        return
    before, system.precision = system.precision, "fp32"
    try:
        yield
    finally:
        system.precision = before


def _scores_of_batches(system: systems.System, documents: Sequence[Document], extracted: Sequence[Extraction]) -> list[str]:
    """What is wrong with the probabilities beside an imposed structure, where a system gives any.

    Those of the shortest documents, which batches pad most, must be what they are one by one.
    """
    bound = ROUNDING if _dtype(system) == "float32" else LOW_ROUNDING
    apart = [0.0]
    for i in sorted(range(len(documents)), key=lambda i: len(documents[i].words))[:ALONE]:
        given = system.prepare_structure([documents[i]], [extracted[i]])
        (plain,) = system.predict([documents[i]], batch_size=1, structure=given)
        for batch, alone in ((extracted[i].entities, plain.entities), (extracted[i].relations, plain.relations)):
            scores = {item: item.score for item in alone}
            apart += [abs(one.score - scores[one]) for one in batch if one.score is not None]
    furthest = float(np.max(apart))  # NaN where any is
    if furthest <= bound:
        return []
    return [f"wrong output: probabilities differ by up to {furthest:.3g} from those of the document alone"]
