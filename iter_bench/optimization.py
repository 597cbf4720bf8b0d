"""What a training step does with gradients: clipping, and AdamW with a rate and schedule of its own for encoder and heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from iter_bench.settings import Schedule, TrainingSettings

NO_DECAY = ("bias", "norm", "layernorm")


def schedule_factor(schedule: Schedule, warmup: int, total: int) -> Callable[[int], float]:
    """Factor on the learning rate at each step: linear warm-up, then constant or linear to 0."""

    def factor(step: int) -> float:
        if step < warmup:
            return step / max(1, warmup)
        return 1.0 if schedule == "constant" else max(0.0, (total - step) / max(1, total - warmup))

    return factor


class ScheduledAdamW:
    """AdamW over the four groups {encoder, heads} × {decayed, not}, whose rates follow from the number of the step alone.

    Args:
        module: whose weights are trained.
        is_head: whether the weight of a name belongs to the heads rather than to the encoder.
        settings: rates, schedules, warm-ups, decay and clipping.
        steps: of the whole run.
    """

    def __init__(self, module: nn.Module, is_head: Callable[[str], bool], settings: TrainingSettings, steps: int):
        groups: list[dict[str, Any]] = []
        self._schedules: list[tuple[float, Callable[[int], float]]] = []
        self._clip_norm = settings.clip_norm
        self._clipped = [[*module.parameters()]] if settings.clip == "together" else []
        for part in ("encoder", "heads"):
            rate, decay = getattr(settings, f"lr_{part}"), getattr(settings, f"weight_decay_{part}")
            warmup = int(getattr(settings, f"warmup_{part}") * steps)
            named = [(n, p) for n, p in module.named_parameters() if is_head(n) == (part == "heads")]
            if settings.clip == "apart":
                self._clipped.append([p for _, p in named])
            for decayed in (True, False):
                weights = [p for n, p in named if decayed != any(word in n.lower() for word in NO_DECAY)]
                if weights:
                    groups.append({"params": weights, "weight_decay": decay if decayed else 0.0})
                    self._schedules.append((rate, schedule_factor(getattr(settings, f"schedule_{part}"), warmup, steps)))
        self.adamw = torch.optim.AdamW(groups, fused=True)

    def step(self, number: int) -> None:
        """Clips the gradients and takes step ``number``, counted from 0 over the whole run."""
        for weights in self._clipped:
            clip_grad_norm_(weights, self._clip_norm)
        for group, (rate, factor) in zip(self.adamw.param_groups, self._schedules, strict=True):
            group["lr"] = rate * factor(number)
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
