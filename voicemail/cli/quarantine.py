"""`voicemail quarantine`: mails that came in and could not be understood."""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from store.api import Store
from store.model import QUARANTINE, Mark, Message
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show, with_store
from voicemail.config import Config
from voicemail.errors import VoicemailError
from voicemail.intake.addresses import Addresses
from voicemail.intake.letter import Letter
from voicemail.intake.making import local_time, parsers, settling_of
from voicemail.intake.parsers import Reader
from voicemail.intake.quarantine import unwrapped
from voicemail.vpim.model import Unreadable

app = typer.Typer(no_args_is_help=True)

MessageId = Annotated[UUID, typer.Argument(help="As `quarantine list` shows it.")]
BLANK = "\r\n\r\n"


@app.command("list")
def list_mails(config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Show what is in quarantine, oldest first."""

    async def work(_: Config, store: Store) -> list[dict[str, Any]]:
        return [_row(message) for message in await store.messages.listing(QUARANTINE)]

    show(with_store(config, work), as_json)


@app.command("show")
def show_mail(mail: MessageId, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Show who sent a mail to whom, why it is here, and its header."""

    async def work(_: Config, store: Store) -> tuple[Message, bytes]:
        return await _kept(store, mail)

    message, kept = with_store(config, work)
    letter, raw = unwrapped(kept)
    for name, value in _facts(message, letter, raw):
        say(f"{name:<10} {_printable(value)}")
    say("")
    for line in raw.decode("utf-8", "replace").partition(BLANK)[0].split("\r\n"):
        say(_printable(line))


@app.command()
def export(
    mail: MessageId,
    file: Annotated[Path, typer.Argument(help="The .eml file to write.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Write a mail as it came to a file, which must not be there yet."""

    async def work(_: Config, store: Store) -> bytes:
        return (await _kept(store, mail))[1]

    raw = unwrapped(with_store(config, work))[1]
    try:
        with open(file, "xb") as out:
            out.write(raw)
    except OSError as error:
        raise VoicemailError(f"{file}: {error.strerror}") from None
    say(f"{file}: {len(raw)} bytes")


@app.command()
def release(mail: MessageId, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Try again, as this release reads mails: delivered, it leaves the quarantine; else it says why not."""

    async def work(config: Config, store: Store) -> str:
        with tempfile.TemporaryDirectory() as folder:
            async with parsers(config, Path(folder) / "parsed") as reader:
                return await released(config, store, reader, mail)

    say(with_store(config, work))


@app.command()
def drop(mail: MessageId, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Delete a mail for good."""

    async def work(_: Config, store: Store) -> None:
        message, _kept_as = await _kept(store, mail)
        await store.messages.mark(message.id, Mark.PURGE)

    with_store(config, work)
    say(f"{mail} is gone")


async def released(config: Config, store: Store, reader: Reader, mail: UUID) -> str:
    """Settle it as if it came now; its sender is not told once more. Raises VoicemailError when it is not
    understood still, store errors."""
    message, kept = await _kept(store, mail)
    letter, raw = unwrapped(kept)
    if letter is None:
        raise VoicemailError(f"{mail}: its envelope cannot be read; export it")
    outcome = await _parsed(reader, raw)
    if isinstance(outcome, Unreadable):
        raise VoicemailError(f"{mail}: {outcome.code} {outcome}")
    addresses = Addresses(store)
    await addresses.refresh()
    done = await settling_of(config, store, addresses, released=True).take(letter, raw, outcome)
    if done.quarantined:
        raise VoicemailError(f"{mail}: nobody is there to get it")
    await store.messages.mark(message.id, Mark.PURGE)
    return f"{mail}: {done}"


async def _parsed(reader: Reader, raw: bytes) -> Any:
    with tempfile.NamedTemporaryFile(suffix=".eml") as file:
        await asyncio.to_thread(file.write, raw)
        await asyncio.to_thread(file.flush)
        return await reader.parse(Path(file.name))


async def _kept(store: Store, mail: UUID) -> tuple[Message, bytes]:
    message = await store.messages.get(mail)
    if not message or message.mailbox_id != QUARANTINE:
        raise VoicemailError(f"{mail}: there is no such mail in quarantine")
    return message, await store.messages.audio(mail)


def _row(message: Message) -> dict[str, Any]:
    return {
        "Id": str(message.id),
        "Received": f"{message.recorded.astimezone(local_time().tzinfo):%Y-%m-%d %H:%M:%S}",
        "From": _printable(message.caller) or "<>",
        "To": _printable(", ".join(message.envelope.recipients)),
        "Why": _printable(message.envelope.why),
    }


def _facts(message: Message, letter: Letter | None, raw: bytes) -> list[tuple[str, str]]:
    said = [("From", message.caller or "<>"), ("To", ", ".join(message.envelope.recipients))]
    said += [("Why", message.envelope.why), ("Size", f"{len(raw)} bytes")]
    if letter:
        signed = f", signed in as {letter.user}" if letter.user else ""
        said += [("Source", f"{letter.source} ({letter.trust.value}{signed})"), ("Node", letter.node)]
    return said


def _printable(text: str) -> str:
    """A stranger's words must not steer the terminal."""
    return "".join(sign if sign.isprintable() or sign == "\t" else "?" for sign in text)
