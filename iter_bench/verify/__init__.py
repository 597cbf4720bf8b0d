"""Doubts about committed results, answered from the records alone: each is re-added, each table and figure made again.

One module a job: ``runs`` re-adds a run's record (`throughput.check` one of throughput), ``predictions`` scores again what is
stored of them, ``splits`` reads the data again, ``searches`` looks for the best trial, ``made`` makes tables and figures again,
``texts`` looks up what texts cite.
"""

from iter_bench.verify.made import verify_figures
from iter_bench.verify.runs import check_record
from iter_bench.verify.splits import check_data
from iter_bench.verify.verdict import Verdict, verify

__all__ = ["Verdict", "check_data", "check_record", "verify", "verify_figures"]
