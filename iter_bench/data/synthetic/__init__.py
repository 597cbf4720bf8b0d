"""The embedded corpus, generated: see ``docs/synthetic-corpus.md``."""

from iter_bench.data.synthetic.generate import (
    ARGUMENTS,
    PRESETS,
    SCHEMA,
    SPLITS,
    VERSION,
    CorpusSettings,
    documents_of_length,
    generate,
    load,
)

__all__ = [
    "ARGUMENTS",
    "PRESETS",
    "SCHEMA",
    "SPLITS",
    "VERSION",
    "CorpusSettings",
    "documents_of_length",
    "generate",
    "load",
]
