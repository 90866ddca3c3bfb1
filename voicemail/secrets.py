"""What a node keeps to itself: passwords, the cluster's secret, and who belongs to the cluster.

Files below the node's directory, each of mode 0600 and replaced as a whole: `secrets.json`,
`cluster.json` (the members), `epoch.json`, `orders.json` (an operator's) and `history.json`.
"""

import json
import os
import secrets as random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from voicemail.config import Config
from voicemail.errors import ClusterError

T = TypeVar("T")


def write_private(path: Path, content: bytes) -> None:
    """Replace a file of mode 0600 so that a crash leaves the old one or the new one, on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Passwords of the database roles (alike on both nodes) and the secret that lets a node join."""

    postgres: str = field(repr=False)
    vm: str = field(repr=False)
    vmrepl: str = field(repr=False)
    edge: str = field(repr=False)
    cluster: str = field(repr=False)

    @classmethod
    def make(cls) -> "Secrets":
        return cls(*(random.token_urlsafe(24) for _ in range(5)))


@dataclass(frozen=True, slots=True)
class Member:
    """A node as the others know it. Number 1 or 2, for as long as its database lives."""

    number: int
    name: str
    address: str
    cluster_port: int
    store_port: int
    sip_port: int

    @property
    def edge(self) -> str:
        return f"{self.address}:{self.sip_port}"


@dataclass(frozen=True, slots=True)
class Membership:
    """This node's number and all members, itself included."""

    number: int
    members: tuple[Member, ...]
    publisher_number: int = 1
    """Who wins ties and admits others: whoever made the cluster, or was left when the other was replaced."""

    @property
    def me(self) -> Member:
        return next(m for m in self.members if m.number == self.number)

    @property
    def peer(self) -> Member | None:
        return next((m for m in self.members if m.number != self.number), None)

    @property
    def publisher(self) -> bool:
        return self.number == self.publisher_number

    def with_member(self, member: Member) -> "Membership":
        """The same with `member` in place of whoever had its number."""
        others = tuple(m for m in self.members if m.number != member.number)
        members = tuple(sorted((*others, member), key=lambda m: m.number))
        return Membership(self.number, members, self.publisher_number)

    def without_peer(self) -> "Membership":
        """The same after the other node was given up: this one is the publisher."""
        return Membership(self.number, (self.me,), self.number)


@dataclass(frozen=True, slots=True)
class Orders:
    """What an operator ordered of this node until further notice; a restart changes nothing about it."""

    deactivated: bool = False
    taking_calls: bool = True


def member_of(config: Config, number: int) -> Member:
    """How the node of this configuration presents itself."""
    return Member(
        number, config.node.name, config.node.address, config.cluster.port, config.store.port, config.sip.port
    )


class NodeFiles:
    """The private files of the node whose configuration this is. Raises ClusterError when the node
    was not made by `cluster init` or `cluster join`."""

    def __init__(self, config: Config) -> None:
        self.directory = config.directory
        self.tls = self.directory / "tls"
        self.ca, self.ca_key = self.tls / "ca.pem", self.tls / "ca.key"
        self.certificate, self.key = self.tls / "node.pem", self.tls / "node.key"
        self.replaced_peers = self.tls / "replaced-peers.json"
        self.replaced = self.directory / "replaced"
        """Exists once this node knows that another took its place: it never starts again."""
        self.empty = self.directory / "empty"
        """Exists until this node has what its cluster had when it joined: it takes no calls before."""

    @property
    def exists(self) -> bool:
        return (self.directory / "cluster.json").exists()

    def secrets(self) -> Secrets:
        return self._read("secrets.json", lambda read: Secrets(**read))

    def membership(self) -> Membership:
        return self._read(
            "cluster.json",
            lambda read: Membership(
                read["number"], tuple(Member(**m) for m in read["members"]), read.get("publisher_number", 1)
            ),
        )

    def epoch(self) -> int:
        if not (self.directory / "epoch.json").exists():
            return 0
        return self._read("epoch.json", lambda read: int(read["epoch"]))

    def orders(self) -> Orders:
        if not (self.directory / "orders.json").exists():
            return Orders()
        known = Orders.__dataclass_fields__
        return self._read(
            "orders.json", lambda read: Orders(**{key: bool(read[key]) for key in known if key in read})
        )

    def history(self) -> list[dict[str, Any]]:
        """Changes of this node's status, oldest first. Only for people to read, so what cannot be read
        is no error: []."""
        try:
            kept = json.loads((self.directory / "history.json").read_text())
        except (OSError, ValueError, RecursionError):
            return []
        return [entry for entry in kept if isinstance(entry, dict)] if isinstance(kept, list) else []

    def write_secrets(self, secrets: Secrets) -> None:
        self._write("secrets.json", asdict(secrets))

    def write_membership(self, membership: Membership) -> None:
        self._write("cluster.json", asdict(membership))

    def write_epoch(self, epoch: int) -> None:
        self._write("epoch.json", {"epoch": epoch})

    def write_orders(self, orders: Orders) -> None:
        self._write("orders.json", asdict(orders))

    def write_history(self, history: list[dict[str, Any]]) -> None:
        self._write("history.json", history)

    def _write(self, name: str, content: object) -> None:
        write_private(self.directory / name, json.dumps(content, indent=1).encode())

    def _read(self, name: str, made: Callable[[Any], T]) -> T:
        path = self.directory / name
        try:
            return made(json.loads(path.read_text()))
        except FileNotFoundError:
            raise ClusterError(
                f"{path} is missing: make this node with `voicemail cluster init` or `cluster join`"
            ) from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ClusterError(f"{path}: {error}") from None


def app_conninfo(config: Config) -> str:
    """How this node's processes reach the store: the external one, or the node's own by its socket
    (no TLS and no TCP on the way of every call)."""
    if config.store.dsn:
        return config.store.dsn
    password = NodeFiles(config).secrets().vm
    folder = socket_folder(config)
    return f"host={folder} port={config.store.port} dbname=vm user=vm password={password} connect_timeout=3"


def socket_folder(config: Config) -> Path:
    """Where this node's PostgreSQL has its Unix socket."""
    return (config.directory / "sockets").absolute()
