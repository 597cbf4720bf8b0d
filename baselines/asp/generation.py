"""Decoding: the encoder once, then the decoder output by output, or several outputs a pass.

What the decoder would copy next is known from the pointer alone. ``speculative`` decoding therefore gives it the next copies
before they are decided, takes those up to the first step at which something else than a copy is decided, and goes on from
there: the outputs are those of ``stepwise`` decoding, which gives it one at a time.

Only actions are decided on the way, because later states depend on nothing else. Types and relations are read from the states
of the brackets when all sequences are finished. On CUDA the host waits every ``CHECK`` passes, to let finished rows go, and
twice at the end of a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from baselines.asp.actions import CLOSE, COPY, OPEN, brackets
from baselines.asp.batch import mask_of, padded
from baselines.asp.configuration import AspSettings
from baselines.asp.decisions import Given, Greedy
from baselines.asp.decoder import Cache, Memory
from baselines.asp.modeling import AspModel
from baselines.asp.source import Source
from iter_bench.batching import token_budget
from iter_bench.devices import moved
from iter_bench.observation.parts import part
from iter_bench.observation.shown import show

CHECK = 8
FEW_ROWS = 2
FAR, NEAR = 8, 6
"""Outputs that a pass tries: ``FAR`` where it takes as long as reading the weights does, on a GPU (not measured there) and for
``FEW_ROWS`` at most on a CPU; else ``NEAR``."""


@dataclass(frozen=True, slots=True)
class Output:
    """What was decided on one source.

    Attributes:
        actions: [L].
        types: type and its probability, one an entity, in the order of their ``</m>``.
        links: (earlier entity, later entity, class other than 0, its probability).
    """

    actions: np.ndarray
    types: list[tuple[int, float]]
    links: list[tuple[int, int, int, float]]


def waits_for_nothing(device: torch.device) -> bool:
    """Whether the host may read a tensor at any time, so that what isn't needed can be left out at once."""
    return device.type == "cpu"


def width_of(settings: AspSettings, rows: int, device: torch.device) -> int:
    """Outputs that a pass of the decoder tries for each of a batch's rows."""
    if settings.decoding == "stepwise":
        return 1
    return settings.lookahead or (FAR if rows <= FEW_ROWS or not waits_for_nothing(device) else NEAR)


@torch.inference_mode()
def generate(model: AspModel, sources: Sequence[Source], pad: int, decisions: Greedy | Given) -> list[Output]:
    """Decodes a batch; all sequences are valid (``actions``), and each writes its whole source unless ``max_steps`` ends it."""
    written, states = decode(model, sources, pad, decisions)
    with part("forward"):
        written, most = written.cpu().numpy(), model.config.settings.max_steps
        actions = [row[1:][: min(row[0], most or row[0])] for row in written]
        keys = ((tuple(s.input_ids.tolist()), tuple(row.tolist())) for s, row in zip(sources, actions, strict=True))
        show(keys, lambda number: states[number, : len(actions[number])])
        return _read_brackets(model, actions, states, decisions)


def decode(model: AspModel, sources: Sequence[Source], pad: int, decisions: Greedy | Given) -> tuple[Tensor, Tensor]:
    """A batch decoded: how many outputs each row has, before their actions [B, 1 + L], and their states [B, L, width]."""
    with part("transfer"):
        run = _Run(model, sources, pad, decisions)
    with part("forward"):
        run.encode()
        passes = 0
        while run.rows.numel():
            run.step()
            passes += 1
            if run.on_cpu or passes % CHECK == 0:
                run.drop_finished()
        return torch.cat((run.counts[:, None], run.actions), dim=1), run.states


