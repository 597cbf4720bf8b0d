"""AdamW that doesn't touch the words that no text has.

Word embeddings are a third to a half of a small model's weights, and a batch's gradient is zero in all but some hundred of
their rows. With sparse gradients only the rows that some batch has had are updated; of the others AdamW's moments are zero, so
that weight decay is all that moves them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

LARGE = 4096
"""Rows from which on an embedding is worth it."""
MOMENTS = ("exp_avg", "exp_avg_sq")


def want_rows(module: nn.Module) -> None:
    """Makes the gradients of the module's large embeddings sparse."""
    for part in module.modules():
        if isinstance(part, nn.Embedding) and part.num_embeddings >= LARGE:
            part.sparse = True


def clip_norm(weights: Iterable[nn.Parameter], limit: float) -> None:
    """As ``torch.nn.utils.clip_grad_norm_``, for sparse gradients too, which are coalesced."""
    whole = []
    for weight in weights:
        if weight.grad is not None and weight.grad.is_sparse:
            weight.grad = weight.grad.coalesce()
            values = weight.grad.values()
            weight = nn.Parameter(torch.empty_like(values))
            weight.grad = values
        whole.append(weight)
    nn.utils.clip_grad_norm_(whole, limit)


class RowwiseAdamW(torch.optim.AdamW):
    """torch's fused AdamW, with the same numbers for weights whose gradients are sparse and coalesced.

    Of such a weight [V, width] it holds ``rows`` [K], those that gradients have had so far, and moments [K, width]; what
    ``state_dict`` gives is what torch's gives.
    """

    def state_dict(self) -> dict[str, Any]:
        """As torch's, with moments of all rows."""
        content = super().state_dict()
        weights = [weight for group in self.param_groups for weight in group["params"]]
        content["state"] = {i: _of_all_rows(state, weights[i]) for i, state in content["state"].items()}
        return content

    @torch.no_grad()
    def step(self) -> None:
        """Takes a step and drops the sparse gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None and weight.grad.is_sparse:
                    self._step_rows(weight, group)
                    weight.grad = None
        super().step()

    def _step_rows(self, weight: nn.Parameter, group: dict[str, Any]) -> None:
        ids, values = weight.grad.indices()[0], weight.grad.values()
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), device=weight.device)
            state |= {"rows": ids[:0], **{name: values[:0] for name in MOMENTS}}
        elif "rows" not in state:  # they were loaded
            rows = state["exp_avg_sq"].any(1).nonzero().squeeze(1)
            state |= {"rows": rows, **{name: state[name][rows] for name in MOMENTS}}
        place = torch.full((len(weight),), -1, device=weight.device)
        place[state["rows"]] = torch.arange(len(state["rows"]), device=weight.device)
        if len(new := ids[place[ids] < 0]):
            place[new] = torch.arange(len(new), device=weight.device) + len(state["rows"])
            state["rows"] = torch.cat((state["rows"], new))
            state |= {name: torch.cat((state[name], torch.zeros_like(values[: len(new)]))) for name in MOMENTS}
        gradient = torch.zeros_like(state["exp_avg"]).index_copy_(0, place[ids], values)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        moved = weight[state["rows"]]
        options = {"amsgrad": False, "maximize": False, "weight_decay": 0.0, "lr": group["lr"], "eps": group["eps"]}
        options |= dict(zip(("beta1", "beta2"), group["betas"], strict=True))
        adamw([moved], [gradient], *([state[name]] for name in MOMENTS), [], [state["step"]], fused=True, **options)
        weight[state["rows"]] = moved


def _of_all_rows(state: dict[str, Tensor], weight: Tensor) -> dict[str, Tensor]:
    if "rows" not in state:
        return state
    moments = {name: torch.zeros_like(weight).index_copy_(0, state["rows"], state[name]) for name in MOMENTS}
    return {"step": state["step"], **moments}
