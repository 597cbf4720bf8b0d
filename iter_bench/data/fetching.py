"""`get`: files of a data set, from an address or archive that its user names, into the place that the catalogue gives them.

Nothing is taken without its SHA-256. Of an archive, only regular files are read that have the names which the catalogue
expects (of an entry's ``train/data.json`` the folder counts too where several files are called so), and they are written under
these names, so no path in an archive can lead anywhere.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import unquote, urlsplit

from iter_bench.data import catalogue
from iter_bench.errors import DataError, SettingsError
from iter_bench.files import sha256_of

TRIES = 3
LARGEST = 2**30
"""Bytes of one unpacked file; far more than any corpus of the catalogue has."""


def get(name: str, source: str, sha256: str, data_dir: Path | None = None) -> list[Path]:
    """Puts the files of a data set that ``source`` holds where `load` finds them, all of them or none.

    A call that was killed may have put some; the same call again puts the others.

    Args:
        name: of the catalogue.
        source: a file, or an address with http or https; a zip or tar archive, or one of the data set's files itself.
        sha256: of the source as it is, in hex digits.
        data_dir: folder with the data sets' folders; default: the environment variable ``ITER_BENCH_DATA``.

    Returns:
        The files. One that is there already is never replaced.

    Raises:
        SettingsError: there is no such data set, no folder was named, the checksum is none, or a file lies outside the folder.
        DataError: the source can't be had or has another checksum, an archive is damaged or lacks every file, or another file
            is there already.
    """
    entry = catalogue.entry(name)
    root = catalogue.data_folder(data_dir)
    if root is None:
        raise SettingsError(f"where should {name} go? Name the folder by --data-dir or {catalogue.DATA_DIR}")
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise SettingsError(f"{sha256!r} is no SHA-256: 64 hex digits, as sha256sum prints them")
    wanted = set(entry.files.values())
    if outside := sorted(file for file in wanted if Path(file).is_absolute() or ".." in Path(file).parts):
        raise SettingsError(f"{name}: {', '.join(outside)} leads out of the folder {entry.folder}; put it there by hand")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".get-") as scratch:  # beside the target, so that renaming is atomic
        unpacked = Path(scratch, "unpacked")
        found = unpack(_checked(source, sha256.lower(), wanted, Path(scratch)), wanted, unpacked)
        targets = {path: root / entry.folder / path.relative_to(unpacked) for path in found}
        new = {path: target for path, target in targets.items() if not _same(path, target)}
        if there := [str(target) for target in new.values() if target.exists()]:
            raise DataError(f"{name}: {', '.join(there)}: there already, and kept; delete what is to be replaced")
        for target in new.values():
            target.parent.mkdir(parents=True, exist_ok=True)
        for path in new:  # all of them before the first is put: what lies under its name is whole, after a power cut too
            with path.open("rb") as file:
                os.fsync(file.fileno())
        for path, target in new.items():
            os.replace(path, target)
    return list(targets.values())


def _same(path: Path, target: Path) -> bool:
    return target.is_file() and sha256_of(target) == sha256_of(path)


def unpack(file: Path, wanted: Collection[str], folder: Path) -> list[Path]:
    """Those of an archive's files that have a wanted name, under it in ``folder``; a file that is no archive has one itself.

    Raises:
        DataError: the archive is damaged, has none of the files or one of them twice, or one is no regular file or too large.
    """
    folder.mkdir()
    if name := _wanted_name(file.as_posix(), wanted):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy(file, folder / name))]
    found: dict[str, Path] = {}
    try:
        for path, size, content in _members(file, wanted):
            if (name := _wanted_name(path, wanted)) is None:
                continue
            if size is None or size > LARGEST:
                raise DataError(f"{file.name}: {path} is {'no regular file' if size is None else f'too large: {size} bytes'}")
            if name in found:
                raise DataError(f"{file.name} holds {name} twice; unpack the right one by hand")
            found[name] = folder / name
            found[name].parent.mkdir(parents=True, exist_ok=True)
            with content() as opened, found[name].open("wb") as copy:
                shutil.copyfileobj(opened, copy)
    except DataError:
        raise
    except Exception as error:  # the libraries raise anything, of damaged archives
        raise DataError(f"{file.name}: the archive can't be read: {error}") from error
    if not found:
        raise DataError(f"{file.name} holds none of the files {', '.join(sorted(wanted))}")
    return list(found.values())


def _wanted_name(path: str, wanted: Collection[str]) -> str | None:
    """Which of the wanted files that of a path is: the one called so; of several (``train/a``, ``test/a``) the path's tail."""
    parts = PurePosixPath(path).parts
    alike = [name for name in wanted if PurePosixPath(name).parts[-1:] == parts[-1:]]
    if len(alike) > 1:
        tails = ["/".join(parts[-n:]) for n in range(len(parts), 0, -1)]  # the longest first
        return next((tail for tail in tails if tail in alike), None)
    return alike[0] if alike else None


