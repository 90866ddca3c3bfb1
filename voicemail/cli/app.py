"""The command tree, and the options all commands share."""

import typer

from voicemail.cli import cluster, deploy, greeting, message, policy, quarantine, user
from voicemail.cli.config import app as config_app
from voicemail.cli.node import node

app = typer.Typer(
    no_args_is_help=True,
    help="Tandem: a SIP voice-messaging cluster of two servers.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cluster.app, name="cluster", help="The two servers: make, join, show.")
app.add_typer(user.app, name="user", help="People with a mailbox.")
app.add_typer(greeting.app, name="greeting", help="What mailboxes and call handlers say.")
app.add_typer(message.app, name="message", help="Messages in mailboxes.")
app.add_typer(quarantine.app, name="quarantine", help="Mails that came in and were not understood.")
app.add_typer(config_app, name="config", help="The configuration file of a node.")
app.add_typer(deploy.app, name="deploy", help="What stands in front of the servers: DNS, a balancer.")
policy.register(app)
app.command()(node)
