"""Files that appear whole or not at all.

The bytes go to a temporary file beside the target, reach the disk, and only then take the target's
name. Whatever happens before that (a full disk, an I/O error, a kill) leaves the old file as it
was. What a killed process left behind is removed by the next write to the same target.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["SUFFIX", "atomic_write"]

# Of the temporary files: `.model.safetensors.5f1d09ab.vemfast-tmp`.
SUFFIX = ".vemfast-tmp"

_LONGEST_STEM = 200  # bytes of the target's name kept in it, of the 255 that a name may have


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a binary file whose content replaces the file at `path` when the block ends well.

    An existing file keeps its permissions, and a symbolic link stays one. What is not a regular
    file, such as a pipe, is written to directly.

    Parameters
    ----------
    path : path-like

    Yields
    ------
    file object

    Raises
    ------
    OSError
        If the file cannot be written; the old one is then as it was.
    """
    target = Path(os.path.realpath(path))
    mode = _mode_of(target)
    if mode is not None and not stat.S_ISREG(mode):
        with open(target, "wb") as file:
            yield file
        return
    _remove_stale(target)
    descriptor, temporary = _create(target)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            os.fsync(file.fileno())
            # Still open, so still locked: nobody takes it for stale.
            os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say of which file
        raise
    _sync_directory(target.parent)


def _mode_of(target: Path) -> int | None:
    """Return the mode of an existing file that may be written, None where there is none."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    return mode


def _stem(target: Path) -> str:
    return "." + os.fsdecode(os.fsencode(target.name)[:_LONGEST_STEM]) + "."


def _create(target: Path) -> tuple[int, Path]:
    """Return a new temporary file, locked for as long as it is open."""
    while True:
        temporary = target.with_name(f"{_stem(target)}{secrets.token_hex(4)}{SUFFIX}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            continue
        except OSError as error:
            # The user knows the target, not the temporary file.
            raise type(error)(error.errno, error.strerror, str(target)) from None
        try:
            if not _lock(descriptor, wait=True) or os.fstat(descriptor).st_nlink:
                return descriptor, temporary
            os.close(descriptor)  # another process took it for stale before it was locked
        except BaseException:
            os.close(descriptor)
            raise


def _remove_stale(target: Path) -> None:
    """Remove temporary files of the target that no process holds."""
    pattern = re.compile(re.escape(_stem(target)) + "[0-9a-f]{8}" + re.escape(SUFFIX))
    try:
        names = [name for name in os.listdir(target.parent) if pattern.fullmatch(name)]
    except OSError:  # a folder that may be written but not listed
        return
    for name in names:
        with suppress(OSError):
            _remove_if_free(target.with_name(name))


def _remove_if_free(temporary: Path) -> None:
    # Neither a link out of the folder nor a pipe without a writer is to be followed.
    descriptor = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if _lock(descriptor, wait=False):
            temporary.unlink()
    finally:
        os.close(descriptor)


def _lock(descriptor: int, wait: bool) -> bool:
    """Lock an open file; the lock ends with the process, however that ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held by another, or a file system without locks
        return False
    return True


def _sync_directory(directory: Path) -> None:
    """Make the new name last through a crash of the machine."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except PermissionError:  # a folder that may be written but not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # no such thing on this file system
            raise
    finally:
        os.close(descriptor)
