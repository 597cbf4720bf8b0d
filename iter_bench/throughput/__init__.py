"""Throughput that can be believed: one timed region for every system, and everything that its number depends on.

See ``docs/throughput.md``. This module imports nothing, since systems import ``parts`` from here.
"""
