"""What is kept in a store need not be in memory all at once."""

from pathlib import Path
from typing import Protocol


class Blob(Protocol):
    """Bytes, or something whose slices are: a file, or what stands in front of it and the file."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes: ...


class FileBlob:
    """A file that nobody changes. Slicing it reads it: raises OSError. Steps are not for it."""

    def __init__(self, path: Path) -> None:
        self._path, self._length = path, path.stat().st_size

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice, /) -> bytes:
        start, stop, _ = part.indices(self._length)
        with open(self._path, "rb") as file:
            file.seek(start)
            return file.read(max(0, stop - start))


class Behind:
    """Some bytes, and then all of another."""

    def __init__(self, head: bytes, rest: Blob) -> None:
        self._head, self._rest = head, rest

    def __len__(self) -> int:
        return len(self._head) + len(self._rest)

    def __getitem__(self, part: slice, /) -> bytes:
        start, stop, _ = part.indices(len(self))
        ahead = len(self._head)
        if stop <= ahead:
            return self._head[start:stop]
        return self._head[start:ahead] + self._rest[max(0, start - ahead) : stop - ahead]
