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
from voicemail.config import load
from voicemail.errors import VoicemailError
from voicemail.orders import PATIENCE
from voicemail.primary.answers import rows
from voicemail.primary.returns import drop

app = typer.Typer(no_args_is_help=True)
AS_LISTED = "Its id, as `outbox list` shows it."
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
    item: Annotated[str, typer.Argument(help=AS_LISTED, show_default=False)] = "",
    everything: Annotated[bool, typer.Option("--all", help="All that was tried in vain.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Try again now, without waiting for the next time."""
    if bool(item) is everything:
        raise VoicemailError("name one item, or give --all")
    asked = str(id_of(item, "outbox retry")) if item else ""
    say(control.ask(load(config), "outbox-retry", patience=PATIENCE, id=asked)["said"])


@app.command("drop")
def drop_work(
    item: Annotated[str, typer.Argument(help=AS_LISTED)], config: ConfigPath = DEFAULT_CONFIG
) -> None:
    """Give one up: it is done by nobody. A message for another system comes back to its author."""
    wanted, where = id_of(item, "outbox drop"), ""
    try:
        dropped = control.ask(load(config), "outbox-drop", patience=PATIENCE, id=str(wanted))["dropped"]
    except VoicemailError as error:
        where = f"The Primary cannot be asked ({error}): it was done in this server's store.\n"
        dropped = with_store(config, lambda _, store: drop(store, wanted))
    if not dropped:
        raise VoicemailError(f"nothing in the outbox has the id {wanted}; perhaps it was done just now")
    sys.stderr.write(where)
    say(f"{wanted}: dropped")


def id_of(text: str, where: str) -> UUID:
    """Raises VoicemailError."""
    try:
        return UUID(text)
    except ValueError:
        raise VoicemailError(f"{where}: {text!r} is no id of the outbox; `outbox list` shows them") from None


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
