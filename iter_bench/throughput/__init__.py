"""Throughput that can be believed: one timed region for every system, and everything that its number depends on.

See ``docs/throughput.md``.
"""
