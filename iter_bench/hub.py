"""Repositories of the model hub: a commit's files, on this machine, none of them read unless it has the hub's own checksum."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from huggingface_hub import snapshot_download, try_to_load_from_cache
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from iter_bench.errors import UserError
from iter_bench.files import sha256_of

NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
"""``owner/name``, or ``owner/name@revision`` with a branch, a tag or a commit."""
OTHERS = ("*.json", "*.txt", "*.model")
"""Configurations, tokenizers, and the index of weights that lie in several files."""
WEIGHTS = ONE_FILE, SEVERAL = ("model.safetensors", "model-*.safetensors")
INDEX = "model.safetensors.index.json"
TRIES = 3
_GIT, _SHA256 = re.compile("[0-9a-f]{40}"), re.compile("[0-9a-f]{64}")


def split(name: str) -> tuple[str, str | None]:
    """The repository and the revision of ``owner/name@revision``; the revision is None where none is named."""
    repository, _, revision = name.partition("@")
    return repository, revision or None


def is_here(name: str, *, weights: bool = True) -> bool:
    """Whether a repository's configuration, and its weights if asked for, are on this machine.

    Raises:
        huggingface_hub.errors.HFValidationError: no repository can be called that.
    """
    repository, revision = split(name)

    def there(file: str) -> bool:
        return isinstance(try_to_load_from_cache(repository, file, revision=revision), str)

    return there("config.json") and (not weights or there(ONE_FILE) or there(INDEX))


@cache
def files(name: str, *, weights: bool = True, offline: bool = False) -> Path:
    """The folder with a repository's files of one commit, which is the folder's name.

    What isn't on this machine is fetched, and without a network the files that are here are taken; in a process it's the same
    commit each time. A file is known by the checksum that the hub gave with it, by which its cache names files: SHA-256 for
    large ones, git's for small ones. One that has another is deleted and fetched again. A cache without links (Windows)
    doesn't hold these checksums, and nothing is compared there.

    Args:
        name: ``owner/name`` or ``owner/name@revision``; some old repositories have no owner.
        weights: whether they are wanted, from safetensors files; else configuration and tokenizer alone.
        offline: take what is on this machine only.

    Raises:
        UserError: `TRIES` transfers gave another checksum than the hub's.
        Exception: huggingface_hub's and its HTTP client's; the repository or the revision can't be had.
    """
    repository, revision = split(name)
    if weights:
        revision = files(name, weights=False, offline=offline).name
    patterns = WEIGHTS if weights else OTHERS
    damaged: list[str] = []
    for _ in range(TRIES):
        with _bars_hidden_if(not damaged and is_here(name, weights=weights)):
            try:
                fetched = snapshot_download(
                    repository,
                    revision=revision,
                    allow_patterns=[*patterns],
                    ignore_patterns=["*/*"],  # what lies in folders is of other uses
                    local_files_only=offline,
                )
            except Exception:
                if damaged:  # and there is no network to fetch it again
                    break
                raise
        folder = Path(fetched)
        if not (damaged := _delete_damaged(path for pattern in patterns for path in folder.glob(pattern))):
            return folder
    raise UserError(
        f"{name}: {', '.join(damaged)}: another checksum than the hub's, so cut or changed on the way or on this disk; "
        "deleted, and not used. Try again with a network, or name a folder that holds the files"
    )


def folder_of(name: str | Path) -> Path:
    """The folder ``name`` of a trained system, or where there is none, that of the hub's repository ``owner/name[@revision]``.

    Raises:
        UserError: there is neither.
    """
    if Path(name).is_dir():
        return Path(name)
    if not NAME.fullmatch(str(name)):  # the hub is only asked for what can be a repository
        raise UserError(f"{name}: there is no such folder, so no system can be read there; name a folder that holds one")
    try:
        return files(str(name))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{name}: there is no such folder here, and none can be had from the hub ({error}); name a folder that holds one"
        ) from None


@contextmanager
def _bars_hidden_if(condition: bool) -> Iterator[None]:
    """The hub's progress bars come for what is already here, too."""
    hide = condition and not are_progress_bars_disabled()
    if hide:
        disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            enable_progress_bars()


def _as_given(blob: Path) -> bool:
    """Whether a file of the hub's cache has the content whose checksum is its name."""
    if _SHA256.fullmatch(blob.name):
        return sha256_of(blob) == blob.name
    if _GIT.fullmatch(blob.name):
        content = blob.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == blob.name
    return True


def _delete_damaged(paths: Iterable[Path]) -> list[str]:
    """Names of those files that aren't as the hub gave them, which are no longer in its cache."""
    names = []
    for path in paths:
        if not _as_given(path.resolve()):
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            names.append(path.name)
    return names