class _Run:
    """A batch on its way: A of its B rows are unfinished. Slots count a row's outputs, the pointer its copies."""

    def __init__(self, model: AspModel, sources: Sequence[Source], pad: int, decisions: Greedy | Given):
        self.model, self.config, self.decisions = model, model.config, decisions
        device = next(model.parameters()).device
        self.on_cpu = waits_for_nothing(device)
        self.width = width = width_of(model.config.settings, len(sources), device)

        def upload(array: np.ndarray) -> Tensor:
            return moved(torch.from_numpy(array), device)

        lengths = np.array([len(source.word) for source in sources])
        beyond = lengths.max() + width  # a pass that begins at the end looks so far
        self.copied = upload(padded([s.copied for s in sources], 0, beyond))
        self.can_open = upload(padded([s.can_open for s in sources], 0, beyond))
        self.can_close = upload(padded([s.can_close for s in sources], 0, beyond))
        self.length = upload(lengths)
        self.offset = upload(np.array([source.offset for source in sources]))
        self.read = np.array([len(source.input_ids) for source in sources])
        self.tokens = token_budget(device)
        self.attention_mask = upload(mask_of([s.input_ids for s in sources]))
        self.input_ids = upload(padded([s.input_ids for s in sources], pad))
        self.ahead = torch.arange(width, device=device)
        self.most = 0  # no row has more outputs
        # of the unfinished rows:
        self.rows = torch.arange(len(sources), device=device)
        self.pointer = torch.zeros_like(self.rows)
        self.slot = torch.zeros_like(self.rows)
        self.opened = torch.full_like(self.rows, -1)  # pointer of the open <m>
        self.next_id = torch.full_like(self.rows, self.config.start)
        self.finished = torch.zeros_like(self.rows, dtype=torch.bool)

    def encode(self) -> None:
        """The encoder, and what the decoder keeps of it; no output is written yet.

        The decoder's passes are fewest where the batch is whole; the encoder takes a few rows at a time (they come longest
        first), so that as little is padded as in systems that do nothing else.
        """
        model, batch, room = self.model, len(self.rows), self.copied.shape[1] + 16
        parts, begin = [], 0
        while begin < batch:
            longest = int(self.read[begin:].max())
            rows = slice(begin, begin + max(1, self.tokens // longest))
            mask = self.attention_mask[rows, :longest]
            read = model.encode(self.input_ids[rows, :longest], mask, padded=bool((self.read[rows] < longest).any()))
            parts.append(model.decoder.memory(read, mask))
            begin = rows.stop
        self.memory = Memory.joined(parts)
        self.cache = Cache(model.decoder.shape, batch, room, self.memory.layers[0][0])
        self.states = read[-1].new_zeros(batch, room, model.decoder.shape.width)
        self.actions = self.rows.new_zeros(batch, room)
        self.counts = self.rows.new_zeros(batch)
        # what the state that wrote the open <m> adds to type_head, of the unfinished rows
        self.left = read[-1].new_zeros(batch, model.type_head.inner.out_features)

    def step(self) -> None:
        """One pass of the decoder: up to ``width`` more outputs for each unfinished row."""
        rows, length = self.rows[:, None], self.length[self.rows]
        pointer = self.pointer[:, None] + self.ahead
        slots = self.slot[:, None] + self.ahead
        self._reserve(self.most + self.width)
        # the output that is decided already, then the copies that may follow it
        ids = torch.cat((self.next_id[:, None], self.copied[rows, pointer[:, :-1]]), dim=1)
        copied = torch.minimum(pointer, length[:, None]).maximum((slots > 0).long())  # as in Source.positions
        positions = (self.offset[rows] + copied - 1).clamp_min(0)
        model = self.model
        states = model.write(model.decoder, model.embed(ids), positions, self.memory, slots, self.cache)

        chosen = self.decisions.actions(*self._logits(states, pointer), self.rows, pointer)
        stop = (chosen != COPY) | (pointer >= length[:, None])  # a bracket, or the end of the text
        copies = torch.where(stop.any(1), stop.int().argmax(1), self.width - 1)[:, None]  # before the last new output
        last, at = chosen.gather(1, copies).squeeze(1), pointer.gather(1, copies).squeeze(1)
        self.states[rows, slots] = states.to(self.states.dtype)
        self.actions[rows, slots] = torch.where(self.ahead < copies, COPY, chosen)

        opens, closes, copied = last == OPEN, last == CLOSE, last == COPY
        self._remember(states, copies, opens)
        self.opened = torch.where(opens, at, torch.where(closes, -1, self.opened))
        bracket = torch.where(opens, self.config.opening, self.config.closing)
        self.next_id = torch.where(copied, self.copied[self.rows, at], bracket)
        self.slot = torch.where(self.finished, self.slot, self.slot + copies.squeeze(1) + 1)
        self.finished = self.finished | (copied & (at >= length))
        if self.config.settings.max_steps is not None:
            self.finished = self.finished | (self.slot >= self.config.settings.max_steps)
        self.pointer = torch.where(self.finished, self.pointer, at + copied.long())
        self.most += self.width

    def _logits(self, states: Tensor, pointer: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [A, q] of ``<m>`` and ``</m>``, -inf where they aren't valid; a CPU computes the valid ones only."""
        rows, opened = self.rows[:, None], self.opened[:, None]
        may_open = self.can_open[rows, pointer] & (opened < 0)
        may_close = self.can_close[rows, pointer] & (opened >= 0) & (pointer > opened)
        model = self.model

        def opening(states: Tensor, _: Tensor) -> Tensor:
            return model.open_head.logits(model.open_head.share(states)).squeeze(-1)

        def closing(states: Tensor, left: Tensor) -> Tensor:
            return model.type_head.logits(left + model.type_head.share(states, 1)).logsumexp(-1)

        def where(valid: Tensor, score: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
            if not self.on_cpu:
                return score(states, self.left[:, None]).masked_fill(~valid, -torch.inf)
            at = valid.nonzero(as_tuple=True)
            scores = score(states[at], self.left[at[0]])
            return torch.full(valid.shape, -torch.inf, dtype=scores.dtype).index_put(at, scores)

        return where(may_open, opening), where(may_close, closing)

    def _remember(self, states: Tensor, copies: Tensor, opens: Tensor) -> None:
        """Keeps what the state that wrote ``<m>`` adds to ``type_head``, for the rows where one was written."""
        row = torch.arange(len(opens), device=opens.device)
        if self.on_cpu:
            row = row[opens]
        share = self.model.type_head.share(states[row, copies[row, 0]]).to(self.left.dtype)
        if self.on_cpu:
            self.left[row] = share
        else:
            self.left = torch.where(opens[:, None], share, self.left)

    def _reserve(self, outputs: int) -> None:
        """Makes room for so many outputs of a row."""
        self.cache.use(outputs)
        if (more := outputs - self.states.shape[1]) > 0:
            more = max(more, self.states.shape[1] // 2)
            self.states = nn.functional.pad(self.states, (0, 0, 0, more))
            self.actions = nn.functional.pad(self.actions, (0, more))

    def drop_finished(self) -> None:
        """Lets the finished rows go once they are a quarter; this waits for the device."""
        self.counts[self.rows] = self.slot
        slot, finished = torch.stack((self.slot, self.finished.long())).cpu()
        self.most = int(slot.max())
        if 4 * int(finished.sum()) < len(finished):
            return
        keep = moved((finished == 0).nonzero().squeeze(1), self.rows.device)
        for name in ("rows", "pointer", "slot", "opened", "left", "next_id", "finished"):
            setattr(self, name, getattr(self, name).index_select(0, keep))
        self.memory.keep(keep)
        self.cache.keep(keep)


def _read_brackets(model: AspModel, actions: Sequence[np.ndarray], states: Tensor, decisions: Greedy | Given) -> list[Output]:
    """Types of all entities and classes of all pairs, from the states [B, L, width] that wrote their brackets."""
    found = [brackets(row) for row in actions]
    entities = [len(closing) for _, closing in found]
    base = np.arange(len(actions)) * states.shape[1]
    ends = [np.concatenate([steps[i] + b for steps, b in zip(found, base, strict=True)]) for i in (0, 1)]
    first_entity = np.cumsum([0, *entities])
    pairs = [np.stack(np.triu_indices(count, k=1)) for count in entities]
    both = np.concatenate([pair + first for pair, first in zip(pairs, first_entity[:-1], strict=True)], axis=1)
    values = decided(model, states.flatten(0, 1), *ends, both, decisions).cpu().tolist()
    choices = [(int(kind), score) for kind, score in zip(*values, strict=True)]
    first_pair = first_entity[-1] + np.cumsum([0, *(pair.shape[1] for pair in pairs)])
    types, links = ([choices[a:b] for a, b in itertools.pairwise(of.tolist())] for of in (first_entity, first_pair))
    return [
        Output(
            actions=row,
            types=kinds,
            links=[(i, j, *link) for (i, j), link in zip(pair.T.tolist(), of, strict=True) if link[0]] if of else [],
        )
        for row, kinds, pair, of in zip(actions, types, pairs, links, strict=True)
    ]


def decided(
    model: AspModel, states: Tensor, opening: np.ndarray, closing: np.ndarray, pairs: np.ndarray, decisions: Greedy | Given
) -> Tensor:
    """Types of all entities, then classes of all pairs, [2, E + P]: each choice and its probability. Nothing waits for them.

    Args:
        model: without types of relations pairs are left out.
        states: [B · L, width] of all outputs.
        opening, closing: [E] which of them wrote an entity's brackets.
        pairs: [2, P] indices of entities.
        decisions: what chooses.
    """
    opening, closing, pairs = (moved(torch.from_numpy(rows), states.device) for rows in (opening, closing, pairs))
    right = states[closing]
    logits = model.type_head.logits(model.type_head.share(states[opening]) + model.type_head.share(right, 1))
    found = [_with_probability(decisions.types(logits), logits)]
    if model.config.relation_types:
        logits = model.link_logits(right, *pairs)
        found.append(_with_probability(decisions.links(logits), logits))
    return torch.cat(found, dim=1)


def _with_probability(choice: Tensor, logits: Tensor) -> Tensor:
    return torch.stack((choice.double(), logits.softmax(1).gather(1, choice[:, None]).squeeze(1).double()))
