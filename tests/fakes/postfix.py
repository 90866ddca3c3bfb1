"""A real Postfix of the tests' own: smart host, peer, and the way to users' mailboxes. Only root can run it.

with running_postfix({"example.com": ["ann"]}) as postfix: ...   # keeps her mail in a maildir
with running_postfix({"vm.example.com": port}) as postfix: ...   # hands on to whoever listens there

It has configuration, queue and port of its own. `Pace` makes it slow.
"""

import asyncio
import os
import re
import shutil
import signal
import smtplib
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.fakes.postgres import free_port

MASTER = "/usr/lib/postfix/sbin/master"
OWNER, GROUP = 65534, 65534
"""Of the maildirs: nobody, who has nothing else."""
START = 15.0
"""Seconds until it answers, at most."""

SETTINGS = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/maillog
enable_long_queue_ids = yes
maillog_file_prefixes = {folder}
myhostname = {name}
mydestination =
alias_maps =
alias_database =
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtp_dns_support_level = disabled
smtpd_banner = $myhostname ESMTP
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_client_connection_count_limit = 0
relay_domains = {relayed}
transport_maps = texthash:{folder}/etc/transports
virtual_mailbox_domains = {kept}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{folder}/etc/mailboxes
virtual_uid_maps = static:{owner}
virtual_gid_maps = static:{group}
message_size_limit = 50000000
minimal_backoff_time = 2s
maximal_backoff_time = 5s
queue_run_delay = 2s
smtp_destination_concurrency_limit = 5
{more}
"""

SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


Ways = Mapping[str, int | Collection[str]]


class Postfix:
    """Keeps or hands on mails by domain (`ways`: a port on loopback, or the users who have a maildir here).
    Runs between `start` and `stop`, any number of times, on the same port. `more`: lines of main.cf,
    `services`: of master.cf."""

    def __init__(
        self, folder: Path, ways: Ways, name: str, more: str = "", port: int = 0, services: str = ""
    ) -> None:
        self.folder, self.name, self.port = folder, name, port or free_port()
        self._process: subprocess.Popen[bytes] | None = None
        for part in ("etc", "queue", "data", "mail"):
            (folder / part).mkdir(exist_ok=True)
        shutil.chown(folder / "data", "postfix")
        os.chown(folder / "mail", OWNER, GROUP)
        (folder / "etc/master.cf").write_text(SERVICES.format(port=self.port) + services)
        self._write_tables(ways)
        (folder / "etc/main.cf").write_text(self._settings(ways, more))

    def _write_tables(self, ways: Ways) -> None:
        transports, mailboxes = list[str](), list[str]()
        for domain, way in ways.items():
            if isinstance(way, int):
                transports.append(f"{domain} smtp:[127.0.0.1]:{way}\n")
            else:
                mailboxes += [f"{user}@{domain} {user}/\n" for user in way]
        (self.folder / "etc/transports").write_text("".join(transports))
        (self.folder / "etc/mailboxes").write_text("".join(mailboxes))

    def _settings(self, ways: Ways, more: str) -> str:
        relayed = {domain for domain, way in ways.items() if isinstance(way, int)}
        return SETTINGS.format(
            folder=self.folder,
            name=self.name,
            relayed=" ".join(relayed),
            kept=" ".join(ways.keys() - relayed),
            owner=OWNER,
            group=GROUP,
            more=more,
        )

    @property
    def mail(self) -> Path:
        """A Maildir per user."""
        return self.folder / "mail"

    def start(self) -> None:
        """Until it greets. Raises RuntimeError with its log."""
        check = ["postfix", "-c", str(self.folder / "etc"), "check"]
        subprocess.run(check, check=True, capture_output=True, timeout=START)  # makes the queue's folders
        self._process = subprocess.Popen(
            [MASTER, "-c", str(self.folder / "etc"), "-s"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        ends = time.monotonic() + START
        while time.monotonic() < ends and self._process.poll() is None:
            with suppress(OSError, smtplib.SMTPException), smtplib.SMTP("127.0.0.1", self.port, timeout=1):
                return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"Postfix does not answer on port {self.port}:\n{self.log()[-3000:]}")

    def stop(self) -> None:
        """The master ends its own process group; what is queued stays."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        self._process = None

    def log(self) -> str:
        with suppress(OSError):
            return (self.folder / "maillog").read_text()
        return ""

    def accepted(self) -> list[str]:
        """The Message-IDs that it took, in order, with repeats; not of mails that broke off."""
        log = self.log()
        named = dict(re.findall(r"cleanup\[\d+\]: (\w+): message-id=(<[^>\s]*>)", log))
        queued = re.findall(r"qmgr\[\d+\]: (\w+): from=.*queue active", log)
        return [named[each] for each in dict.fromkeys(queued) if each in named]


class Pace:
    """A policy service: Postfix asks it when it has a whole mail and before it says that it took it.
    `delay`: seconds until the answer, `by_domain` where it is another; both may change meanwhile. `more`
    belongs into main.cf. `taken`: when (seconds since the epoch) the mails for each recipient were answered
    for."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay, self.port = delay, free_port()
        self.by_domain: dict[str, float] = {}
        self.taken: dict[str, list[float]] = {}
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def more(self) -> str:
        return f"smtpd_end_of_data_restrictions = check_policy_service inet:127.0.0.1:{self.port}"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while asked := (await reader.readuntil(b"\n\n")).decode():
                about = dict(line.split("=", 1) for line in asked.split("\n") if line)
                domain = about["recipient"].rpartition("@")[2]
                await asyncio.sleep(self.by_domain.get(domain, self.delay))
                self.taken.setdefault(about["recipient"], []).append(time.time())
                writer.write(b"action=DUNNO\n\n")
                await writer.drain()
        writer.close()
        self._open.discard(writer)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Pace"]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        try:
            yield self
        finally:
            server.close()
            for writer in self._open:  # Postfix holds on to its connections
                writer.close()
            while self._open:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@contextmanager
def running_postfix(
    ways: Ways, name: str = "mx.example.com", more: str = "", port: int = 0, services: str = ""
) -> Iterator[Postfix]:
    """Started, in a folder that its users may pass through; ended and gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="postfix-", dir="/tmp"))
    folder.chmod(0o755)
    postfix = Postfix(folder, ways, name, more, port, services)
    try:
        postfix.start()
        yield postfix
    finally:
        postfix.stop()
        shutil.rmtree(folder, ignore_errors=True)
