"""`voicemail cluster`: make a cluster, join it; what operators order is in operator.py."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from store.binaries import find_bindir, run_user
from voicemail.cli import compare, operator, repair
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show
from voicemail.cluster import join as joining
from voicemail.cluster.rules_page import rule_rows, service_rows
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
    replace: Annotated[bool, typer.Option("--replace", help="In place of a dead one.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Make this node the other one of the publisher's cluster; the publisher must be running."""
    loaded = load(config)
    try:
        text = secret_file.read_text()
    except OSError as error:
        raise VoicemailError(f"{secret_file}: {error.strerror}") from None
    _check_database(loaded)
    membership = asyncio.run(joining.join(loaded, publisher, port, text, replacing=replace))
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
def rules(as_json: Json = False) -> None:
    """Show by which rules a server takes its status, the first that holds, and what runs in which."""
    if as_json:
        return show([{"rules": rule_rows(), "services": service_rows()}], as_json)
    show(rule_rows(), as_json)
    say("")
    show(service_rows(), as_json)


operator.register(app)
compare.register(app)
repair.register(app)
