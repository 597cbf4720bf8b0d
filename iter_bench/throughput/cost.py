"""What extraction from many documents takes, calculated from throughput records; nothing is estimated that wasn't measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iter_bench.throughput.schema import ThroughputRecord

CALCULATION = (
    "hours of one device = documents ÷ documents/s ÷ 3600; joules a million = joules a document × 1,000,000; "
    "kWh = joules a document × documents ÷ 3,600,000. Documents/s is the median of the fastest VALID record of the same "
    "system, encoder, setting, workload, density (entities per 100 words), structure, dtype and machine, whatever its batch "
    "size, for documents of its lengths, reading and writing left out. Joules are those of the GPU alone, and absent where "
    "none was measured."
)


def costs(records: Sequence[ThroughputRecord], documents: int) -> list[dict[str, Any]]:
    """A row for all that decides speed but the batch size: what was measured at the best, and what ``documents`` would take.

    Returns:
        ``system``, ``encoder``, ``setting`` (the system's own), ``workload``, ``density`` (entities per 100 words of it),
        ``structure``, ``dtype``, ``hardware``, ``batch_size`` (the most documents that a batch may have) and ``run`` of
        the record; ``documents_per_second`` and ``joules_per_document`` (None: not measured) as measured;
        ``joules_per_million``, ``hours`` (of one device) and ``kwh``, calculated.
    """
    fastest: dict[tuple[Any, ...], ThroughputRecord] = {}
    for record in records:
        if record.valid:
            key = (*_subject(record).values(), record.settings.subject.trained or "")
            if key not in fastest or record.rate.median > fastest[key].rate.median:
                fastest[key] = record
    return [_row(record, documents) for _, record in sorted(fastest.items())]


def _subject(record: ThroughputRecord) -> dict[str, Any]:
    settings = record.settings
    return {
        "system": record.system,
        "encoder": settings.subject.weights,
        "setting": ", ".join(f"{name}={value}" for name, value in sorted(settings.subject.model.items())),
        "workload": settings.workload.name,
        "density": settings.workload.density,
        "structure": record.structure,
        "dtype": record.execution.get("dtype", ""),
        "hardware": record.hardware,
    }


def _row(record: ThroughputRecord, documents: int) -> dict[str, Any]:
    joules = record.power.joules_per_sample if record.power else None
    return {
        **_subject(record),
        "batch_size": record.batch,
        "run": record.run_id,
        "documents_per_second": record.rate.median,
        "joules_per_document": joules,
        "joules_per_million": None if joules is None else joules * 1e6,
        "hours": documents / record.rate.median / 3600,
        "kwh": None if joules is None else joules * documents / 3.6e6,
    }
