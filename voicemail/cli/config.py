"""`voicemail config`: check a file, print the commented example."""

from typing import Annotated

import typer

from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, say
from voicemail.config import EXAMPLE, load

app = typer.Typer(no_args_is_help=True)


@app.command()
def check(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Check the file; a mistake is told with its line and key."""
    load(config)
    say(f"{config}: good")


@app.command()
def example(out: Annotated[str, typer.Option(help="Write it here instead of printing it.")] = "") -> None:
    """Print a commented configuration with every key."""
    if out:
        with open(out, "x") as file:
            file.write(EXAMPLE)
    else:
        say(EXAMPLE.rstrip())
