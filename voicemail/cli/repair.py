"""`voicemail cluster`: when a server is dead, when its tables are wrong, and what a split left to settle."""

import asyncio
from datetime import datetime
from typing import Any

import typer

from voicemail import orders
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show
from voicemail.cli.operator import Yes
from voicemail.config import Config, load
from voicemail.errors import VoicemailError
from voicemail.orders import NotConfirmed


def register(app: typer.Typer) -> None:
    """Add the commands to `voicemail cluster`."""
    for command in (replace_node, overwrite_from_peer, conflicts):
        app.command()(command)


def replace_node(yes: Yes = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Give the other server up, which is dead, and print the secret with which a new one joins."""
    loaded = load(config)
    try:
        done = asyncio.run(orders.replace_node(loaded, yes))
    except NotConfirmed as question:
        typer.confirm(str(question), abort=True, err=True)
        done = asyncio.run(orders.replace_node(loaded, True))
    say(f"{done['said']}.")
    say("On the new, empty server write the last line to a file of mode 0600 and run")
    say(
        f"`voicemail cluster join --replace --publisher {done['address']} --port {done['port']}"
        " --secret-file FILE`:"
    )
    say(done["secret"])


def overwrite_from_peer(yes: Yes = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Make this server's messages and settings equal the other's; what only this one has goes to a file."""
    loaded = load(config)
    try:
        said = asyncio.run(orders.overwrite_from_peer(loaded, yes))
    except NotConfirmed as question:
        typer.confirm(str(question), abort=True, err=True)
        said = asyncio.run(orders.overwrite_from_peer(loaded, True))
    say(said)


def conflicts(config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """List what both servers changed during a split: extensions with two users, and settings that lost."""
    shared, overruled, silent = asyncio.run(_asked(load(config)))
    if as_json:
        return show([{"shared": shared, "overruled": overruled, "not_asked": silent}], as_json)
    show([_shared(one) for one in shared], as_json)
    if shared:
        say("\nCallers do not reach these users: give each another extension, or remove it.\n")
    show([_overruled(one) for one in overruled], as_json)
    if not shared and not overruled:
        say("No conflicts.")
    for name in silent:
        say(f"{name} does not answer; it may know of more.")


async def _asked(config: Config) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """Of both servers: shared extensions (each once), overruled settings with "server", who was silent."""
    names = [node["name"] for node in (await orders.status(config))["nodes"]]
    shared: dict[str, dict[str, Any]] = {}
    overruled: list[dict[str, Any]] = []
    silent = []
    for name in names:
        try:
            found = await orders.conflicts(config, name)
        except VoicemailError:
            silent.append(name)
            continue
        shared |= {one["id"]: one for one in found["shared"]}
        overruled += [one | {"server": name} for one in found["overruled"]]
    return list(shared.values()), sorted(overruled, key=lambda one: float(one["at"])), silent


def _shared(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "Extension": one["extension"],
        "User without it": one["name"],
        "ID": one["id"],
        "Belongs to": one["owner_name"],
    }


def _overruled(one: dict[str, Any]) -> dict[str, Any]:
    lost = one["lost"]
    return {
        "At": f"{datetime.fromtimestamp(one['at']):%Y-%m-%d %H:%M:%S}",
        "On": one["server"],
        "What": one["table"],
        "Of": lost.get("extension") or lost.get("user_id") or lost.get("id"),
        "Lost": ", ".join(
            f"{key}={value}" for key, value in lost.items() if key in ("name", "mail", "deleted")
        ),
        "Written by": f"server {lost['node']}" if "node" in lost else None,
    }
