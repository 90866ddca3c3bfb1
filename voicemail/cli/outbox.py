"""`voicemail outbox`: what is left to be done outside (lamps, mails), asked of the Primary."""

import sys
from typing import Annotated, Any
from uuid import UUID

import typer

from store.api import Store
from store.model import Work
from voicemail import control
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show, with_store
from voicemail.cli.mwi import destination, local
from voicemail.config import Config, load
from voicemail.errors import VoicemailError
from voicemail.orders import PATIENCE
from voicemail.primary.answers import rows

app = typer.Typer(no_args_is_help=True)
DROPPED = "dropped by an administrator"
Id = Annotated[UUID, typer.Argument(help="As `outbox list` shows it.")]
LEFT = 1000
"""Rows that are read when the Primary cannot be asked."""


@app.command("list")
def list_work(
    kind: Annotated[Work | None, typer.Option(help="Of this kind only.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what was not tried in vain.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Show what was tried in vain: why, and when it is tried next."""
    wanted = kind.value if kind else ""
    try:
        answer = control.ask(load(config), "outbox-list", patience=PATIENCE, kind=wanted, all=everything)
    except VoicemailError as error:
        sys.stderr.write(f"The Primary cannot be asked ({error}). As this server's store has it:\n")
        answer = {"work": with_store(config, lambda _, store: _own(store, wanted)), "left_out": 0}
    if as_json:
        return show(answer["work"], as_json)
    show([_row(each) for each in answer["work"]], as_json)
    if answer["left_out"]:
        say(f"and {answer['left_out']} more")
    if "waiting" in answer and not everything:
        say(f"{answer['waiting']} left to do, {len(answer['work']) + answer['left_out']} tried in vain.")
    if silent := [each for each in answer.get("destinations", ()) if each["why"]]:
        say("")
        show([destination(each) for each in silent], as_json)


@app.command()
def retry(
    item: Annotated[UUID | None, typer.Argument(help="As `outbox list` shows it.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that was tried in vain.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Try again now, without waiting for the next time."""
    if (item is None) is not everything:
        raise VoicemailError("name one item, or give --all")
    asked = str(item) if item else ""
    say(control.ask(load(config), "outbox-retry", patience=PATIENCE, id=asked)["said"])


@app.command()
def drop(item: Id, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Give one up: it is done by nobody. Nothing but this row is lost; the message stays."""

    async def work(_: Config, store: Store) -> bool:
        return await store.outbox.drop(item, DROPPED)

    if not with_store(config, work):
        raise VoicemailError(f"nothing in the outbox has the id {item}; perhaps it was done just now")
    say(f"{item}: dropped")


async def _own(store: Store, kind: str) -> list[dict[str, Any]]:
    """This server's view: it knows nothing of the Primary's tries."""
    waiting = await store.outbox.listed(LEFT)
    return rows(each for each in waiting if kind in ("", each.item.kind.value))


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "Id": row["id"],
        "Kind": row["kind"],
        "Created": local(row["created"]),
        "Tries": row["tries"],
        "Next try": local(row["next_try"]),
        "Why": row["why"],
    }
