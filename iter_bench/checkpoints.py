"""Weights in files: what a training run stores after each epoch, whole or not at all, and a trained module's own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from iter_bench.cluster import processes
from iter_bench.cluster.sharding import divided, local, whole
from iter_bench.errors import UserError
from iter_bench.files import sha256_of, told_if_refused

STATE = "state.json"
WEIGHTS_FILE = "model.safetensors"
SUMS = "sha256.json"
"""In each folder: SHA-256 of its other files, by name."""

DAMAGE = (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, RecursionError, SafetensorError)
"""What reading a stored epoch raises where it isn't as it was written; any other error says nothing against it."""


class CheckpointFolder:
    """``last/`` holds weights, optimiser and history after the last whole epoch, ``best/`` the weights selected so far.

    Args:
        folder: created when first written.
        key: what the training follows from, by name; a folder written for another key is refused, never mixed.
    """

    def __init__(self, folder: Path, key: Mapping[str, str | int]):
        self.folder = folder
        self.key = key

    def store(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, history: list[dict[str, Any]], *, selected: bool
    ) -> None:
        """Writes the state after an epoch beside the old one, then swaps them; where it's ``selected``, as the best one too.

        Of several processes the first writes; those that divide the weights are all needed.

        Raises:
            UserError: the file system refuses; the old state is kept.
        """
        weights = weights_of(module)
        state = optimizer.state_dict()["state"]
        moments = _own_memory({f"{i}.{name}": value for i, values in state.items() for name, value in values.items()})
        if not processes.is_first():
            return

        def write(path: Path) -> None:
            save_file(weights, path / WEIGHTS_FILE)
            save_file(moments, path / "optimizer.safetensors")
            content = {"key": dict(self.key), "history": history}
            (path / STATE).write_text(json.dumps(content, indent=1), encoding="utf-8")

        with told_if_refused(self.folder, "finished epochs are kept; make room and run it again"):
            if selected:
                self._replace("best", lambda path: save_file(weights, path / WEIGHTS_FILE))
            self._replace("last", write)

    def _replace(self, name: str, write: Any) -> None:
        new, old, target = self.folder / f"{name}.new", self.folder / f"{name}.old", self.folder / name
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        write(new)
        (new / SUMS).write_text(json.dumps(_sums(new), indent=1), encoding="utf-8")
        for path in new.iterdir():  # lie on the disk before the old ones go, or a power cut could cost both
            with path.open("rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            os.replace(target, old)
        os.replace(new, target)
        shutil.rmtree(old, ignore_errors=True)

    def resume(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
        """Puts the last whole epoch's state back and returns the history; an empty one where nothing is stored.

        Raises:
            UserError: the folder belongs to another run, or a file in it is damaged or missing.
        """
        path = self._existing("last")
        if path is None:
            return []
        with self._read(path):
            content = json.loads((path / STATE).read_text(encoding="utf-8"))
            key, history = content["key"], content["history"]
            weights, moments = load_file(path / WEIGHTS_FILE), load_file(path / "optimizer.safetensors")
        load_weights(module, weights)  # which names another model or other types
        if other := [name for name, value in self.key.items() if not isinstance(key, dict) or key.get(name) != value]:
            begun = f"{path} belongs to the run with another {', '.join(other)}"
            raise UserError(f"{begun}; delete {self.folder} to start over, or use another folder")
        if self._existing("best") is None and any(epoch["selected"] for epoch in history if "dev" in epoch):
            raise self._damaged(self.folder / "best", "is missing")
        state = optimizer.state_dict()
        trained = [weight for group in optimizer.param_groups for weight in group["params"]]
        for name, value in moments.items():
            index, field = name.split(".", 1)
            # the count of steps has no dimension
            state["state"].setdefault(int(index), {})[field] = divided(value, trained[int(index)]) if value.dim() else value
        optimizer.load_state_dict(state)
        return history

    def best_parts(self, module: nn.Module) -> dict[str, Tensor] | None:
        """What ``parts_of`` would give of the selected weights; none where nothing was selected.

        Raises:
            UserError: the file is damaged, or of another model.
        """
        path = self._existing("best")
        if path is None:
            return None
        with self._read(path):
            weights = load_file(path / WEIGHTS_FILE)
        return {name: local(value).cpu() for name, value in _as_divided(module, weights).items()}

    @contextmanager
    def _read(self, path: Path) -> Iterator[None]:
        """For what reads a stored epoch, which must be as it was written."""
        try:
            _check(path)
            yield
        except DAMAGE as error:
            raise self._damaged(path, error) from error
        except OSError as error:
            raise UserError(f"{path}: the checkpoint can't be read: {error.strerror or error}") from error

    def _damaged(self, path: Path, why: Exception | str) -> UserError:
        return UserError(f"{path}: the checkpoint is damaged ({why}); delete {self.folder} to start over")

    def _existing(self, name: str) -> Path | None:
        """``name``, or the old one where a swap was cut off half-way."""
        for path in (self.folder / name, self.folder / f"{name}.old"):
            if path.exists():
                return path
        return None


def _sums(folder: Path) -> dict[str, str]:
    sums = {}
    for path in sorted(folder.iterdir()):
        if path.name != SUMS:
            sums[path.name] = sha256_of(path)
    return sums


def _check(folder: Path) -> None:
    """Raises what says which file isn't as it was written."""
    written, found = json.loads((folder / SUMS).read_text(encoding="utf-8")), _sums(folder)
    if changed := [name for name in written | found if written.get(name) != found.get(name)]:
        raise ValueError(f"{', '.join(changed)}: not what was written")


def fingerprint(weights: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256, in hex digits, of weights with their names."""
    digest = hashlib.sha256()
    for name, value in weights:
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the module's weights on the host; tied ones stand once, under their first name.

    Where processes divide them, all must ask and only the first gets them.
    """
    return _own_memory(module.state_dict())


def save_module(module: nn.Module, folder: Path) -> None:
    """Stores the module's weights in ``folder``, which is made where it's missing."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights_of(module), folder / WEIGHTS_FILE)


def load_module(module: nn.Module, folder: Path) -> None:
    """Reads what ``save_module`` stored.

    Raises:
        UserError: the file is missing, damaged, or of another model.
    """
    path = folder / WEIGHTS_FILE
    try:
        weights = load_file(path)
    except (*DAMAGE, OSError) as error:
        raise UserError(f"{path}: the weights can't be read ({error})") from error
    load_weights(module, weights)


def parts_of(module: nn.Module) -> dict[str, Tensor]:
    """What this process holds of the module's weights, copied to the host."""
    return {name: local(value).detach().cpu().clone() for name, value in _distinct(module.state_dict()).items()}


@torch.no_grad()
def put_back(module: nn.Module, parts: dict[str, Tensor]) -> None:
    """Puts back what ``parts_of`` gave."""
    own = module.state_dict()
    for name, part in parts.items():
        local(own[name]).copy_(part)


def load_weights(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Puts back what ``weights_of`` gave.

    Raises:
        UserError: they are the weights of another model.
    """
    module.load_state_dict(_as_divided(module, weights), strict=False)


def _as_divided(module: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights, which must be the module's, divided as its own are."""
    own = _distinct(module.state_dict())
    shapes = [{name: value.shape for name, value in tensors.items()} for tensors in (own, weights)]
    if different := sorted(name for name in own | weights if shapes[0].get(name) != shapes[1].get(name)):
        raise UserError(
            f"the checkpoint's weights are those of another model or of other types: {', '.join(different[:5])} differ"
        )
    return {name: divided(value, own[name]) for name, value in weights.items()}


def _own_memory(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """On the host; safetensors wants contiguous tensors that share no memory with each other."""
    kept = {}
    for name, value in _distinct(tensors).items():
        value = value.detach()
        together = whole(value)
        if together is value or processes.is_first():  # of divided ones the other processes keep nothing
            kept[name] = together.cpu().contiguous().clone()
    return kept


def _distinct(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those that share no memory with an earlier one."""
    seen: set[int] = set()
    distinct = {}
    for name, value in tensors.items():
        own = local(value)
        if own.numel() and own.data_ptr() in seen:
            continue
        seen.add(own.data_ptr())
        distinct[name] = value
    return distinct
