"""`voicemail cluster compare`."""

import asyncio
from typing import Annotated

import typer

from voicemail import orders
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show
from voicemail.config import load

DIFFER = "They differ in: {}. While many calls come in, what is on its way counts: compare again."


def register(app: typer.Typer) -> None:
    """Add the command to `voicemail cluster`."""
    app.command()(compare)


def compare(
    audio: Annotated[
        bool, typer.Option("--audio", help="Compare the recordings themselves, not only their lengths.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Compare both servers' tables; exit status 1 when one differs. Calls go on."""
    answer = asyncio.run(orders.compare(load(config), audio))
    differ = [row["table"] for row in answer["tables"] if not row["equal"]]
    if as_json:
        show([answer], as_json)
    else:
        here, there = answer["here"], answer["there"]
        table = [
            {"Table": row["table"], here: row["here"], there: row["there"], "Equal": row["equal"]}
            for row in answer["tables"]
        ]
        show(table, as_json)
        say(f"\n{DIFFER.format(', '.join(differ))}" if differ else "\nBoth servers hold the same.")
    if differ:
        raise typer.Exit(1)
