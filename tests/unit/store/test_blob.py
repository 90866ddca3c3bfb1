from pathlib import Path

import pytest

from store.blob import Behind, Blob, FileBlob

WHOLE = b"head0123456789"


@pytest.fixture(params=["bytes", "file", "behind"])
def blob(request: pytest.FixtureRequest, tmp_path: Path) -> Blob:
    path = tmp_path / "x"
    path.write_bytes(WHOLE)
    if request.param == "bytes":
        return WHOLE
    return FileBlob(path) if request.param == "file" else Behind(b"head", b"0123456789")


def test_every_slice_is_that_of_the_bytes(blob: Blob) -> None:
    assert len(blob) == len(WHOLE) and blob[:] == WHOLE
    for start in (None, 0, 2, 4, 5, 20, -3):
        for stop in (None, 0, 3, 4, 9, 20, -2):
            assert blob[start:stop] == WHOLE[start:stop], (start, stop)
