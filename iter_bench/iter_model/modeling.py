"""The reference ITER as a Hugging Face model: ``is_left``, ``is_span`` and ``is_link`` over one encoder pass.

Complexity (section 3.5): O(N) for ``is_left``, O(N·ω) for ``is_span``, O(E²) for ``is_link``; since two-vector heads project
each vector once, the matrix products of ``is_link`` are O(E) and only the additions are O(E²).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from iter_bench import hub
from iter_bench.devices import ForgetsLowered, sent
from iter_bench.encoders import encoder_dims, encoder_from_config, states
from iter_bench.errors import SettingsError, UserError
from iter_bench.iter_model import decoding, loss, released
from iter_bench.iter_model.batch import Inputs, Labels
from iter_bench.iter_model.configuration import IterConfig, register
from iter_bench.iter_model.heads import GatedFeedForward, Projected
from iter_bench.iter_model.imposed import Decisions
from iter_bench.observation.shown import show

PAIRS_AT_ONCE = 2**17
"""Pairs of entities that are combined together: each takes vectors of width η until it's a logit. Not measured."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lengths fixed beforehand for lists that the device fills: left brackets, entities and pairs of a batch."""

    lefts: int
    entities: int
    pairs: int

    def grown_to(self, needed: Sizes) -> Sizes:
        """These sizes, each doubled until it holds what was needed."""
        return Sizes(*(_doubled(getattr(self, f.name), getattr(needed, f.name)) for f in fields(self)))

    @classmethod
    def room(cls, slots: Sequence[int]) -> Sizes:
        """What windows of so many slots each could fill, one entity a slot; the same for batches that hold about as much."""
        return LEAST.grown_to(cls(sum(slots), sum(slots), sum(n * n for n in slots)))


LEAST = Sizes(lefts=64, entities=64, pairs=256)
"""Lists for a batch unlike those before it; longer ones are these doubled."""


def _doubled(size: int, needed: int) -> int:
    while size < needed:
        size *= 2
    return size


@dataclass(frozen=True, slots=True)
class Found:
    """What the model decided on one batch, on the host.

    Attributes:
        window, left, right, type: [E] of each entity: row of the batch, slots of its brackets, index of its type.
        score: [E] probability of that type.
        head, tail: [P] pairs of entities; link: [P, φ] their relations' probabilities.
        needed: the sizes that the batch needed.
    """

    window: np.ndarray
    left: np.ndarray
    right: np.ndarray
    type: np.ndarray
    score: np.ndarray
    head: np.ndarray
    tail: np.ndarray
    link: np.ndarray
    needed: Sizes


class Pending:
    """Decisions on their way to the host; nothing waits for them until they're asked for.

    Args:
        packed: all numbers in one tensor: three counts, [E, 5] entities, [P, 2] pairs, [P, φ] probabilities.
        entities, pairs, relation_types: E, P and φ.
    """

    def __init__(self, packed: Tensor, entities: int, pairs: int, relation_types: int):
        self._sizes = (entities, pairs, relation_types)
        self._packed = sent(packed)

    def found(self) -> Found:
        """The decisions, waited for; entries beyond the true counts are dropped."""
        entities, pairs, relation_types = self._sizes
        counts, rows, ends, link = np.split(self._packed().numpy(), np.cumsum([3, entities * 5, pairs * 2]))
        needed = Sizes(*counts.astype(np.int64).tolist())
        rows = rows.reshape(-1, 5)[: needed.entities]
        window, left, right, kind = rows[:, :4].T.astype(np.int64)
        ends = ends.reshape(-1, 2)[: needed.pairs].astype(np.int64)
        link = link.reshape(pairs, relation_types)[: needed.pairs]
        return Found(window, left, right, kind, rows[:, 4], ends[:, 0], ends[:, 1], link, needed)


