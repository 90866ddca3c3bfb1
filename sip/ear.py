"""Hears keys in the audio of calls. All of it in the main thread, by the rules of `sip.endpoint`.

pjsua2 would call Python for each frame: 0.06 ms before anything was done with it, on the thread that mixes
all calls of the process and would wait for the interpreter each time. So a port of the library's own takes
the audio: the one that writes WAV files, here to /dev/null. Its buffer is read in place, ten times a second.

pjsua2 does not offer that port, the library below it does (pjsua.h, wav_port.h). Where the buffer is, no
function tells: one frame is put into a new port, and the place looked for in the port where the size of the
buffer, its address, the address behind that frame, and its size follow one another. A library in which they
do not is left alone.
"""

import collections
import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pjsua2 as pj
import structlog

from sip.errors import EngineError
from sip.inband import Inband, hear
from sip.wav import RATE

EVERY = 0.1
"""Seconds between two looks. Each costs 0.3 ms, for one call as for four."""
BY_AUDIO = 9
"""How a key was told that was heard in the audio; the library has 0 (RFC 4733) and 1 (SIP INFO)."""
FRAME = 2 * RATE // 50
RING = 100 * FRAME
"""Bytes: two seconds. Of whole frames, so that the buffer is full before it begins again."""
LOOKED_THROUGH = 24
"""Words of a port among which those about its buffer are looked for; it has memory for more."""
AUDIO = 1
"""PJMEDIA_FRAME_TYPE_AUDIO."""

log = structlog.get_logger()


class _Frame(ctypes.Structure):
    """pjmedia_frame."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buf", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("timestamp", ctypes.c_uint64),
        ("bit_info", ctypes.c_uint32),
    )


class _Library:
    """The functions that are called, without their names' beginnings."""

    def __init__(self) -> None:
        """Raises AttributeError when the library does not show them."""
        port, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint
        file = ctypes.CDLL(pj._pjsua2.__file__)
        self.new_pool = file.pjsua_pool_create
        self.new_pool.argtypes, self.new_pool.restype = (ctypes.c_char_p, size, size), ctypes.c_void_p
        self.new_writer = file.pjmedia_wav_writer_port_create
        self.new_writer.argtypes = (
            *(ctypes.c_void_p, ctypes.c_char_p, number, number, number, number, number),
            *(ctypes.c_ssize_t, ctypes.POINTER(port)),
        )
        self.put = file.pjmedia_port_put_frame
        self.put.argtypes = (port, ctypes.POINTER(_Frame))
        self.add = file.pjsua_conf_add_port
        self.add.argtypes = (ctypes.c_void_p, port, ctypes.POINTER(ctypes.c_int))
        self.connect, self.disconnect = file.pjsua_conf_connect, file.pjsua_conf_disconnect
        self.connect.argtypes = self.disconnect.argtypes = (ctypes.c_int, ctypes.c_int)


class Ear:
    """A port of the mixer. Used again for later calls and never taken away, as its memory is read."""

    tell: Callable[[str, Any], None]
    inband: Inband

    def __init__(self, library: _Library) -> None:
        """Raises EngineError."""
        self._library, self._source = library, -1
        pool, port, place = library.new_pool(b"ear", 1000, 1000), ctypes.c_void_p(), ctypes.c_int()
        made = library.new_writer(pool, b"/dev/null", RATE, 1, FRAME // 2, 16, 0, RING, ctypes.byref(port))
        if made != 0 or not port.value:
            raise EngineError(f"no port to hear tones by: {made}")
        self._words = _about_buffer(library, port.value)
        self.ring = np.ctypeslib.as_array((ctypes.c_int16 * (RING // 2)).from_address(self._words[1]))
        if (made := library.add(pool, port, ctypes.byref(place))) != 0:
            raise EngineError(f"no place in the mixer to hear tones: {made}")
        self._place = place.value

    @property
    def written(self) -> int:
        """Samples, in all."""
        return int(self._words[3]) // 2

    def hear(self, source: Any) -> None:
        """Listen to a new stream of the call from now on."""
        self._source = source.getPortId()
        if (failed := self._library.connect(self._source, self._place)) != 0:
            log.warning("tones are not heard", status=failed)

    def rest(self) -> None:
        """A stream that is gone is no longer connected, either."""
        self._library.disconnect(self._source, self._place)


def _about_buffer(library: _Library, port: int) -> "ctypes.Array[ctypes.c_uint64]":
    """Four words within the port: size of the buffer, its address, where the next frame goes, and bytes
    written in all. Raises EngineError."""
    silence = ctypes.create_string_buffer(FRAME)
    frame = _Frame(AUDIO, ctypes.addressof(silence), FRAME, 0, 0)
    put = library.put(port, ctypes.byref(frame))
    words = (ctypes.c_uint64 * LOOKED_THROUGH).from_address(port)
    found = [
        at
        for at in range(LOOKED_THROUGH - 3)
        if words[at] == RING and words[at + 1] and words[at + 2 : at + 4] == [words[at + 1] + FRAME, FRAME]
    ]
    if put != 0 or len(found) != 1:
        raise EngineError(f"the library's port is not as expected: {put}, {found}")
    return (ctypes.c_uint64 * 4).from_address(port + 8 * found[0])


class Ears:
    """All of an engine."""

    def __init__(self) -> None:
        self._library: _Library | None = None
        self._resting: collections.deque[Ear] = collections.deque()
        self._listening: list[Ear] = []
        self._due, self._broken = 0.0, False

    def take(self, tell: Callable[[str, Any], None]) -> Ear | None:
        """The one that has rested longest, for another call; None when this library has none."""
        try:
            ear = self._resting.popleft() if self._resting else self._new()
        except (AttributeError, OSError, EngineError) as error:
            if not self._broken:
                log.error("keys in the audio cannot be heard", why=str(error))
            self._broken = True
            return None
        ear.tell, ear.inband = tell, Inband(ear.ring, ear.written)
        self._listening.append(ear)
        return ear

    def _new(self) -> Ear:
        if self._broken:
            raise EngineError("tried before")
        self._library = self._library or _Library()
        return Ear(self._library)

    def give_back(self, ear: Ear) -> None:
        ear.rest()
        self._listening.remove(ear)
        self._resting.append(ear)

    def wait(self, longest: int, now: float) -> int:
        """Milliseconds until the next look, `longest` at most."""
        left = int(1000 * (self._due - now)) + 1
        return min(longest, max(left, 1)) if self._listening else longest

    def look(self, now: float) -> None:
        """Tell keys that were pressed, when it is time to."""
        if not self._listening or now < self._due:
            return
        self._due = now + EVERY
        pressed = hear([(ear.inband, ear.written) for ear in self._listening])
        for ear, keys in zip(self._listening, pressed, strict=True):
            for key in keys:
                ear.tell("digit", f"{key}{BY_AUDIO}")
