"""Figures from records: each function gives a `Plot`, which `save` writes as PNG and SVG with its caption."""

from iter_bench.plots.conventions import conventions
from iter_bench.plots.mistakes import mistakes
from iter_bench.plots.runs import lambda_curve, learning_curve, scores
from iter_bench.plots.slices import depth, length
from iter_bench.plots.speed import energy, roofline, speed
from iter_bench.plots.steps import steps
from iter_bench.plots.style import Plot, look, png, save

__all__ = [
    "Plot",
    "conventions",
    "depth",
    "energy",
    "lambda_curve",
    "learning_curve",
    "length",
    "look",
    "mistakes",
    "png",
    "roofline",
    "save",
    "scores",
    "speed",
    "steps",
]
