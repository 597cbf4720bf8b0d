"""What extraction from many documents takes, calculated from throughput records; nothing is estimated that wasn't measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iter_bench.throughput.schema import ThroughputRecord

CALCULATION = (
    "hours of one device = documents ÷ documents/s ÷ 3600; joules a million = joules a document × 1,000,000; "
    "kWh = joules a document × documents ÷ 3,600,000. Documents/s is the median of the fastest VALID record of the same "
    "system, encoder, workload, structure and machine, for documents of its lengths, reading and writing left out. Joules "
    "are those of the GPU alone, and absent where none was measured."
)


def costs(records: Sequence[ThroughputRecord], documents: int) -> list[dict[str, Any]]:
    """A row a system, encoder, workload, structure and machine: what was measured, and what ``documents`` would take.

    Returns:
        ``system``, ``encoder``, ``workload``, ``structure``, ``hardware``, ``batch_size`` and ``run`` of the record;
        ``documents_per_second`` and ``joules_per_document`` (None: not measured) as measured; ``joules_per_million``,
        ``hours`` (of one device) and ``kwh``, calculated.
    """
    fastest: dict[tuple[str, ...], ThroughputRecord] = {}
    for record in records:
        if record.valid:
            about = (record.system, record.settings.subject.weights, record.settings.workload.name, record.structure)
            key = (*about, record.hardware)
            if key not in fastest or record.rate.median > fastest[key].rate.median:
                fastest[key] = record
    return [_row(key, record, documents) for key, record in sorted(fastest.items())]


def _row(key: tuple[str, ...], record: ThroughputRecord, documents: int) -> dict[str, Any]:
    joules = record.power.joules_per_sample if record.power else None
    return {
        **dict(zip(("system", "encoder", "workload", "structure", "hardware"), key, strict=True)),
        "batch_size": record.settings.batch_size,
        "run": record.run_id,
        "documents_per_second": record.rate.median,
        "joules_per_document": joules,
        "joules_per_million": None if joules is None else joules * 1e6,
        "hours": documents / record.rate.median / 3600,
        "kwh": None if joules is None else joules * documents / 3.6e6,
    }
