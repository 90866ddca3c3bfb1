"""`voicemail config`: check a file, print the commented example."""

import sys
from typing import Annotated

import typer

from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, say
from voicemail.config import EXAMPLE, load
from voicemail.errors import VoicemailError
from voicemail.pins import hashed

SHORTEST = 8
"""Characters of a password with which mails can be sent."""

app = typer.Typer(no_args_is_help=True)


@app.command()
def check(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Check the file; a mistake is told with its line and key."""
    load(config)
    say(f"{config}: good")


@app.command("mail-password")
def mail_password(
    name: Annotated[str, typer.Argument(help="Who signs in: an extension, a mail address, a host.")],
) -> None:
    """Print a line for the users_file of [smtp]; the password is read from the terminal, or from stdin."""
    if not name or ":" in name or not name.isprintable() or name.startswith("#"):
        raise VoicemailError(f"name: {name!r} cannot be used (no colon, no # in front)")
    asked = typer.prompt("Password", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    password = asked.rstrip("\r\n")
    if len(password) < SHORTEST:
        raise VoicemailError(f"the password has less than {SHORTEST} characters")
    say(f"{name}:{hashed(password)}")


@app.command()
def example(out: Annotated[str, typer.Option(help="Write it here instead of printing it.")] = "") -> None:
    """Print a commented configuration with every key."""
    if out:
        with open(out, "x") as file:
            file.write(EXAMPLE)
    else:
        say(EXAMPLE.rstrip())
