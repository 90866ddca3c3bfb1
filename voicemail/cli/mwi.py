"""`voicemail mwi`: message lamps, on either server; the Primary is asked."""

from datetime import datetime
from typing import Annotated, Any

import typer

from voicemail import control
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show
from voicemail.config import load
from voicemail.orders import PATIENCE

app = typer.Typer(no_args_is_help=True)
What = Annotated[
    str, typer.Argument(help="A trunk, a user's number, or phones (those that subscribe); all by default.")
]


@app.command()
def resync(what: What = "", config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Send lamps again, paced; what does not answer is tried at once."""
    say(control.ask(load(config), "mwi-resync", patience=PATIENCE, what=what)["said"])


@app.command()
def status(config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Show every destination of lamps, and the lamps that are not taken."""
    answer = control.ask(load(config), "mwi-status", patience=PATIENCE)
    if as_json:
        return show([answer], as_json)
    show([destination(each) for each in answer["destinations"]], as_json)
    if answer["lamps"]:
        say("\nLamps that are not taken:")
        show([_lamp(each) for each in answer["lamps"]], as_json)
    if (more := answer["not_taken"] - len(answer["lamps"])) > 0:
        say(f"and {more} more")


def destination(row: dict[str, Any]) -> dict[str, Any]:
    """A lane of the Primary as people see it."""
    return {
        "Destination": row["destination"],
        "State": row["state"],
        "Lamps": row["lamps"],
        "To send": row["to_send"],
        "Not taken": row["not_taken"],
        "Answered": local(row["answered"]),
        **_trouble(row),
    }


def _lamp(row: dict[str, Any]) -> dict[str, Any]:
    about = {"Destination": row["destination"], "Lamp": row["lamp"], "User": row["user"]}
    return {**about, **_trouble(row)}


def _trouble(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "Last answer": row["why"],
        "Since": local(row["since"]),
        "Tries": row["tries"],
        "Next try": local(row["next_try"]),
    }


def local(moment: str | None) -> str | None:
    """A time of an answer, as the clock on the wall shows it."""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}" if moment else None
