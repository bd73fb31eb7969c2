"""Files that appear whole or not at all, and files that are files: neither pipes nor devices nor folders."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

__all__ = ["atomically", "open_regular", "sync_folder", "write_atomically"]

Path = str | os.PathLike[str]


@contextmanager
def atomically(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write, which takes the place of `path` when the block ends without an exception.

    It lies under another name in the same folder, is flushed to the disk and renamed, and so is the folder's entry: no reader,
    no crash and no lost power shows a part of it. A link stays, and what it points to is replaced; permissions stay too.
    After an exception the old file is as it was and the temporary one is gone. Raises OSError naming `path`, also where it is
    a folder, a pipe or a device.
    """
    target = os.path.realpath(os.fsdecode(path))
    before = _mode(target)
    if before is not None:
        _check_regular(before, path)
    folder, name = os.path.split(target)
    # 60 characters are at most 240 bytes: the whole name stays below the 255 that file systems take
    temporary = os.path.join(folder, f".{name[:60]}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            if before is not None:
                with suppress(OSError):  # file systems without permissions
                    os.fchmod(file.fileno(), before & 0o777)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, temporary):
            raise OSError(error.errno, os.strerror(error.errno), os.fspath(path)) from error
        raise
    try:
        sync_folder(folder)
    except OSError as error:  # the new file is in its place, but could be gone after a crash
        raise OSError(error.errno, os.strerror(error.errno or errno.EIO), os.fspath(path)) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file at `path` by `content`, so that no reader, and no crash, ever sees a part of it; see `atomically`."""
    with atomically(path) as file:
        file.write(content)


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading; OSError naming `path` for a folder, a pipe (which could block for ever) or a device."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_regular(os.fstat(descriptor).st_mode, path)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _mode(target: str) -> int | None:
    try:
        return os.stat(target).st_mode
    except FileNotFoundError:
        return None


def _check_regular(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        kind = "pipe" if stat.S_ISFIFO(mode) else "device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "socket"
        raise OSError(errno.EINVAL, f"expected a regular file, this is a {kind}", os.fspath(path))


def sync_folder(folder: Path) -> None:
    """Have the renaming on the disk too, where the folder may be opened and its file system can do that."""
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(descriptor)
