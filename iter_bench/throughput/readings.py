"""How a line-up of systems can be read: as published, with one encoder for all, with as many parameters, or beside other code.

The reading follows from what the records of a line-up hold; no field states it, so none can be wrong about it.
"""

from __future__ import annotations

from collections.abc import Sequence

from iter_bench.systems import REGISTRY
from iter_bench.throughput.schema import ThroughputRecord
from iter_bench.throughput.settings import Subject

READINGS = {
    "as-published": "as published",
    "same-encoder": "same encoder for all",
    "same-parameters": "same parameters",
    "other-code": "beside other code",
    "other": "other line-ups",
}
"""Name → title. Every record has one of them."""
MEANINGS = {
    "as-published": (
        "Reading `as published`: each system has an encoder of the kind that its authors publish: ITER T5, FLAN-T5, BERT or "
        "DeBERTa, ASP T5 or FLAN-T5, PL-Marker BERT-base, SciBERT or ALBERT. A difference is one of system and encoder "
        "together."
    ),
    "same-encoder": (
        "Reading `same encoder for all`: the systems of a line-up have one and the same encoder, so differences are not its; "
        "ASP adds a decoder (which over BERT's kinds takes the place of the encoder's last layer), PL-Marker has two encoders."
    ),
    "same-parameters": (
        "Reading `same parameters`: encoders differ, but the parameters of the systems of a line-up, decoder and both stages "
        "included, are within 10 % of each other."
    ),
    "other-code": (
        "Reading `beside other code`: a line-up has a system that isn't this suite's, such as the released ITER with the same "
        "weights as ours (docs/iter.md), and not one encoder that its settings name."
    ),
    "other": (
        "Line-ups that have neither one encoder, nor as many parameters, nor the encoders that the systems' authors publish."
    ),
}
ALIKE = 1.1
"""Most that the largest system of a line-up may have of the smallest one's parameters to count as having as many."""
OWN = {
    "iter": ("t5", "flan-t5", "bert", "deberta"),
    "asp": ("t5", "flan-t5"),
    "plmarker": ("bert-base", "scibert", "albert"),
}
"""How the names of the encoders begin that a system's authors publish it with."""


def by_reading(records: Sequence[ThroughputRecord]) -> dict[str, list[ThroughputRecord]]:
    """The records of each reading, in the order of `READINGS`; VALID or not, since a line-up is known by all of its records."""
    lineups: dict[str, list[ThroughputRecord]] = {}
    for record in records:
        lineups.setdefault(record.settings.model_dump_json(include={"lineup"}), []).append(record)
    found: dict[str, list[ThroughputRecord]] = {name: [] for name in READINGS}
    for members in lineups.values():
        found[_reading(members)] += members
    return found


def _reading(members: Sequence[ThroughputRecord]) -> str:
    """Of all records of a line-up; parameters are compared once all its systems have a record."""
    lineup = members[0].settings.lineup
    told = all(subject.trained is None for subject in lineup)  # a folder doesn't tell its encoder
    if len(lineup) == 1 or (told and len({subject.weights for subject in lineup}) == 1):
        return "same-encoder"
    if any(subject.system not in REGISTRY for subject in lineup):
        return "other-code"
    parameters = [record.parameters for record in members]
    known = all(any(record.settings.subject == subject for record in members) for subject in lineup)
    if known and max(parameters) <= ALIKE * min(parameters):
        return "same-parameters"
    return "as-published" if all(map(_own, lineup)) else "other"


def _own(subject: Subject) -> bool:
    encoder = subject.encoder.removeprefix("random:").rsplit("/", 1)[-1].lower()
    return subject.trained is None and encoder.startswith(OWN.get(subject.system, ()))
