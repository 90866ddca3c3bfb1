"""What large mails cost the receiver: how much more memory it and its readers take, and for how long.

    .venv/bin/python tests/bench/junk.py --megabytes 34

A real PostgreSQL and the receiver as a program of its own; memory is the sum of Pss over its processes,
looked at every 10 ms. It prints figures and judges none.
"""

import argparse
import asyncio
import base64
import random
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from store.model import QUARANTINE, Setting
from store.postgres import PostgresStore
from tests.fakes.edge import until
from tests.fakes.post import ANNA
from tests.fakes.postgres import copied_database, running_server, with_template
from tests.fakes.smtp_program import MEGABYTE, Program, memory, peak, prepared
from voicemail.policy.model import ClassOfService, Quota

HEAD = "From: <2722@pbx.example.net>\r\nMessage-ID: <%s@junk>\r\nMIME-Version: 1.0\r\n"
LINE = 76


def attached(name: str, media: str, data: bytes) -> bytes:
    """A mail with one attachment in base64."""
    text = base64.b64encode(data)
    lines = b"\r\n".join(text[at : at + LINE] for at in range(0, len(text), LINE))
    head = HEAD % name + f"Content-Type: {media}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head.encode() + lines + b"\r\n"


def plain(name: str, media: str, body: bytes) -> bytes:
    return (HEAD % name + f"Content-Type: {media}\r\n\r\n").encode() + body


def wav(data: bytes, rate: int = 8000, channels: int = 1) -> bytes:
    """A WAV file of 16 bits."""
    wide = 2 * channels
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * wide, wide, 16)
    return b"".join(
        (b"RIFF", (36 + len(data)).to_bytes(4, "little"), b"WAVEfmt \x10\0\0\0", form)
        + (b"data", len(data).to_bytes(4, "little"), data)
    )


def mails(size: int) -> Iterator[tuple[str, bytes]]:
    """Name and mail, each of some `size` bytes."""
    noise = random.Random(1).randbytes(size * 3 // 4 * LINE // (LINE + 2) - 1000)
    yield "text of short lines", plain("text", "text/plain", b"Hello\r\n" * (size // 7))
    yield "a program in base64", attached("program", "application/zip", noise)
    yield "noise that says it is MP3", attached("mp3", "audio/mpeg", b"ID3\4" + noise)
    yield "noise that says it is Ogg", attached("ogg", "audio/ogg", b"OggS" + noise)
    yield "noise that says it is AMR", attached("amr", "audio/amr", b"#!AMR\n" + noise)
    yield "noise that says it is MP4", attached("mp4", "audio/mp4", bytes(3) + b"\x18ftypM4A " + noise)
    yield "26 minutes of PCM at 8 kHz", attached("pcm", "audio/wav", wav(noise))
    yield "2 minutes of PCM at 48 kHz, stereo", attached("music", "audio/wav", wav(noise, 48000, 2))
    yield "quoted-printable", quoted("quoted", noise)
    part = b"--b\r\nContent-Type: audio/wav\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    piece = base64.encodebytes(wav(noise[: len(noise) // 90])).replace(b"\n", b"\r\n")
    yield "90 recordings", plain("many", "multipart/mixed; boundary=b", (part + piece) * 90 + b"--b--\r\n")
    inner = attached("inner", "audio/mpeg", b"ID3\4" + noise)
    yield "a mail in a mail", plain("forward", "message/rfc822", inner[: size - 500])


def quoted(name: str, noise: bytes) -> bytes:
    head = HEAD % name + "Content-Type: audio/mpeg\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head.encode() + b"=FF=FB=90=00abcdefghijklmnopqrstuvwxyz=\r\n" * (len(noise) * 4 // 3 // 41)


async def one(program: Program, leader: int, store: PostgresStore, name: str, mail: bytes) -> None:
    await asyncio.sleep(0.3)
    before, begun = memory(leader), time.monotonic()
    watch = asyncio.create_task(peak(leader, 0.01))
    await asyncio.to_thread(program.send, [mail], ["1001@vm.example.com"])
    sent = time.monotonic() - begun
    await until(program.settled, 60)
    took = time.monotonic() - begun
    watch.cancel()
    there = len(await store.messages.listing(ANNA.id)), len(await store.messages.listing(QUARANTINE))
    print(
        f"{name:<38} {len(mail) / 1e6:5.1f} MB: {(await watch - before) / MEGABYTE:4.0f} MB more, "
        f"taken {sent:.2f} s, settled {took:.2f} s; {there[0]} in the mailbox, {there[1]} in quarantine",
        flush=True,
    )


async def warmed(program: Program, name: str) -> None:
    """Both readers have been started, and the store was asked."""
    second = wav(b"\1\0" * 8000)
    small = [attached(f"small{n} {name}", "audio/wav", second) for n in (1, 2)]
    await asyncio.to_thread(program.send, small, ["1002@vm.example.com"])
    await until(program.settled, 10)


async def main(chosen: argparse.Namespace) -> None:
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        with_template(server)
        with copied_database(server) as dsn:
            async with PostgresStore.open(dsn) as store:
                program = await prepared(Path(folder), store, dsn)
                unbound = ClassOfService(
                    quota=Quota(warn=0, no_send=0, no_receive=0), longest_from_outside=1800
                )
                await store.settings.put(Setting("cos", "default", unbound.model_dump_json()))
                for name, mail in mails(int(chosen.megabytes * 1e6)):
                    if chosen.only in name:
                        async with program.running() as process:
                            await warmed(program, name)
                            await one(program, process.pid, store, name, mail)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=34.0)
    parser.add_argument("--only", default="", help="mails whose name has this in it")
    asyncio.run(main(parser.parse_args()))
