"""What a run will cost: hours from what such runs took on this hardware, else from operations; memory from shapes.

The unit of work is the encoder's floating-point operations over all passes of a run. A run's seconds are its work over a
rate, and the rate is the best that can be had: that of finished runs of the same system and encoder on this hardware; that of
its system over other encoders; or an assumed share of the rate at which this device multiplies matrices, corrected by how
much slower the system's runs were than ITER's where both were measured, else by how many times ITER's operations it has. Every
cost says which.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import torch

from iter_bench.devices import compute_dtype
from iter_bench.encoders.availability import architecture
from iter_bench.encoders.families import max_length
from iter_bench.encoders.flops import encoder_flops
from iter_bench.records import Record
from iter_bench.settings import RunSettings

SUBTOKENS_PER_WORD = 1.3
"""Assumed; MiniLM's vocabulary makes 1.2 to 1.4 of a word of news."""
SPECIAL_TOKENS = 2
PASSES = 3
"""A training step works as much as three predictions: the backward pass is twice the forward one."""
UTILISATION = 0.3
"""Assumed share of the device's rate of matrix products where no run was measured on it."""
BYTES_PER_WEIGHT = 16
"""Of a trained weight: itself, its gradient and AdamW's two moments, in fp32."""
BYTES_PER_STATE = 34
"""Of activations a sub-token, layer and unit of width, in 16 bits, without attention's matrix (Korthikanti et al. 2022)."""
BYTES_PER_SCORE = 8
"""Of a marker's attention to a sub-token, a head and layer: softmax and dropout's factors, in fp32; the product comes to it."""
ENCODERS = {"iter": (1, 0, 1), "asp": (2, 0, 2), "plmarker": (1, 1, 1)}
"""System → how many of the encoder's size it trains at a time (ASP's decoder is as large), how many more it holds, and how many
states it has for a sub-token."""
OPERATIONS = {"asp": 1.9, "plmarker": 12.5}
"""How many times ITER's operations they have, as `CountsFlops` counts them with MiniLM: 1.8 to 1.9 and 11.8 to 12.9 times on
samples of CoNLL04, SciERC and the embedded corpus."""
MARKERS = 16 / SUBTOKENS_PER_WORD
"""PL-Marker's markers a sub-token of a sentence, not of its context: two for each of up to eight spans a word."""


@dataclass(frozen=True, slots=True)
class Size:
    """A split's samples.

    Attributes:
        samples: how many.
        mean, longest: sub-tokens of a sample with its context.
        own: the most of a sample without it.
        basis: empty where they were counted.
    """

    samples: int
    mean: float
    longest: float
    own: float
    basis: str = ""

    @classmethod
    def of_words(cls, samples: int, words: int, longest: int = 0, own: int = 0) -> Size:
        """From counted words."""
        return cls(samples, subtokens(words / max(1, samples)), subtokens(longest), subtokens(own))


