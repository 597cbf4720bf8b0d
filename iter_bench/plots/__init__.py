"""Figures from records: each function gives a `Plot`, which `save` writes as PNG and SVG with its caption."""

from iter_bench.plots.runs import lambda_curve, learning_curve, provenance, scores
from iter_bench.plots.style import Plot, look, save

__all__ = ["Plot", "lambda_curve", "learning_curve", "look", "provenance", "save", "scores"]
