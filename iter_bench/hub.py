"""Repositories of the model hub: a commit's files, on this machine, none of them read unless it has the hub's own checksum."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from iter_bench.errors import UserError
from iter_bench.files import sha256_of

NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
"""``owner/name``, or ``owner/name@revision`` with a branch, a tag or a commit."""
ONE_FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
"""An encoder's weights in one file; what tells of several files which of them holds which."""
CONFIGURATION = ("*.json", "*.txt", "*.model")
"""Files of an encoder but its weights, tokenizers and the index of weights among them."""
WEIGHTS = (ONE_FILE, "model-*.safetensors")
SYSTEM = (*CONFIGURATION, "*.safetensors")
"""Files of a trained system, in folders too, as PL-Marker's stages are."""
TRIES = 3
_GIT, _SHA256 = re.compile("[0-9a-f]{40}"), re.compile("[0-9a-f]{64}")


def split(name: str) -> tuple[str, str | None]:
    """The repository and the revision of ``owner/name@revision``; the revision is None where none is named."""
    repository, _, revision = name.partition("@")
    return repository, revision or None


def is_here(name: str, *, weights: bool) -> bool:
    """Whether a repository's configuration, and its weights if asked for, are on this machine.

    Raises:
        huggingface_hub.errors.HFValidationError: no repository can be called that.
    """
    repository, revision = split(name)

    def there(file: str) -> str | None:
        return path if isinstance(path := try_to_load_from_cache(repository, file, revision=revision), str) else None

    if there("config.json") is None:
        return False
    if not weights or there(ONE_FILE):
        return True
    if (index := there(INDEX)) is None:
        return False
    try:
        return all(map(there, set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values())))
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):  # damaged, and so fetched again
        return False


@cache
def files(name: str, patterns: Sequence[str] = CONFIGURATION, *, offline: bool = False, token: str | None = None) -> Path:
    """The folder with those of a repository's files, of one commit, which is the folder's name.

    What isn't on this machine is fetched, and without a network the files that are here are taken; a process asks once. A file
    is known by the checksum that the hub gave with it, by which its cache names files: SHA-256 for large ones, git's for small
    ones. One that has another is deleted and fetched again.

    Args:
        name: ``owner/name`` or ``owner/name@revision``; some old repositories have no owner.
        patterns: one of this module; a `SYSTEM` has folders, and those of other repositories are of other uses.
        offline: take what is on this machine only.
        token: to be known to the hub by, instead of the one that is stored here.

    Raises:
        UserError: `TRIES` transfers gave another checksum than the hub's, or the cache doesn't hold checksums.
        Exception: huggingface_hub's and its HTTP client's; the repository or the revision can't be had.
    """
    repository, revision = split(name)
    inner = patterns == SYSTEM
    deleted: dict[str, None] = {}
    for _ in range(TRIES):
        with _bars_hidden_if(not deleted and is_here(name, weights=patterns != CONFIGURATION)):
            try:
                fetched = snapshot_download(
                    repository,
                    revision=revision,
                    allow_patterns=[*patterns],
                    ignore_patterns=None if inner else ["*/*"],
                    local_files_only=offline,
                    token=token,
                )
            except Exception:
                if deleted:  # and there is no network to fetch them again
                    break
                raise
        folder = Path(fetched)
        found = {path for pattern in patterns for path in folder.glob(f"**/{pattern}" if inner else pattern)}
        damaged = [str(path.relative_to(folder)) for path in sorted(found) if not _as_given(path)]
        for path in damaged:
            _delete(folder / path)
        deleted |= dict.fromkeys(damaged)
        if all((folder / path).exists() for path in deleted):
            return folder
    raise UserError(
        f"{name}: {', '.join(deleted)}: another checksum than the hub's, so cut or changed on the way or on this disk; "
        "deleted, and not used. Try again with a network, or name a folder that holds the files"
    )


def encoder_weights(name: str, *, offline: bool = False) -> Path:
    """The folder with an encoder's weights beside its configuration: those of the commit that `files` gave that from."""
    commit = files(name, offline=offline).name
    return files(f"{split(name)[0]}@{commit}", WEIGHTS, offline=offline)


def folder_of(name: str | Path, *, offline: bool = False, token: str | None = None) -> Path:
    """The folder ``name`` of a trained system, or where there is none, that of the hub's repository ``owner/name[@revision]``.

    Args:
        name: the folder, or the repository.
        offline: as of `files`.
        token: as of `files`.

    Raises:
        UserError: there is neither.
    """
    if Path(name).is_dir():
        return Path(name)
    if not NAME.fullmatch(str(name)):  # the hub is only asked for what can be a repository
        raise UserError(f"{name}: there is no such folder, so no checkpoint can be read there; name a folder that holds one")
    try:
        return files(str(name), SYSTEM, offline=offline, token=token)
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


def _as_given(file: Path) -> bool:
    """Whether a file of the hub's cache has the content whose checksum is the name of the blob that it links to.

    That blob may be a link in its turn, to a store that repositories share, where files have other names.

    Raises:
        UserError: it links to nothing that is named so.
    """
    checksum = file.readlink().name if file.is_symlink() else ""
    if _SHA256.fullmatch(checksum):
        return sha256_of(file) == checksum
    if _GIT.fullmatch(checksum):
        content = file.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == checksum
    raise UserError(
        f"{file}: its checksum isn't known, since the hub's cache has no links here; let HF_HOME name a disk that has links "
        "(and HF_HUB_DISABLE_SYMLINKS nothing), or name a folder that holds the files"
    )


def _delete(file: Path) -> None:
    """Takes a file out of the hub's cache, with its blob and what that may link to."""
    blob, content = file.parent / file.readlink(), file.resolve()
    inside = content.is_relative_to(Path(constants.HF_HUB_CACHE).resolve())  # else somebody linked to what is theirs
    for path in (*([content] if inside else []), blob, file):
        path.unlink(missing_ok=True)
