"""Disk space set aside for a recording before it begins: who has heard the tone can finish, however full
the disk gets meanwhile."""

import ctypes
import errno
import os
from pathlib import Path

KEEP_SIZE = 1
"""FALLOC_FL_KEEP_SIZE of Linux: blocks behind the end of a file, which stays as long as it was."""
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def set_aside(path: Path, size: int) -> None:
    """So that the file at `path` can grow to `size` bytes. Raises OSError when there is no room. Where the
    file system cannot do this, nothing is set aside."""
    handle = os.open(path, os.O_WRONLY)
    try:
        if _libc.fallocate(handle, KEEP_SIZE, 0, size):
            number = ctypes.get_errno()
            if number in (errno.EOPNOTSUPP, errno.ENOSYS):
                return
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(handle)


def give_back(path: Path) -> None:
    """What the file does not use after all."""
    os.truncate(path, path.stat().st_size)
