"""Readers, the catalogue and the embedded corpus: everything that makes documents."""

from iter_bench.data.loading import fingerprint, load, names, schema_of

__all__ = ["fingerprint", "load", "names", "schema_of"]
