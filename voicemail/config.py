"""One TOML file per node. Every key is checked; an unknown or wrong one is an error with its line.

`EXAMPLE` is the commented file: `voicemail config example` prints it, and a test holds it equal to
the defaults of the model.
"""

import re
import tomllib
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from voicemail.errors import ConfigError


def _network(text: str) -> str:
    """Checked here, so that a mistake is told with its line; kept as text, as it goes to the edge."""
    ip_network(text, strict=False)
    return text


def _address(text: str) -> str:
    """RTP and the edge are bound to it, so a host name will not do."""
    ip_address(text)
    return text


def _place(text: str) -> str:
    """An address and a port, as it goes to the edge."""
    host, _, port = text.rpartition(":")
    ip_address(host.removeprefix("[").removesuffix("]"))
    if not port.isdecimal() or not 0 < int(port) <= 65535:
        raise ValueError(f"not a port: {port!r}")
    return text


PlaceText = Annotated[str, AfterValidator(_place)]
NetworkText = Annotated[str, AfterValidator(_network)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Node(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")
    address: Annotated[str, AfterValidator(_address)]
    directory: str
    user: str = "voicemail"


class Cluster(Section):
    port: Port = 5065
    change_status_automatically: bool = True


class Sip(Section):
    port: Port = 5060
    pilot: str = Field("5000", pattern=r"^[0-9+*#A-Za-z._-]+$")
    domain: str = ""
    workers: int = Field(16, ge=1, le=28)
    calls_per_worker: int = Field(4, ge=1)
    worker_port: Port = 6000
    rtp_port: Port = 20000
    allowed_networks: tuple[NetworkText, ...] = Field((), strict=False)
    balancers: tuple[PlaceText, ...] = Field((), strict=False)
    """In front of both edges; believed when they say where a request came from."""
    presence_port: Port = 5061
    """Of the presence server behind the edge; loopback only."""
    calls_per_second_per_worker: int = Field(12, ge=1, le=16)
    requests_per_second_per_source: int = Field(200, ge=1)


class Trunk(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    addresses: tuple[NetworkText, ...] = Field(strict=False, min_length=1)
    lamp_uri: str = ""
    lamp_headers: dict[str, str] = {}
    lamp_body_account: str = ""
    keep_rtp: bool = False
    redirecting: Literal["first", "last"] = "first"
    """Which of several forwardings names the mailbox: that of the party called originally, or the last."""
    trust_identity: bool = False
    """Its P-Asserted-Identity is believed: a call from a user's extension is that user's."""


class Store(Section):
    port: Port = 5432
    bindir: str = ""
    dsn: str = ""
    wait_for_peer: float = Field(1.0, gt=0, le=10, strict=False)
    keep_for_peer_megabytes: int = Field(20_000, ge=100)


class Mail(Section):
    host: str = ""
    port: Port = 25
    tls: bool | Literal["none", "opportunistic", "encrypt", "verify"] = False
    user: str = ""
    password_file: str = ""
    sender: str = "voicemail@localhost"
    message_id_domain: str = "voicemail.invalid"
    timeout: float = Field(20.0, gt=0, strict=False)


def _domain(text: str) -> str:
    """A domain as it stands in mail addresses, in lower case."""
    lower = text.lower()
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", lower) or ".." in lower:
        raise ValueError(f"not a domain: {text!r}")
    return lower


def _address_or_none(text: str) -> str:
    return _address(text) if text else text


class Smtp(Section):
    """Mails that come in (voicemail/access/smtp.py)."""

    port: int = Field(0, ge=0, le=65535)
    address: Annotated[str, AfterValidator(_address_or_none)] = ""
    domains: tuple[Annotated[str, AfterValidator(_domain)], ...] = Field((), strict=False)
    allowed_networks: tuple[NetworkText, ...] = Field((), strict=False)
    users_file: str = ""
    require_tls: bool = False
    certificate: str = ""
    key: str = ""
    largest_megabytes: int = Field(35, ge=1, le=200)
    connections: int = Field(100, ge=1, le=1000)
    connections_per_source: int = Field(20, ge=1)
    mails_per_minute_per_source: int = Field(120, ge=1)
    mails_per_hour_per_mailbox: int = Field(60, ge=1)
    timeout: float = Field(60.0, gt=0, strict=False)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.port and not self.domains:
            raise ValueError("domains: at least one is needed to take mails")
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key go together")
        return self


class Alarm(Section):
    mail_to: str = ""


class Metrics(Section):
    address: Annotated[str, AfterValidator(_address)] = "127.0.0.1"
    port: int = Field(9565, ge=0, le=65535)


class Recording(Section):
    longest: float = Field(300.0, gt=1, strict=False)
    shortest: float = Field(1.0, ge=0, strict=False)
    silence: float = Field(10.0, ge=0, strict=False)
    least_free_megabytes: int = Field(200, ge=1)


class Pin(Section):
    failures: int = Field(3, ge=1)
    window_minutes: int = Field(30, ge=1)
    lock_minutes: int = Field(30, ge=1)
    shortest: int = Field(6, ge=3)


class Config(Section):
    node: Node
    cluster: Cluster = Cluster()
    sip: Sip = Sip()
    trunk: tuple[Trunk, ...] = Field((), strict=False)
    store: Store = Store()
    mail: Mail = Mail()
    smtp: Smtp = Smtp()
    alarm: Alarm = Alarm()
    metrics: Metrics = Metrics()
    recording: Recording = Recording()
    pin: Pin = Pin()

    @property
    def directory(self) -> Path:
        return Path(self.node.directory)

    @property
    def run_directory(self) -> Path:
        return self.directory / "run"


EXAMPLE = """\
# Tandem: the configuration of one node. Every key may be left out but those of [node].

[node]
name = "vm1"                      # shown in status and logs
address = "192.0.2.11"            # where phones, trunks and the peer reach this node
directory = "/var/lib/voicemail"  # database, spool, certificates, secrets
user = "voicemail"                # whom PostgreSQL runs as, when the node is started by root

[cluster]
port = 5065                       # TCP (TLS): keep-alives, joining; UDP: keep-alives
change_status_automatically = true

[sip]
port = 5060                       # UDP and TCP
pilot = "5000"                    # the number that users dial and PBXs forward to
domain = ""                       # in URIs we make; "" is the address
workers = 16                      # processes that take calls, at most 28
calls_per_worker = 4              # the pjsua2 wheel takes no more than 4
worker_port = 6000                # loopback only; one port a worker, counted upward
rtp_port = 20000                  # 40 UDP ports a worker, counted upward
presence_port = 5061              # loopback only; keeps phones' subscriptions to their lamps
allowed_networks = []             # who may call besides the trunks, e.g. ["192.168.0.0/16"]
balancers = []                    # in front of the edges, e.g. ["192.0.2.20:5060"]; they are believed
                                  # when they say where a call came from
calls_per_second_per_worker = 12
requests_per_second_per_source = 200

# One block for each PBX. Its addresses may call, and its lamps can be lit.
# [[trunk]]
# name = "pbx"
# addresses = ["192.0.2.5"]
# lamp_uri = "sip:mwi-{extension}@192.0.2.5"    # request URI of the NOTIFY; "" for no lamps
# lamp_headers = { "X-VM-Mailbox" = "{extension}" }
# lamp_body_account = "sip:{extension}@192.0.2.5"   # Message-Account line; "" for none
# keep_rtp = false                # true for a PBX that hangs up on calls without RTP
# redirecting = "first"           # forwarded twice: the mailbox of the party called "first" or "last"
# trust_identity = false          # true: its P-Asserted-Identity proves which user calls

[store]
port = 5432                       # of this node's own PostgreSQL
bindir = ""                       # "" finds a system server >= 16, else the wheel's
dsn = ""                          # one external PostgreSQL instead, e.g. "postgresql://vm@db/vm"; both
                                  # nodes share it, and phones cannot SUBSCRIBE to their lamps then
wait_for_peer = 1.0               # seconds a deposit waits for the peer's disk
keep_for_peer_megabytes = 20000   # of log for a peer that is away; one that missed more copies what it
                                  # lacks when it is back

[mail]
host = ""                         # smart host for notifications; "" sends none
port = 25
tls = false                       # STARTTLS with a certificate that is verified: true, the same as "verify";
                                  # "encrypt" takes any, "opportunistic" needs none; false is "none"
user = ""
password_file = ""
sender = "voicemail@localhost"
message_id_domain = "voicemail.invalid"
timeout = 20.0                    # seconds

[smtp]
port = 0                          # where mails are taken; 0 takes none
address = ""                      # "" is the node's
domains = []                      # ours: 1001@vm.example.com is mailbox 1001, e.g. ["vm.example.com"]
allowed_networks = []             # who may send besides those of locations, e.g. ["192.0.2.25"]; they are
                                  # believed when they say from which user a mail is
users_file = ""                   # who may send after AUTH: lines as `voicemail config mail-password` writes
require_tls = false               # STARTTLS before anything else
certificate = ""                  # PEM files, own certificate first; "" is the node's of the cluster
key = ""
largest_megabytes = 35
connections = 100                 # at once
connections_per_source = 20
mails_per_minute_per_source = 120
mails_per_hour_per_mailbox = 60   # to each mailbox
timeout = 60.0                    # seconds without a line

[alarm]
mail_to = ""                      # the administrator's mail address; "" sends none

[metrics]
address = "127.0.0.1"             # Prometheus reads http://address:port/metrics
port = 9565                       # 0 for none

[recording]
longest = 300.0                   # seconds
shortest = 1.0
silence = 10.0                    # ends a recording; 0 never does
least_free_megabytes = 200        # with less, callers are told before the tone

[pin]
failures = 3                      # wrong PINs within the window, over both nodes ...
window_minutes = 30
lock_minutes = 30                 # ... lock sign-in for so long
shortest = 6
"""


def parse(text: str, name: str = "configuration") -> Config:
    """Read a configuration. Raises ConfigError with `name`, the line and the key."""
    try:
        return Config.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from None
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(text, name, dict(e)) for e in error.errors())) from None


def load(path: Path) -> Config:
    """Read a node's file. Raises ConfigError, also when the file cannot be read."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return parse(text, str(path))


def _explain(text: str, name: str, error: dict[str, Any]) -> str:
    where = tuple(error["loc"])
    dotted = ".".join(str(part) for part in where)
    said = {"extra_forbidden": "there is no such key", "missing": "it is missing"}.get(
        error["type"], error["msg"]
    )
    return f"{name}, line {line_of(text, where)}: {dotted}: {said}"


def line_of(text: str, where: tuple[str | int, ...]) -> int:
    """Line (from 1) of a key in TOML text: its own where it is written, else its section's, else 1.

    tomllib keeps no positions; our files use plain `[section]` and `[[section]]` headers only."""
    section, index, header, seen = str(where[0]), 0, 1, -1
    if len(where) > 1 and isinstance(where[1], int):
        index = where[1]
    key = next((str(part) for part in where[1:] if isinstance(part, str)), "")
    inside = False
    own = re.compile(rf"\s*[\"']?{re.escape(key or section)}[\"']?\s*[=.]")
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[+\s*([^\]\s]+)\s*\]+", line):
            inside = found[1] == section
            seen += inside
            header = number if inside and seen == index else header
        elif (not key or (inside and seen == index)) and own.match(line):
            return number
    return header
