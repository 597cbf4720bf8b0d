"""What a system may offer to the harness beyond the system protocol; without it, less is measured, and the record says so."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from iter_bench.document import Document, Extraction


@runtime_checkable
class TakesStructure(Protocol):
    """A system whose decisions can be imposed, so that speed can be measured with weights that decide nothing."""

    def prepare_structure(self, documents: Sequence[Document], extractions: Sequence[Extraction]) -> Any:
        """The extractions, one a document, as the system's own decisions. Not part of the time."""
        ...

    def predict(self, documents: Sequence[Document], *, batch_size: int = 8, structure: Any = None) -> list[Extraction]:
        """As `System.predict`; ``structure``, prepared for the same documents, stands in for every decision.

        All else is computed as ever, the logits that would have decided included, and the extractions are the given ones.
        """
        ...


@runtime_checkable
class ShowsStates(Protocol):
    """A system that takes a structure, and whose states can be compared with those of another way to compute them.

    Its predictions show (`iter_bench.observation.shown.show`) what they read decisions from, by the keys of ``plain_states``.
    """

    def plain_states(self, documents: Sequence[Document], structure: Any, chosen: Sequence[int]) -> dict[Hashable, Tensor]:
        """The states of the chosen documents with that structure by the plain path: one by one, nothing compiled or packed.

        Args:
            documents: those that ``structure`` was prepared for.
            structure: as ``predict`` takes it.
            chosen: indices of documents.
        """
        ...


@runtime_checkable
class CountsFlops(Protocol):
    """A system that counts its matrix products from shapes."""

    @property
    def matrix_weights(self) -> int:
        """Weights of matrices that every batch reads; embeddings, of which it looks rows up, are none."""
        ...

    def flops(self, documents: Sequence[Document], structure: Any) -> int:
        """Floating-point operations for all the documents with that structure, nothing padded; 2 a multiplication."""
        ...


@runtime_checkable
class CountsReads(Protocol):
    """A system that reads its ``matrix_weights`` other than all of them once a batch of documents."""

    def weights_read(self, documents: Sequence[Document], structure: Any, *, batch_size: int) -> int:
        """Weights of matrices that all the documents with that structure make it read at least, each once a pass over it."""
        ...


@runtime_checkable
class Compiles(Protocol):
    """A system that can be compiled."""

    def compile(self, documents: Sequence[Document]) -> None:
        """Compiles what that works for and gives the same states for the documents; ``execution`` tells what came of it."""
        ...


@runtime_checkable
class DescribesExecution(Protocol):
    """A system that tells how it computes."""

    @property
    def execution(self) -> Mapping[str, str]:
        """``dtype`` of the matrix products (as torch names it), ``attention`` kernel, ``compile`` mode (``none``: eager)."""
        ...
