"""Ray, here or on a cluster, and what a process there needs to be one of the command's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from iter_bench.errors import UserError

ADDRESS = "RAY_ADDRESS"
AUTH_MODE = "RAY_AUTH_MODE"
STORE = 2**28  # bytes of shared memory on this machine: nothing larger than a record goes through it


@contextmanager
def connected() -> Iterator[ModuleType]:
    """The module ``ray``, connected to the cluster that RAY_ADDRESS names, or else to one of this machine for this block alone.

    Raises:
        UserError: Ray isn't installed, or can't be reached or started.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to its makers
    try:
        import ray
    except ImportError:
        raise UserError("--engine ray needs Ray: pip install 'iter-bench[ray]'") from None
    address = os.environ.get(ADDRESS) or "local"
    own = {"include_dashboard": False, "object_store_memory": STORE} if address == "local" else {}
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR", **own)
    except Exception as error:  # Ray raises Exception itself where it doesn't start in time
        hint = "" if own or AUTH_MODE in os.environ else f"; if it was started with a token, set {AUTH_MODE}=token here too"
        raise UserError(f"Ray ({ADDRESS}: {address}) can't be reached or started: {error}{hint}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def machines(ray: ModuleType) -> list[dict[str, float]]:
    """What each machine of the cluster has, by Ray's names: ``CPU``, ``GPU``, ``memory`` in bytes."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


@dataclass(frozen=True)
class Place:
    """Makes a process of the cluster one of the command's.

    Attributes:
        folder: that paths start from; made where it's missing.
        command: that records name.
        modules: where Python looks for modules, of systems of one's own too.
        threads: of one torch operation.
    """

    folder: Path
    command: tuple[str, ...]
    modules: tuple[str, ...]
    threads: int

    @classmethod
    def here(cls, threads: int) -> Place:
        """The command's own, for a process of so many threads."""
        return cls(Path.cwd(), tuple(sys.argv), tuple(sys.path), threads)

    def take(self) -> None:
        """To be called first in the other process."""
        import torch

        self.folder.mkdir(parents=True, exist_ok=True)
        os.chdir(self.folder)
        sys.argv[:] = self.command
        sys.path += [folder for folder in self.modules if folder not in sys.path]
        torch.set_num_threads(self.threads)
