"""A mail server of few lines that shows every command as it came, offers whatever it is told to, and can
answer a byte at a time."""

import asyncio
from dataclasses import dataclass, field


@dataclass
class PlainServer:
    """`extensions` are offered in EHLO, `answers` given by verb ("RCPT", "." for the end of data; "" is said
    first) instead of what is usual. `rate`: bytes a second in both directions; 0 for as fast as may be."""

    extensions: tuple[str, ...] = ()
    answers: dict[str, str] = field(default_factory=dict)
    rate: float = 0.0
    host: str = "127.0.0.1"
    port: int = 0
    commands: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    connections: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> "PlainServer":
        self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=1000)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        await self.hang_up()

    async def hang_up(self) -> None:
        """Close all connections that are open."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        self.connections += 1
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._open.discard(task)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._say(writer, self.answers.get("", "220 plain"))
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            self.commands.append(line)
            verb = line.split(" ")[0].split(":")[0].upper()
            usual = {"DATA": "354 go on", "QUIT": "221 bye", "EHLO": self._hello()}.get(verb, "250 2.0.0 ok")
            answer = self.answers.get(verb, usual)
            await self._say(writer, answer)
            if verb == "DATA" and answer.startswith("354"):
                mail = await self._read(reader)
                if self.answers.get(".", "250").startswith("2"):
                    self.mails.append(mail)
                await self._say(writer, self.answers.get(".", "250 2.0.0 kept"))
            if verb == "QUIT":
                return

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        got = b""
        while not got.endswith(b"\r\n.\r\n"):
            got += await reader.readexactly(1) if self.rate else await reader.readuntil(b"\n")
            if self.rate:
                await asyncio.sleep(1 / self.rate)
        return got[:-3]

    def _hello(self) -> str:
        return "\r\n".join([*(f"250-{each}" for each in ("plain", *self.extensions)), "250 HELP"])

    async def _say(self, writer: asyncio.StreamWriter, text: str) -> None:
        whole = text.encode() + b"\r\n"
        if not self.rate:
            writer.write(whole)
        for byte in whole if self.rate else b"":
            writer.write(bytes([byte]))
            await asyncio.sleep(1 / self.rate)
        await writer.drain()
