"""Extraction from more documents than fit into memory: streamed, in shards, resumable."""

from iter_bench.bulk.inputs import Item, count, files_of, items
from iter_bench.bulk.job import Done, Job

__all__ = ["Done", "Item", "Job", "count", "files_of", "items"]
