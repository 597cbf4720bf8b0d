"""PL-Marker written down a second time, plainly: one pair a pass, attention head by head over BERT's weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm


def bert(model, ids: list[int], positions: list[int], allowed: Tensor) -> Tensor:
    """Final states [N, hidden]; ``allowed[i, j]``: i may attend to j."""
    weights = {name: p for name, p in model.named_parameters()}

    def norm(x: Tensor, name: str) -> Tensor:
        return layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], model.config.layer_norm_eps)

    def dense(x: Tensor, name: str) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    tables = [weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")]
    x = norm(
        torch.stack([tables[0][i] + tables[1][p] + tables[2][0] for i, p in zip(ids, positions, strict=True)]),
        "embeddings.LayerNorm",
    )
    heads = model.config.num_attention_heads
    width = x.shape[1] // heads
    for number in range(model.config.num_hidden_layers):
        layer = f"encoder.layer.{number}"
        q, k, v = (dense(x, f"{layer}.attention.self.{name}") for name in ("query", "key", "value"))
        attended = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            scores = q[:, part] @ k[:, part].T / width**0.5
            attended.append(scores.masked_fill(~allowed, float("-inf")).softmax(-1) @ v[:, part])
        x = norm(x + dense(torch.cat(attended, 1), f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        inner = gelu(dense(x, f"{layer}.intermediate.dense"))
        x = norm(x + dense(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    return x


def levitated(model, text: list[int], first: int, last: int) -> Tensor:
    """States of ``text`` and of one marker pair behind it, [N + 2, hidden]."""
    length = len(text)
    start_marker = model.config.vocab_size - 2
    allowed = torch.zeros(length + 2, length + 2, dtype=torch.bool)
    allowed[:, :length] = True
    allowed[length:, length:] = True
    return bert(model, [*text, start_marker, start_marker + 1], [*range(length), first, last], allowed)


def span_logits(module, text: list[int], first: int, last: int) -> Tensor:
    """Stage 1 for one span."""
    states = levitated(module.encoder, text, first, last)
    return module.classifier(torch.cat((states[-2], states[-1], states[first], states[last])))


def pair_logits(module, text: list[int], subject: tuple[int, int] | None, object_: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Stage 2 for one subject, or none, and one object, given by first and last sub-token: classes and types."""
    opening = module.encoder.config.vocab_size - 4
    marked, place = [], {}
    for i, token in enumerate(text):
        if subject and i == subject[0]:
            marked.append(opening)
        place[i] = len(marked)
        marked.append(token)
        if subject and i == subject[1]:
            marked.append(opening + 1)
    if subject is None:
        marked += [opening, opening + 1]
    states = levitated(module.encoder, marked, place[object_[0]], place[object_[1]])
    solid = states[marked.index(opening)], states[marked.index(opening + 1)]
    # two linear maps, as published: of the object's markers and of the subject's
    hidden = states.shape[1]
    weight = module.classifier.weight
    of_object = weight[:, : 2 * hidden] @ torch.cat((states[-2], states[-1]))
    of_subject = weight[:, 2 * hidden :] @ torch.cat(solid)
    return of_object + of_subject + module.classifier.bias, module.type_classifier(torch.cat((states[-2], states[-1])))
