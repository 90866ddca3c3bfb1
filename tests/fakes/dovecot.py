"""A real Dovecot of the tests' own: IMAP over the maildirs that tests.fakes.postfix fills. Only for root.

with running_postfix({"example.com": ["ann"]}) as postfix, running_dovecot(postfix.mail) as dovecot: ...
"""

import imaplib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from tests.fakes.postfix import GROUP, OWNER, START
from tests.fakes.postgres import free_port

PASSWORD = "opensesame"
"""Of every user."""

SETTINGS = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = {owner}
first_valid_gid = {group}
mail_location = maildir:{mail}/%n
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={owner} gid={group} home={mail}/%n
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""


class Dovecot:
    """Any user may sign in with PASSWORD and reads the maildir of that name below `mail`."""

    def __init__(self, folder: Path, mail: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "dovecot.conf").write_text(
            SETTINGS.format(
                folder=folder, mail=mail, port=self.port, owner=OWNER, group=GROUP, password=PASSWORD
            )
        )

    def start(self) -> None:
        """Until it greets. Raises RuntimeError with its log."""
        self._process = subprocess.Popen(
            ["dovecot", "-F", "-c", str(self.folder / "dovecot.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        ends = time.monotonic() + START
        while time.monotonic() < ends and self._process.poll() is None:
            with suppress(OSError, imaplib.IMAP4.error), imaplib.IMAP4("127.0.0.1", self.port, timeout=1):
                return
            time.sleep(0.05)
        self.stop()
        log = self.folder / "log"
        raise RuntimeError(f"Dovecot does not answer: {log.read_text() if log.exists() else 'no log'}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def url(self, user: str, index: int) -> str:
        """Of a mail (from 1), for curl."""
        return f"imap://{user}:{PASSWORD}@127.0.0.1:{self.port}/INBOX;MAILINDEX={index}"

    @contextmanager
    def signed_in(self, user: str) -> Iterator[imaplib.IMAP4]:
        with imaplib.IMAP4("127.0.0.1", self.port, timeout=10) as client:
            client.login(user, PASSWORD)
            client.select("INBOX", readonly=True)
            yield client

    def ids(self, user: str) -> list[str]:
        """The Message-ID of every mail in the user's mailbox."""
        found = self._fetched(user, "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]")
        return [header.decode().partition(":")[2].strip() for header in found]

    def mails(self, user: str) -> list[EmailMessage]:
        """Every mail in the user's mailbox."""
        return [message_from_bytes(mail, policy=policy.default) for mail in self.raw(user)]

    def raw(self, user: str) -> list[bytes]:
        """The same, as they came."""
        return self._fetched(user, "BODY.PEEK[]")

    def _fetched(self, user: str, what: str) -> list[bytes]:
        """Of every mail, in order. Dovecot calls 1:* wrong while there is none."""
        with self.signed_in(user) as client:
            _, [numbers] = client.search(None, "ALL")
            _, parts = client.fetch("1:*", f"({what})") if numbers else ("", [])
        return [part[1] for part in parts if isinstance(part, tuple)]


@contextmanager
def running_dovecot(mail: Path) -> Iterator[Dovecot]:
    """Started; ended and gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="dovecot-", dir="/tmp"))
    folder.chmod(0o755)
    dovecot = Dovecot(folder, mail)
    try:
        dovecot.start()
        yield dovecot
    finally:
        dovecot.stop()
        shutil.rmtree(folder, ignore_errors=True)
