"""What data, tokenizer or settings left out, in lines for a person: nothing is silent."""

from __future__ import annotations

from collections.abc import Mapping

from iter_bench.records import SplitData


def counted(counts: Mapping[str, int]) -> str:
    """``3 words without sub-token; 1 …``."""
    return "; ".join(f"{count} × {what}" for what, count in counts.items())


def lines_of(data: SplitData) -> list[str]:
    """Notes on a split, the gold in it that the system can't reach, and the score that this costs."""
    lines = [f"{data.split}: {counted(data.notes)}"] if data.notes else []
    if data.unreachable:
        ceiling = ", ".join(f"{criterion} {100 * f1:.2f}" for criterion, f1 in data.ceiling.items())
        lines.append(f"{data.split}: out of the system's reach: {counted(data.unreachable)}; the best F1 is then {ceiling}")
    return lines
