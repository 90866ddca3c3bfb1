"""`voicemail cluster`: make a cluster, join it, show it."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from store.binaries import find_bindir, run_user
from voicemail import control
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show
from voicemail.cluster import join as joining
from voicemail.cluster.roles import RULES
from voicemail.config import Config, load
from voicemail.errors import VoicemailError
from voicemail.programs import create_database, database
from voicemail.secrets import NodeFiles

app = typer.Typer(no_args_is_help=True)


@app.command()
def init(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Make this node the publisher of a new cluster, and print the secret that lets the other join."""
    loaded = load(config)
    _check_database(loaded)
    secret = joining.initialise(loaded)
    _create_database(loaded)
    say(f"{loaded.node.name} is the publisher of a new cluster.")
    say("Start it with `voicemail node`; then, on the other server, write this line to a file of mode 0600")
    say("and run `voicemail cluster join --publisher ADDRESS --secret-file FILE`:")
    say(secret)


@app.command()
def secret(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Print the secret that lets a node join."""
    say(joining.joining_secret(NodeFiles(load(config))))


@app.command()
def join(
    publisher: Annotated[str, typer.Option(help="Address of the publisher.")],
    secret_file: Annotated[Path, typer.Option(help="File with the secret of `cluster init`.")],
    port: Annotated[int, typer.Option(help="Cluster port of the publisher.")] = 5065,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Make this node the second of the publisher's cluster; the publisher must be running."""
    loaded = load(config)
    try:
        text = secret_file.read_text()
    except OSError as error:
        raise VoicemailError(f"{secret_file}: {error.strerror}") from None
    _check_database(loaded)
    membership = asyncio.run(joining.join(loaded, publisher, port, text))
    _create_database(loaded)
    peer = membership.peer
    say(
        f"{loaded.node.name} joined the cluster of {peer.name if peer else publisher}."
        " Start it: `voicemail node`."
    )


def _check_database(config: Config) -> None:
    """That PostgreSQL can be run here, before anything is made. Raises ServerFailed."""
    if not config.store.dsn:
        run_user(config.node.user)
        find_bindir(config.store.bindir or None)


def _create_database(config: Config) -> None:
    if not config.store.dsn:
        create_database(config, database(config, NodeFiles(config)))


@app.command()
def status(config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Show both servers: status, since when and why, replication, calls."""
    answer = control.ask(load(config), "status")
    show([answer] if as_json else [_row(node) for node in answer["nodes"]], as_json)
    if not as_json:
        waits = (
            "wait for the other node's disk" if answer["synchronous"] else "do not wait for the other node"
        )
        say(f"\nDeposits {waits}.")
        for down in (name for name, up in answer["programs"].items() if not up):
            say(f"Not running here: {down}.")


def _row(node: dict[str, Any]) -> dict[str, Any]:
    since = node.get("since")
    return {
        "Server": node["name"] + (" (here)" if node["here"] else ""),
        "Member": "Publisher" if node["number"] == 1 else "Subscriber",
        "Status": node["status"],
        "Since": f"{datetime.fromtimestamp(since):%Y-%m-%d %H:%M:%S}" if since else None,
        "Because": node.get("because"),
        "Lag (bytes)": node.get("lag"),
        "Single copies": node.get("single_copies"),
        "Workers": node.get("workers"),
        "Calls": f"{node['busy']}/{node['ports']}" if "ports" in node else None,
    }


@app.command()
def history(config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Show the changes of this server's status since it was started."""
    show(control.ask(load(config), "history")["history"], as_json)


@app.command()
def rules(as_json: Json = False) -> None:
    """Show by which rules a server takes its status; the first that holds decides."""
    show([{"Becomes": rule.become.value, "Because": rule.because} for rule in RULES], as_json)
