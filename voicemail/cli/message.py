"""`voicemail message`: messages in mailboxes."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from store.api import Store
from store.model import Message
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show, user_of, with_store
from voicemail.config import Config
from voicemail.errors import VoicemailError

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_messages(
    extension: Annotated[str, typer.Argument(help="Whose; all mailboxes when left out.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Show messages as this node holds them."""

    async def work(_: Config, store: Store) -> list[dict[str, Any]]:
        users = [await user_of(store, extension)] if extension else await store.users.all()
        return [_row(user.extension, m) for user in users for m in await store.messages.listing(user.id)]

    show(with_store(config, work), as_json)


@app.command()
def export(
    message: Annotated[UUID, typer.Argument(help="The message's id, as `message list` shows it.")],
    file: Annotated[Path, typer.Argument(help="The WAV file to write.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Write a message's recording to a file, which must not be there yet."""

    async def work(_: Config, store: Store) -> bytes:
        return await store.messages.audio(message)

    audio = with_store(config, work)
    try:
        with open(file, "xb") as out:
            out.write(audio)
    except OSError as error:
        raise VoicemailError(f"{file}: {error.strerror}") from None
    say(f"{file}: {len(audio)} bytes")


def _row(extension: str, message: Message) -> dict[str, Any]:
    recorded: datetime = message.recorded.astimezone()
    return {
        "Mailbox": extension,
        "Id": str(message.id),
        "From": message.caller or "withheld",
        "Recorded": f"{recorded:%Y-%m-%d %H:%M:%S}",
        "Seconds": round(message.seconds, 1),
        "Folder": message.folder.value,
        "Urgent": message.urgent,
        "Cut off": message.cut_off,
        "Node": message.node,
    }
