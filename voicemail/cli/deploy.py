"""`voicemail deploy`: what stands in front of the cluster, made from its members."""

import time
from pathlib import Path
from typing import Annotated

import typer

from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, say
from voicemail.config import load
from voicemail.deploy import balancer, dns
from voicemail.errors import VoicemailError
from voicemail.secrets import NodeFiles

app = typer.Typer(no_args_is_help=True)

Weights = Annotated[
    str, typer.Option(help="Shares of the calls, publisher first, e.g. 70,30.", show_default="equal")
]


@app.command(name="dns")
def zone(
    form: Annotated[dns.Format, typer.Option("--format", help="For which name server.")] = dns.Format.BIND,
    domain: Annotated[str, typer.Option(help="Callers dial sip:…@DOMAIN; sip.domain if not given.")] = "",
    weights: Weights = "",
    ttl: Annotated[int, typer.Option(help="Seconds for which answers may be kept.")] = 5,
    name_server: Annotated[
        list[str] | None, typer.Option(help="Make a whole zone with this NS record; may be repeated.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Print the DNS records by which callers find both servers: NAPTR, SRV with weights, A or AAAA."""
    loaded = load(config)
    if not (chosen := domain or loaded.sip.domain):
        raise VoicemailError("give --domain, or sip.domain in the configuration")
    members = NodeFiles(loaded).membership().members
    found = dns.records(members, chosen, _weights(weights), ttl)
    say(dns.render(found, form, int(time.time()), name_server or ()).rstrip())


@app.command()
def kamailio_balancer(
    listen: Annotated[str, typer.Option(help="Address and port at which the balancer answers.")],
    out: Annotated[Path, typer.Option(help="Directory for the files; older ones are replaced.")],
    weights: Weights = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Write kamailio.cfg and dispatcher.list of a SIP balancer in front of both servers."""
    members = NodeFiles(load(config)).membership().members
    made = balancer.balancer(listen, members, _weights(weights))
    directory = out.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in balancer.render(made, directory).items():
        fresh = directory / f".{name}.new"
        fresh.write_text(text)
        fresh.replace(directory / name)
    say(f"Written to {directory}: kamailio.cfg, dispatcher.list.")
    say(f'Both servers must believe it: put "{made.listen}" into sip.balancers, and start them again.')


def _weights(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise VoicemailError(f"not weights like 70,30: {text!r}") from None
