"""The command tree. Only what a command needs is loaded: all of it would take longer than most commands."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module

import typer

COMMANDS: Mapping[str, str] = {
    "cluster": "The two servers: make, join, show.",
    "user": "People with a mailbox.",
    "greeting": "What mailboxes and call handlers say.",
    "device": "Where users are told of messages.",
    "message": "Messages in mailboxes.",
    "mwi": "Message lamps of PBXs and phones.",
    "outbox": "What is left to be done outside: lamps, mails.",
    "quarantine": "Mails that came in and were not understood.",
    "config": "The configuration file of a node.",
    "deploy": "What stands in front of the servers: DNS, a balancer.",
}
"""Each is the `app` of the module of its name; besides them there are `node`, and one for each policy."""
NODE, POLICIES = "node", "policies"


def main_of(words: Sequence[str]) -> Callable[[], object]:
    """What runs a command line: of the command that it names, if it names one at first, else of all."""
    first = next((word for word in words if not word.startswith("-")), "")
    if first in COMMANDS or first == NODE:
        return _main(first)
    nouns = import_module("voicemail.policy.references").NOUNS.values()
    return _main(POLICIES if first in nouns else "")


@cache
def _main(only: str) -> Callable[[], object]:
    """Made once for a process."""
    return typer.main.get_command(tree(only))


def tree(only: str = "") -> typer.Typer:
    """With one command, or those of POLICIES; "" for all there are."""
    app = typer.Typer(
        no_args_is_help=True,
        help="Tandem: a SIP voice-messaging cluster of two servers.",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_nothing)  # a tree of one command is a tree
    for name, text in COMMANDS.items():
        if only in ("", name):
            app.add_typer(import_module(f"voicemail.cli.{name}").app, name=name, help=text)
    if only in ("", POLICIES):
        import_module("voicemail.cli.policy").register(app)
    if only in ("", NODE):
        app.command()(import_module("voicemail.cli.node").node)
    return app


def _nothing() -> None:
    pass
