"""What both stages have in common: a model with its windows, its batches, and its part of the training loop."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from baselines.plmarker.configuration import PlMarkerConfig
from baselines.plmarker.encoding import PATHS
from baselines.plmarker.modeling import HEADS, PairModel, scored
from baselines.plmarker.packing import Batch, Example, collate
from iter_bench.batching import in_batches
from iter_bench.devices import compute_dtype, predicting, sent
from iter_bench.document import Document
from iter_bench.encoders import first_position, max_length
from iter_bench.observation.parts import part
from iter_bench.tokenization import WindowTokenizer
from iter_bench.training import as_mean

CPU_ROWS = 1024
"""States of a forward pass beyond which a CPU gets slower."""
GPU_ROWS = 65536
"""The same for the memory of a GPU."""


class Stage:
    """A stage; also the ``Task`` that the training loop takes.

    Args:
        module: its model.
        config: the system's.
        tokenizer: the encoder's.
        length: the most sub-tokens of a text, markers inserted into it not counted.
        pairs: the most marker pairs of a pack.
        device: where it runs.
        read_as: words → how the stage reads them; all others as they are.
    """

    def __init__(
        self,
        module: PairModel,
        config: PlMarkerConfig,
        tokenizer: PreTrainedTokenizerFast,
        length: int,
        pairs: int,
        device: torch.device,
        read_as: Mapping[str, str] | None = None,
    ):
        self.module = module.to(device).eval()
        self.config = config
        self.device = device
        self.precision = "auto"
        self.windows = WindowTokenizer(tokenizer, length, read_as=read_as)
        self.pack = pairs if config.settings.execution == "packed" else None
        self._offset = first_position(module.encoder.config)

    @property
    def levitated(self) -> tuple[int, int]:
        """Ids of the levitated start and end marker."""
        last = self.module.encoder.config.vocab_size - 1
        return last - 1, last

    # --- Task ---------------------------------------------------------------------------------------------------------

    def is_head(self, name: str) -> bool:
        """Whether a weight belongs to the classifiers."""
        return name.startswith(HEADS)

    def length(self, example: Example) -> int:
        """States of an example."""
        return example.rows

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Examples as one batch on the device."""
        return collate(examples, self.levitated, self._offset, self.device, self.pack)

    def losses(self, batch: Batch, whole: Sequence[Example]) -> dict[str, Tensor]:
        """The cross-entropies of the stage.

        Minimised is their mean over the pairs of ``whole``, as published; the value is that times its examples.
        """
        share = len(batch.classes) / sum(len(example.classes) for example in whole)
        means = self.module.losses(batch, self.config.settings.execution)
        return {name: as_mean(mean, share, len(whole)) for name, mean in means.items()}

    # --- prediction ---------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def decide(
        self,
        examples: Sequence[Example],
        batch_size: int,
        summary: Callable[[Tensor, Tensor | None], Tensor],
        names: Sequence[str],
        groups: Sequence[Sequence[int]] | None = None,
    ) -> Callable[[], list[np.ndarray]]:
        """What ``summary`` says of the logits of each example's pairs, [P, k], computed at once; one transfer from the device.

        It is waited for where it's asked for, so that a GPU's host can do something else meanwhile.

        Args:
            examples: in any order.
            batch_size: the most examples of a pass.
            summary: logits of classes and types, [Q, classes] and [Q, types] → [Q, k].
            names: the document of each example, for the error where memory ends.
            groups: indices of the examples that may share a pass; none: all may.
        """
        if not examples:
            return list
        self.module.eval()
        order: list[int] = []
        found: list[Tensor] = []
        budget = CPU_ROWS if self.device.type == "cpu" else GPU_ROWS

        def run(rows: list[int]) -> None:
            with part("transfer"):
                batch = self.collate([examples[i] for i in rows])
            with part("forward"):
                logits = self.module(batch, self.config.settings.execution)
                found.append(summary(*(None if scores is None else scores.float() for scores in logits)))
            order.extend(rows)

        with predicting(self.module, self.device, self.precision):
            for group in groups or [range(len(examples))]:
                in_batches(
                    [examples[i].rows for i in group],
                    batch_size,
                    lambda rows, group=group: run([group[i] for i in rows]),
                    tokens=budget,
                    name=lambda i, group=group: names[group[i]],
                )
        counts = np.array([len(examples[i].first) for i in order])
        with part("decode"):
            decided = sent(torch.cat(found))

        def in_order() -> list[np.ndarray]:
            rows_of = np.split(decided().numpy(), np.cumsum(counts)[:-1])
            return [rows for _, rows in sorted(zip(order, rows_of, strict=True), key=lambda pair: pair[0])]

        return in_order

    @torch.inference_mode()
    def plain_states(self, examples: Sequence[Example]) -> dict[Hashable, Tensor]:
        """What pairs are scored by, as a prediction shows it, of one example at a time and never by compiled code."""
        self.module.eval()
        found = {}
        with predicting(self.module, self.device, self.precision):
            for example in examples:
                batch = self.collate([example])
                states = PATHS[self.config.settings.execution](self.module.encoder, batch)
                found[next(batch.contents())] = scored(*states, batch)
        return found

    @property
    def compiled(self) -> str:
        """What came of ``compile``; ``none`` before."""
        path = self.module.paths[self.config.settings.execution]
        return "none" if path in PATHS.values() else str(path)

    def compile(self, documents: Sequence[Document], name: str) -> None:
        """Compiles the encoder if that works and gives the same states for the documents; ``name`` is for the log."""
        from iter_bench.compiled import checked

        if not (examples := self.examples(documents)):
            return  # no entity, no subject
        batch, encoder = self.collate(examples), self.module.encoder
        paths, execution = self.module.paths, self.config.settings.execution

        def run(path: Callable[..., tuple[Tensor, Tensor]]) -> Tensor:
            return torch.cat(path(encoder, batch))

        with predicting(self.module, self.device, self.precision):
            dtype = compute_dtype(self.device, self.precision)
            paths[execution] = checked(paths[execution], run, name, dtype, dynamic=True)


def text_length(module: PairModel, limit: int, inserted: int = 0) -> int:
    """The most sub-tokens of a text beside ``inserted`` markers: what the encoder reads, at most ``limit``."""
    longest = max_length(module.encoder.config)
    return min(limit, limit if longest is None else longest) - inserted
