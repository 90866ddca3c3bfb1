"""Disks of their own for nodes, whose power can be cut: ext4 in a file, mounted by a loop device.

Cutting means EXT4_IOC_SHUTDOWN without a last flush: from that moment nothing more reaches the image, and
the next mount finds what a machine without power would: what was written out, and the journal. Nothing
else is written out early: the journal commits at an fsync only (`commit=`), data are written back by the
kernel after 30 s only, and a file that is truncated or renamed is not flushed unasked (`noauto_da_alloc`).
So a test within that time sees no data by chance. What it cannot show is a missing fsync of a folder:
ext4 writes the name of a new file along with the file.
"""

import fcntl
import os
import struct
import subprocess
import time
from pathlib import Path

EXT4_IOC_SHUTDOWN = 0x8004587D
WITHOUT_FLUSH = 2
MEGABYTES = 1500


class Disk:
    """Mounted at `place`; root only."""

    def __init__(self, image: Path, place: Path) -> None:
        self.image, self.place = image, place
        with image.open("wb") as file:
            file.truncate(MEGABYTES * 2**20)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop,commit=900,noauto_da_alloc", self.image, self.place], check=True)

    def cut_power(self) -> None:
        handle = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_FLUSH))
        finally:
            os.close(handle)

    def unmount(self, within: float = 5.0) -> None:
        """The last process to use it may take a moment to end."""
        ends = time.monotonic() + within
        while self.place.is_mount():
            done = subprocess.run(["umount", self.place], capture_output=True, text=True)
            assert done.returncode == 0 or time.monotonic() < ends, done.stderr
            time.sleep(0.05)
