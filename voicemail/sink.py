"""A catch-all SMTP server that keeps each mail as a file: for trying out, never for the open network.

python -m voicemail.sink --port 2525 --folder mails
"""

import argparse
import asyncio
import contextlib
import itertools
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session


class Sink:
    """Takes every mail. Files are named in order of arrival (000001.eml …) and appear whole.

    Used as `async with Sink(folder) as sink:`, then `sink.port` is where it listens."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0, **options: Any) -> None:
        """`options` go to aiosmtpd's SMTP (tls_context, authenticator …)."""
        self.folder, self.host, self.port, self._options = folder, host, port, options
        self._server: asyncio.Server | None = None
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> "Sink":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._numbers = itertools.count(1 + max((int(p.stem) for p in self.mails()), default=0))
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    def mails(self) -> list[Path]:
        """All that came, in order."""
        return sorted(p for p in self.folder.glob("*.eml") if p.stem.isdecimal())

    def _protocol(self) -> SMTP:
        return SMTP(self, hostname="sink", enable_SMTPUTF8=True, **self._options)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Called by aiosmtpd when a mail is there; gives the answer."""
        content = envelope.content or b""
        data = content if isinstance(content, bytes) else content.encode()
        await asyncio.to_thread(self.keep, data, envelope)
        return "250 OK kept"

    def keep(self, data: bytes, envelope: Envelope) -> Path:
        """Write one mail, with its envelope in two headers in front."""
        head = f"X-Envelope-From: {envelope.mail_from}\r\nX-Envelope-To: {', '.join(envelope.rcpt_tos)}\r\n"
        path = self.folder / f"{next(self._numbers):06}.eml"
        part = path.with_suffix(".part")
        part.write_bytes(head.encode() + data)
        return part.rename(path)


async def serve(folder: Path, host: str, port: int) -> None:
    """Until cancelled."""
    async with Sink(folder, host, port):
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A catch-all SMTP server that keeps each mail as a file.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.folder, arguments.host, arguments.port))


if __name__ == "__main__":
    main()
