"""Extraction from more documents than fit into memory: streamed, in shards, resumable."""

from iter_bench.bulk.inputs import Item, Mark, files_of, items, marks
from iter_bench.bulk.job import Done, Job

__all__ = ["Done", "Item", "Job", "Mark", "files_of", "items", "marks"]
