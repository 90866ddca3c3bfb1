"""`voicemail cluster`: what an operator orders, of this server or of the other one."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any

import typer

from voicemail import orders
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show
from voicemail.config import Config, load
from voicemail.orders import NotConfirmed

Server = Annotated[str, typer.Argument(help="Name of a server of the cluster; this one by default.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
LOOK = 0.5
"""Seconds between two looks at the calls that are left."""


def register(app: typer.Typer) -> None:
    """Add the commands to `voicemail cluster`."""
    for command in (status, make_primary, activate, deactivate, stop_taking_calls, take_calls, history):
        app.command()(command)


def make_primary(server: Server = "", config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Make a server Primary; the other becomes Secondary. Calls go on."""
    say(asyncio.run(orders.make_primary(load(config), server)))


def activate(server: Server = "", config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Put a Deactivated server in service again."""
    say(asyncio.run(orders.activate(load(config), server)))


def deactivate(server: Server = "", yes: Yes = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Take a Secondary out of service; its calls in progress are ended. See also stop-taking-calls."""
    loaded = load(config)
    _confirmed(lambda sure: orders.deactivate(loaded, server, sure), yes)


def stop_taking_calls(
    server: Server = "",
    yes: Yes = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when no call is left.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Refuse new calls (503); calls in progress go on. Holds until take-calls, also after a restart."""
    loaded = load(config)
    _confirmed(lambda sure: orders.stop_taking_calls(loaded, server, sure), yes)
    if wait:
        asyncio.run(_until_empty(loaded, server))


def take_calls(server: Server = "", config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Take calls again after stop-taking-calls."""
    say(asyncio.run(orders.take_calls(load(config), server)))


def history(server: Server = "", config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Show the changes of a server's status, and what operators ordered."""
    entries = asyncio.run(orders.history(load(config), server))
    show(entries if as_json else [_change(entry) for entry in entries], as_json)


def status(config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Show both servers: status, since when and why, calls, replication, what does not run."""
    answer = asyncio.run(orders.status(load(config)))
    if as_json:
        return show([answer], as_json)
    show(table(answer["nodes"]), as_json)
    disks = (
        "wait for the other server's disk" if answer["synchronous"] else "do not wait for the other server"
    )
    say(f"\nDeposits {disks}.")
    if not any(_taking(node) == "yes" for node in answer["nodes"]):
        say("No server takes calls.")


def _confirmed(do: Callable[[bool], Coroutine[Any, Any, str]], yes: bool) -> None:
    """Do it; when it asks first, ask the person. Raises typer.Abort for a no."""
    try:
        said = asyncio.run(do(yes))
    except NotConfirmed as question:
        typer.confirm(str(question), abort=True, err=True)
        said = asyncio.run(do(True))
    say(said)


async def _until_empty(config: Config, server: str) -> None:
    told = None
    while left := await orders.calls_in_progress(config, server):
        if left != told:
            say(f"calls in progress: {left}")
        told = left
        await asyncio.sleep(LOOK)
    say("no call in progress" if left == 0 else "the server is silent")


def table(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`cluster status` for people: a line for each property, a column for each server."""
    columns = {node["name"] + (" (here)" if node["here"] else ""): _column(node) for node in nodes}
    names = next(iter(columns.values()))
    return [
        {"Server": name, **{head: column[name] for head, column in columns.items()}}
        for name in names
        if any(column[name] not in (None, "") for column in columns.values())
    ]


def _column(node: dict[str, Any]) -> dict[str, Any]:
    replication, programs = node.get("replication", {}), node.get("programs", {})
    return {
        "Member": "Publisher" if node.get("publisher", node["number"] == 1) else "Subscriber",
        "Status": node["status"],
        "Since": _time(node.get("since")),
        "Because": node.get("because"),
        "Taking calls": _taking(node),
        "Calls": f"{node['busy']} of {node['ports']} ports" if "ports" in node else None,
        "Workers": node.get("workers"),
        "Not running": ", ".join(name for name, up in programs.items() if not up),
        "To send to the other (bytes)": node.get("lag"),
        "Kept for the other (bytes)": _kept(replication),
        "Slot": _slot(replication),
        "Single copies": node.get("single_copies"),
        "Conflicts": replication.get("conflicts"),
        "Schema": node.get("schema"),
    }


def _kept(replication: dict[str, Any]) -> str | None:
    retained, room = replication.get("retained"), replication.get("room")
    return None if retained is None else f"{retained}" if room is None else f"{retained} of {retained + room}"


def _slot(replication: dict[str, Any]) -> str | None:
    """Whether the log is kept from which the other server, away for a while, gets what it missed."""
    if replication.get("lost"):
        return "lost: what it missed is copied"
    if "retained" not in replication:
        return None
    return "none" if replication["retained"] is None else "kept"


def _taking(node: dict[str, Any]) -> str | None:
    if "taking_calls" not in node:
        return None
    if node.get("empty"):
        return "no (it is being filled)"
    if not node["taking_calls"]:
        return "no (operator)"
    return "no" if node["status"] in ("Deactivated", "Not Functioning") else "yes"


def _change(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "At": _time(entry.get("at")),
        "Was": entry.get("was"),
        "Status": entry.get("now"),
        "Because": entry.get("because"),
        "Epoch": entry.get("epoch"),
    }


def _time(at: float | None) -> str | None:
    return f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M:%S}" if at else None
