"""Records of runs: one JSON file a run, versioned, written whole or not at all. Tables and plots read nothing else."""

from iter_bench.records.schema import (
    SCHEMA_VERSION,
    AnyRecord,
    EncoderWeights,
    Epoch,
    PeakMemory,
    Prediction,
    Record,
    SplitData,
    SplitScores,
    describe_split,
)
from iter_bench.records.storage import RecordError, find, load, load_all, write

__all__ = [
    "SCHEMA_VERSION",
    "AnyRecord",
    "EncoderWeights",
    "Epoch",
    "PeakMemory",
    "Prediction",
    "Record",
    "RecordError",
    "SplitData",
    "SplitScores",
    "describe_split",
    "find",
    "load",
    "load_all",
    "write",
]