Member = tuple[str, int | None, Callable[[], IO[bytes]]]
"""Path in the archive, bytes (None of what is no regular file), and what opens it."""


def _members(file: Path, wanted: Collection[str]) -> Iterator[Member]:
    """Of an archive, which its content tells: names come from addresses, and say little."""
    if tarfile.is_tarfile(file):  # first, for a zip file at the end of a tar archive looks like one
        return _tar(file)
    if zipfile.is_zipfile(file):
        return _zip(file)
    raise DataError(f"{file.name} is neither an archive (zip, tar) nor called as one of the files {', '.join(sorted(wanted))}")


def _zip(file: Path) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            kind = info.external_attr >> 28  # of the Unix mode: 8 is a regular file, 0 an archive that was made elsewhere
            regular = kind in (0, 8) and not info.is_dir()
            yield info.filename, info.file_size if regular else None, lambda info=info: archive.open(info)


def _tar(file: Path) -> Iterator[Member]:
    with tarfile.open(file) as archive:
        for member in archive:
            yield member.name, member.size if member.isreg() else None, lambda member=member: archive.extractfile(member)


def _checked(source: str, sha256: str, wanted: Collection[str], scratch: Path) -> Path:
    """The source as a file whose checksum is right; one that comes from elsewhere has its name if that is wanted."""
    try:
        parts = urlsplit(source)
    except ValueError as error:
        raise DataError(f"{source}: no address: {error}") from None
    if parts.scheme.lower() in ("http", "https"):
        name = PurePosixPath(unquote(parts.path)).name
        return _downloaded(source, sha256, name if _wanted_name(name, wanted) else "download", scratch)
    if "://" in source:
        raise DataError(f"{source}: only http and https are loaded from; load it by other means, and name the file")
    path = Path(source)
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
    if digest != sha256:
        raise DataError(f"{path}: has SHA-256 {digest}, not {sha256}; nothing was taken from it")
    return path


def _downloaded(url: str, sha256: str, name: str, scratch: Path) -> Path:
    try:
        import pooch
    except ImportError:
        raise DataError(f"{url}: loading needs pooch: pip install 'iter-bench[download]', or load it yourself") from None
    pooch.get_logger().setLevel("WARNING")
    files = pooch.create(scratch, base_url="", registry={name: f"sha256:{sha256}"}, urls={name: url}, retry_if_failed=TRIES - 1)
    try:
        return Path(files.fetch(name, downloader=pooch.HTTPDownloader(timeout=60, headers={"Accept-Encoding": "identity"})))
    except OSError as error:  # as all errors of requests are
        raise DataError(f"{url}: can't be loaded: {error}; nothing was kept") from error
    except ValueError as error:  # pooch's, of the checksum; or of an address that it was redirected to
        other = f"what comes has another SHA-256 than {sha256}, {TRIES} times"
        raise DataError(f"{url}: {other if 'known hash' in str(error) else error}; nothing was kept") from error
