"""One TOML file per node. Every key is checked; an unknown or wrong one is an error with its line.

The commented example (config_example.py) is held equal to the defaults of the model by a test.
"""

import re
import tomllib
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from voicemail.config_example import EXAMPLE as EXAMPLE
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


OF_THE_STACK = re.compile(
    "via|from|to|call-id|cseq|max-forwards|(record-)?route|content-(type|length)", re.IGNORECASE
)
"""Headers of a NOTIFY that a trunk's configuration cannot set."""


def _template(text: str) -> str:
    """Text in which {extension} stands for the lamp's number. Raises ValueError."""
    rest = text.replace("{extension}", "")
    if "{" in rest or "}" in rest:
        raise ValueError("the only word in braces is {extension}")
    if not rest.isprintable():
        raise ValueError("contains control characters")
    return text


def _uri_template(text: str) -> str:
    """A SIP URI, or "". Raises ValueError."""
    if text and not re.fullmatch(r"sips?:[^\s<>\"]+", text):
        raise ValueError('is no SIP URI such as "sip:{extension}@192.0.2.5"')
    return _template(text)


def _headers(headers: dict[str, str]) -> dict[str, str]:
    """Raises ValueError."""
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9.!%*_+`'~-]+", name):
            raise ValueError(f"{name!r} is no name of a header")
        if OF_THE_STACK.fullmatch(name):
            raise ValueError(f"{name} cannot be set")
        _template(value)
    return headers


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
    hears_tones: bool = True
    """Keys as tones in the audio, of telephones that agreed on no telephone events: see docs/callers.md."""
    requests_per_second_per_source: int = Field(200, ge=1)


class Trunk(Section):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    addresses: tuple[NetworkText, ...] = Field(strict=False, min_length=1)
    lamp_uri: Annotated[str, AfterValidator(_uri_template)] = ""
    lamp_headers: Annotated[dict[str, str], AfterValidator(_headers)] = {}
    lamp_body: Literal["full", "counts", "full-lf", "counts-lf"] = "full"
    """As in sip.mwi.BODIES."""
    lamp_body_account: Annotated[str, AfterValidator(_template)] = ""
    keep_rtp: bool = False
    redirecting: Literal["first", "last"] = "first"
    """Which of several forwardings names the mailbox: that of the party called originally, or the last."""
    forwarded_by: tuple[Literal["target", "history-info", "diversion"], ...] = Field(
        ("target", "history-info", "diversion"), strict=False
    )
    """Where it is read that a call was forwarded: the first that says anything decides."""
    trust_identity: bool = False
    """Its P-Asserted-Identity is believed: a call from a user's extension is that user's."""

    @model_validator(mode="after")
    def _tells_lamps_apart(self) -> Self:
        templates = (self.lamp_uri, *self.lamp_headers.values())
        if self.lamp_uri and not any("{extension}" in each for each in templates):
            raise ValueError("{extension} is missing in lamp_uri and lamp_headers: all lamps would be one")
        return self


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


def _link(text: str) -> str:
    """It stands in mails, so it must be nothing else."""
    if text and not re.fullmatch(r"https?://[!-~]{1,500}", text):
        raise ValueError("not an http(s) address")
    return text


def _calls(text: str) -> str:
    """A URI with a place for the number."""
    if text and not re.fullmatch(r"sips?:\{number\}@[A-Za-z0-9.:\[\]-]+(;[a-z]+=[A-Za-z0-9.-]+)*", text):
        raise ValueError("not a URI such as sip:{number}@192.0.2.5")
    return text


class Notify(Section):
    """How users are told of messages."""

    link: Annotated[str, AfterValidator(_link)] = ""
    templates: str = ""
    call_uri: Annotated[str, AfterValidator(_calls)] = ""
    calls_per_hour: int = Field(10, ge=0)


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
    per_source: int = Field(20, ge=1)
    per_trunk: int = Field(200, ge=1)
    shortest: int = Field(6, ge=3)
    """No longer read, and still taken so that older files are good: `voicemail pin-rules` says it."""


class Config(Section):
    node: Node
    cluster: Cluster = Cluster()
    sip: Sip = Sip()
    trunk: tuple[Trunk, ...] = Field((), strict=False)
    store: Store = Store()
    mail: Mail = Mail()
    smtp: Smtp = Smtp()
    notify: Notify = Notify()
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
