"""iter-bench: entity and relation extraction systems, compared on one harness."""

__version__ = "0.1.0"