def subtokens(words: float) -> float:
    """Estimated sub-tokens of a sample, special ones included."""
    return words * SUBTOKENS_PER_WORD + SPECIAL_TOKENS


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds (None: unknown) and what they rest on."""

    seconds: float | None
    basis: str


class Costs:
    """Costs on one device.

    Args:
        records: of earlier runs, on whatever hardware.
        hardware: this machine's, as `Record.hardware` has it.
        device: that runs will use.
        threads: of each run, on a CPU.
    """

    def __init__(self, records: Sequence[Record], hardware: str, device: torch.device, threads: int | None = None):
        self.hardware = hardware
        self.device = device
        self.threads = threads
        self._measured = [(record, rate) for record in records if (rate := _rate(record))]
        self._products: dict[str, float] = {}

    def of(self, run: RunSettings, encoder: str, sizes: dict[str, Size]) -> Cost:
        """What the run costs.

        Args:
            run: its settings.
            encoder: whose architecture it has.
            sizes: of the splits, by role.
        """
        if (work := _work(run, encoder, sizes)) is None:
            return Cost(None, "the encoder's architecture isn't known here")
        here = [(r, rate) for r, rate in self._measured if r.hardware == self.hardware and r.system == run.system]
        for same, basis in (
            ([rate for r, rate in here if r.settings.encoder == encoder], "measured: {} runs of this system and encoder here"),
            ([rate for _, rate in here], "scaled by operations from {} runs of this system here"),
        ):
            if same:
                return Cost(work / median(same), basis.format(len(same)))
        rate, slower, more = self._of_products(run), self._slower(run.system), OPERATIONS.get(run.system)
        basis = f"assumed: {100 * UTILISATION:.0f} % of {rate / 1e12:.2f} TFLOP/s, measured here for matrix products"
        if slower:
            basis += f", and {slower:.1f} times ITER's time by the records"
        elif more:
            basis += f", and {more} times ITER's operations"
        return Cost(work / (UTILISATION * rate) * (slower or more or 1), basis)

    def memory(self, run: RunSettings, encoder: str, sizes: dict[str, Size]) -> int | None:
        """Bytes that training takes at most: measured on this hardware, or estimated; None where nothing is known."""
        kind = "host" if self.device.type == "cpu" else "device"
        of = (self.hardware, run.system, encoder)
        samples = run.training.at_once
        peaks = [
            getattr(r.peak_memory, kind) or 0
            for r, _ in self._measured
            if (r.hardware, r.system, r.settings.encoder) == of and r.settings.training.at_once == samples
        ]
        if any(peaks):
            return max(peaks)
        if (model := architecture(encoder)) is None or run.system not in ENCODERS:
            return None
        trained, held, states = ENCODERS[run.system]
        weights = sum(weight.numel() for weight in model.parameters()) * (BYTES_PER_WEIGHT * trained + 4 * held)
        width = 1 if compute_dtype(self.device, run.training.precision) == "bfloat16" else 2
        config = model.config
        most = max_length(config) or math.inf
        text, own = min(sizes["train"].longest, most), min(sizes["train"].own, most)
        markers = MARKERS * own if run.system == "plmarker" else 0
        layer = (states * text + markers) * config.hidden_size * BYTES_PER_STATE * width
        # only markers attend with a table of all scores, which is kept
        layer += markers * text * config.num_attention_heads * (BYTES_PER_SCORE + 2 * width)
        return int(weights + samples * config.num_hidden_layers * layer)

    def _slower(self, system: str) -> float | None:
        """How many times ITER's time a unit of work takes, on hardware where both were measured."""
        rates = {
            (r.hardware, name): [rate for other, rate in self._measured if (other.hardware, other.system) == (r.hardware, name)]
            for r, _ in self._measured
            for name in ("iter", system)
        }
        both = {hardware for hardware, _ in rates if rates[hardware, "iter"] and rates[hardware, system]}
        return (
            None
            if system == "iter" or not both
            else median(median(rates[hardware, "iter"]) / median(rates[hardware, system]) for hardware in both)
        )

    def _of_products(self, run: RunSettings) -> float:
        from iter_bench.throughput.ceiling import measure_ceiling

        dtype = compute_dtype(self.device, run.training.precision)
        if dtype not in self._products:
            with _threads(self.threads):
                self._products[dtype] = measure_ceiling(self.device, dtype).flops
        return self._products[dtype]


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """For what a run of so many threads would reach; none: as many as there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _work(run: RunSettings, encoder: str, sizes: dict[str, Size]) -> float | None:
    """Operations of the encoder over all passes; dev is predicted once an epoch, test once."""
    if (model := architecture(encoder)) is None:
        return None
    passes = {"train": PASSES * run.training.epochs, "dev": run.training.epochs, "test": 1}
    # a window cuts context, while a text that doesn't fit becomes several windows
    most = (run.data.context and max_length(model.config)) or math.inf
    lengths = {role: max(1, round(min(size.mean, most))) for role, size in sizes.items()}
    return sum(passes[role] * size.samples * encoder_flops(model, lengths[role]) for role, size in sizes.items())


def _rate(record: Record) -> float | None:
    """Operations a second of a finished run; None where its seconds or its encoder aren't known, or it read context."""
    seconds = sum(record.durations.get(name, 0) for name in ("training", "scoring"))
    if not record.durations.get("training") or record.settings.data.context:
        return None
    sizes = {role: Size.of_words(split.documents, split.words) for role, split in record.data.items()}
    work = _work(record.settings, record.settings.encoder, sizes)
    return None if work is None else work / seconds