class IterModel(ForgetsLowered, PreTrainedModel):
    """Encoder and the three heads; see ``IterConfig`` for every choice.

    Checkpoints of the released code (``fleonce/iter-*``) load through ``from_pretrained`` as well.
    """

    config_class = IterConfig
    base_model_prefix = "iter"

    def __init__(self, config: IterConfig):
        super().__init__(config)
        self.encoder = encoder_from_config(AutoConfig.for_model(**config.encoder))
        self.states: Callable[..., Tensor] = states
        hidden, ffn = encoder_dims(self.encoder.config)
        width = config.d_ff or ffn
        options: dict[str, Any] = {"activation": config.activation, "gate": config.gate, "dropout": config.dropout}
        two_vector = width * config.two_vector_scale
        classes = len(config.entity_types) + config.has_no_span_class
        self.is_left = GatedFeedForward(1, hidden, width, 1, **options)
        self.is_span = GatedFeedForward(2, hidden, two_vector, classes, **options)
        if config.relation_types:
            ends = 4 if config.link_span == "concat" else 2
            self.is_link = GatedFeedForward(ends, hidden, two_vector, len(config.relation_types), **options)
        self.post_init()

    @classmethod
    def from_pretrained(cls, name: str | Path, *args: Any, **kwargs: Any) -> IterModel:
        """As in transformers, from safetensors only; a checkpoint of the released code is converted on the way.

        Of what transformers takes for the hub, ``revision``, ``token`` and ``local_files_only`` are heeded, and files are
        compared with the hub's checksums (`hub.files`); the Auto classes read config.json themselves, before that. A
        released checkpoint takes no other arguments.

        Raises:
            UserError: there is no checkpoint, or it lacks weights, which transformers would make up with a warning.
        """
        revision = kwargs.pop("revision", None)
        revision = getattr(revision, "resolved", revision)  # the commit that the Auto classes took the configuration of
        access = {"token": kwargs.pop("token", None), "offline": kwargs.pop("local_files_only", None) or False}
        folder = hub.folder_of(name if revision is None or Path(name).is_dir() else f"{name}@{revision}", **access)
        if released.is_released(folder):
            return released.load(cls, folder)
        asked = kwargs.pop("output_loading_info", False)
        try:
            model, info = super().from_pretrained(folder, *args, use_safetensors=True, output_loading_info=True, **kwargs)
        except (SettingsError, OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise UserError(f"{name}: config.json and model.safetensors can't be loaded together: {error}") from error
        if missing := sorted(info["missing_keys"]):
            raise UserError(f"{name}: model.safetensors lacks {len(missing)} weights, the first is {missing[0]!r}")
        return (model, info) if asked else model

    def encode(self, inputs: Inputs) -> Tensor:
        """Latent representations h, flattened to [R·N, δ]."""
        rows = inputs.tokens
        return self.states(self.encoder, rows.input_ids, rows.segment, rows.position, padded=rows.padded).flatten(0, 1)

    def forward(self, inputs: Inputs, labels: Labels) -> dict[str, Tensor]:
        """The three losses of eq. 9, each summed over its positions: ``is_left``, ``is_span``, ``is_link``."""
        hidden = self.encode(inputs)
        config = self.config
        losses = {"is_left": loss.is_left_loss(self._is_left_logits(hidden, inputs), labels.is_left)}
        lefts, rights = self.is_span.project(hidden.index_select(0, labels.lefts), hidden.index_select(0, labels.rights))
        logits = self.is_span.combine(lefts.take(labels.span_left), rights.take(labels.span_right))
        losses["is_span"] = loss.is_span_loss(logits, labels.span_classes, labels.span_at_right, config.has_no_span_class)
        if config.relation_types:
            tails, heads = self._link_sides(
                hidden, (labels.tail_left, labels.tail_right), (labels.head_left, labels.head_right)
            )
            logits = self.is_link.combine(tails.take(labels.pair_tail), heads.take(labels.pair_head))
            losses["is_link"] = loss.is_link_loss(logits, labels.links)
        if config.loss_reduction == "mean":
            losses = {name: value / inputs.windows for name, value in losses.items()}
        return losses

    def _is_left_logits(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        """γ of eq. 10 for every slot, [S]."""
        return self.is_left.combine(*self.is_left.project(hidden.index_select(0, inputs.left))).squeeze(1)

    def _link_sides(
        self, hidden: Tensor, tails: tuple[Tensor, Tensor], heads: tuple[Tensor, Tensor]
    ) -> tuple[Projected, Projected]:
        """Shares of ``is_link``'s first layer for spans given by (left, right) rows of ``hidden``; tails stand first."""
        if self.config.link_span == "right":
            tail, head = self.is_link.project(*(hidden.index_select(0, right) for _, right in (tails, heads)))
            return tail, head
        ends = [hidden.index_select(0, rows) for side in (tails, heads) for rows in side]
        if self.config.link_span == "sum":
            tail, head = self.is_link.project(ends[0] + ends[1], ends[2] + ends[3])
            return tail, head
        shares = self.is_link.project(*ends)
        return shares[0].plus(shares[1]), shares[2].plus(shares[3])

    @torch.inference_mode()
    def extract(self, inputs: Inputs, sizes: Sizes | None = None, decisions: Decisions | None = None) -> Pending:
        """Entities and pairs of a batch, on their way from the device in one transfer.

        Args:
            inputs: the batch.
            sizes: see ``decoding``; none takes exact lengths. Where ``Found.needed`` exceeds them, the result isn't whole.
            decisions: brackets to take instead of those decided, with all else computed as ever.
        """
        hidden = self.encode(inputs)
        show(inputs.contents(), lambda number: inputs.read(hidden, number))
        left_slots, exists, span_logits, candidates, lefts_found = self._candidates(hidden, inputs, sizes, decisions)
        chosen, probability = decoding.decide_spans(
            span_logits, exists, self.config.span_decision, self.config.has_no_span_class
        )
        if decisions is not None:
            chosen = decisions.instead_of(chosen, decisions.spans[candidates])
        types = chosen.shape[1]
        flat, real = decoding.nonzero(chosen.flatten(), sizes.entities if sizes else None)
        candidate, kind = flat // types, flat % types
        right_slots = candidates[candidate] // self.config.omega
        left_slots = left_slots[candidate]
        window = inputs.window[right_slots]
        if self.config.relation_types:
            head, tail, pairs = decoding.pairs_within(window, real, inputs.windows, sizes.pairs if sizes else None)
            ends = (inputs.left[left_slots], inputs.right[right_slots])
            tails, heads = self._link_sides(hidden, ends, ends)
            pairs_at_once = zip(tail.split(PAIRS_AT_ONCE), head.split(PAIRS_AT_ONCE), strict=True)
            link = torch.cat([self.is_link.combine(tails.take(t), heads.take(h)).sigmoid() for t, h in pairs_at_once])
        else:
            head = tail = window.new_zeros(0)
            pairs, link = window.new_zeros(1), span_logits.new_zeros(0, 0)
        entities = torch.stack((window, left_slots, right_slots, kind, head.new_zeros(len(kind))), dim=1).double()
        entities[:, 4] = probability.flatten()[flat]
        counts = torch.cat((lefts_found, chosen.sum().view(1), pairs)).double()
        packed = torch.cat(
            (counts, entities.flatten(), torch.stack((head, tail), 1).flatten().double(), link.flatten().double())
        )
        return Pending(packed, len(kind), len(head), link.shape[-1])

    def whole(
        self, found: Found, inputs: Inputs, sizes: Sizes, decisions: Decisions | None, known: dict[Sizes, Sizes], room: Sizes
    ) -> Found:
        """What was found with lists of ``sizes``, or once more with longer ones where those were too short.

        Args:
            found: what ``extract`` found of ``inputs`` with ``sizes`` and ``decisions``.
            known: ``Sizes.room`` of batches → lists that sufficed for them; that of this one, ``room``, is brought up to date.
        """
        while (grown := sizes.grown_to(found.needed)) != sizes:
            sizes = known.get(room, LEAST).grown_to(grown)  # which another batch may have made longer since
            found = self.extract(inputs, sizes, decisions).found()
        # only now: memory sufficed, and all was counted from whole lists
        known[room] = known.get(room, LEAST).grown_to(found.needed)
        return found

    def _candidates(
        self, hidden: Tensor, inputs: Inputs, sizes: Sizes | None, decisions: Decisions | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Steps 1 and 2: left brackets, then logits of each slot with each of its ω closest left brackets.

        Returns:
            slot of the left bracket [C], whether the candidate is real [C], logits [C, η], number of the candidate [C]
            (slot of the right bracket · ω + how many left brackets are closer), how many left brackets there are [1].
        """
        is_left = self._is_left_logits(hidden, inputs) > 0
        if decisions is not None:
            is_left = decisions.instead_of(is_left, decisions.is_left)
        left_slot, _ = decoding.nonzero(is_left, sizes.lefts if sizes else None)
        ordinal, exists = decoding.closest_lefts(is_left, inputs.window, self.config.omega)
        if sizes is None:  # the exact list costs no wait here, so slots without a left bracket before them cost nothing
            candidate = exists.flatten().nonzero().squeeze(1)
        else:
            candidate = torch.arange(exists.numel(), device=exists.device)
        exists, ordinal = exists.flatten()[candidate], ordinal.flatten()[candidate]
        slot = candidate // self.config.omega
        rows = inputs.right[slot] if self.config.omega == 1 else inputs.right  # for ω = 1 a slot is a candidate once at most
        lefts, rights = self.is_span.project(hidden.index_select(0, inputs.left[left_slot]), hidden.index_select(0, rows))
        if self.config.omega > 1:
            rights = rights.take(slot)
        if not len(left_slot):
            shape = (0, len(self.config.entity_types) + self.config.has_no_span_class)
            return slot, exists, hidden.new_zeros(shape), candidate, is_left.sum().view(1)
        ordinal = ordinal.clamp_max(len(left_slot) - 1)
        logits = self.is_span.combine(lefts.take(ordinal), rights)
        return left_slot[ordinal], exists, logits, candidate, is_left.sum().view(1)


disable_progress_bar()  # weights load in a second, and a foreign bar would break the lines of ours
register()
AutoModel.register(IterConfig, IterModel, exist_ok=True)
