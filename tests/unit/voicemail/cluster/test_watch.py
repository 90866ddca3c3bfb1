"""The watch over a node whose parts are in memory, and what it tells whom."""

import email
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import generate_latest

from sip.edge_control import EdgeControl
from store.memory import MemoryStore
from store.model import Notice, OutboxItem, Told, Work
from voicemail.cluster import metrics
from voicemail.cluster.alarm_kinds import BY_NAME
from voicemail.cluster.alarms import Alarm, State
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.manager import Change
from voicemail.cluster.roles import Status
from voicemail.cluster.snapshot import Snapshot
from voicemail.cluster.watch import AGAIN, OLD, Letters, Watch, changes_after, notice
from voicemail.config import Alarm as AlarmSettings
from voicemail.config import Config, Mail, Metrics, Node
from voicemail.primary.alarm_mail import alarm_mail
from voicemail.primary.mail import NoAddress

PEER = KeepAlive(2, Status.SECONDARY, 2, schema=2, workers=4)
STARTED = Change(0.0, Status.STARTING, Status.STARTING, "it was started", 1)


class Ward:
    """A node as its watch sees it. `state` is what it knows of itself; time goes by look."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.store.state.schema = 1
        self.history = [STARTED]
        self.state = Snapshot(
            wall=1.8e9, name="vm1", peer_name="vm2", status=Status.PRIMARY, peer=PEER, database=True,
            schema=2, workers=4,
        )  # fmt: skip
        self.folder = folder
        self.start()

    def start(self) -> None:
        """As after a start of the node, with the store as it was."""
        config = Config(
            node=Node(name="vm1", address="127.0.0.1", directory=str(self.folder)),
            alarm=AlarmSettings(mail_to="ops@example.org"),
            metrics=Metrics(port=0),
        )
        edge = EdgeControl(self.folder)
        self.watch = Watch(config, lambda: self.state, lambda: self.history, self.store, edge)

    async def look(self, seconds: float = 1.0, **changes: Any) -> Snapshot:
        now, wall = self.state.now + seconds, self.state.wall + seconds
        self.state = replace(self.state, **changes, now=now, wall=wall)
        return await self.watch.once()

    def mails(self) -> list[str]:
        told = [Notice.read(item.payload) for item in self.store.state.outbox.values()]
        return [f"{one.alarm} {one.state}" for one in told]


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    return Ward(tmp_path)


async def test_an_alarm_is_mailed_when_it_is_raised_and_when_it_is_over(ward: Ward) -> None:
    await ward.look()
    await ward.look(peer=None)
    for _ in range(3):
        await ward.look()
    assert ward.mails() == ["no_connection_to_peer raised"]
    for _ in range(9):
        await ward.look(peer=PEER)
    assert ward.mails() == ["no_connection_to_peer raised", "no_connection_to_peer cleared"]


async def test_what_the_older_peer_could_not_take_is_mailed_when_it_can(ward: Ward) -> None:
    old = replace(PEER, schema=1)
    for _ in range(40):
        await ward.look(peer=old, failed=("primary",))
    assert ward.mails() == [] and ward.store.state.schema == 1
    await ward.look(peer=PEER)
    assert ward.store.state.schema == 2
    assert ward.mails() == ["critical_service_down raised"]


async def test_nothing_is_agreed_with_a_silent_peer_and_everything_when_alone(ward: Ward) -> None:
    await ward.look(peer=None)
    assert ward.store.state.schema == 1
    await ward.look(peer_name="")
    assert ward.store.state.schema == 2


async def test_a_database_that_is_away_gets_the_mail_later(ward: Ward) -> None:
    await ward.look()
    await ward.look(database=False, failed=("database",))
    await ward.look()
    ward.store.state.away = True
    await ward.look(database=True)  # so it seems
    ward.store.state.away = False
    await ward.look(AGAIN)
    assert ward.mails() == ["critical_service_down raised"]


async def test_what_stood_before_a_start_is_told_to_be_over(ward: Ward) -> None:
    await ward.look()
    await ward.look(failed=("edge",))
    ward.start()
    for _ in range(5):
        await ward.look(failed=("edge",))
    for _ in range(12):
        await ward.look(failed=())
    assert ward.mails() == ["critical_service_down raised", "critical_service_down cleared"]
    ward.start()
    for _ in range(12):
        await ward.look()
    assert len(ward.mails()) == 2


async def test_a_watch_that_fails_goes_on(ward: Ward) -> None:
    ward.watch._look = lambda: 1 // 0  # type: ignore[assignment, return-value]
    await ward.watch._safely()
    ward.watch._look = lambda: ward.state
    await ward.watch._safely()
    assert ward.watch.metrics.seen.snapshot.name == "vm1"


async def test_changes_between_two_looks_are_all_counted(ward: Ward) -> None:
    await ward.look()
    for now in (Status.SECONDARY, Status.PRIMARY, Status.SECONDARY):
        ward.history.append(Change(0.0, Status.STARTING, now, "because", 1))
    assert len((await ward.look()).changes) == 3
    assert (await ward.look()).changes == ()
    assert ward.watch.metrics.seen.changes == 3


def test_a_history_that_was_cut_gives_all_that_is_left_of_it() -> None:
    assert changes_after([STARTED], None) == ()
    later = [replace(STARTED, at=float(n)) for n in range(3)]
    assert changes_after(later, STARTED) == tuple(later)
    assert changes_after([*later], later[1]) == (later[2],)


# ---- letters


def alarm(state: State = State.RAISED, name: str = "disk_full", at: float = 0.0) -> Alarm:
    return Alarm(BY_NAME[name], state, "5 MB left", at)


def test_one_that_stands_is_tried_until_the_hour_is_over() -> None:
    letters, raised = Letters(), alarm()
    letters.add(raised)
    for told in (Told.NOT_YET, Told.EARLIER, Told.EARLIER):
        letters.tried(raised, told, 99 * OLD)
    assert letters.due(0.0) == [raised] and letters.due(AGAIN - 1) == [] and letters.due(AGAIN) == [raised]
    letters.tried(raised, Told.WRITTEN, 0.0)
    assert letters.due(2 * AGAIN) == []


def test_one_that_is_over_takes_the_place_of_the_one_that_stood() -> None:
    letters, cleared = Letters(), alarm(State.CLEARED)
    letters.add(alarm())
    letters.add(cleared)
    assert letters.due(0.0) == [cleared]
    letters.tried(cleared, Told.NOTHING, 0.0)
    assert not letters.waiting


def test_what_happened_is_not_told_late() -> None:
    letters, happened = Letters(), alarm(State.HAPPENED, "split_brain_detected")
    letters.add(happened)
    letters.tried(happened, Told.NOT_YET, OLD - 1)
    assert letters.waiting
    letters.tried(happened, Told.NOT_YET, OLD + 1)
    assert not letters.waiting


# ---- the mail


def item(told: Notice | None) -> OutboxItem:
    payload = json.dumps(asdict(told)) if told else "{}"
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    return OutboxItem(UUID(int=5), Work.ALARM, UUID(int=0), None, noon, 0, payload)


def test_the_mail_says_what_it_is_and_is_the_same_each_time() -> None:
    made = [alarm_mail(item(notice(alarm(), "vm1", "ops@example.org")), Mail()) for _ in range(2)]
    assert made[0].as_bytes() == made[1].as_bytes()
    mail = email.message_from_bytes(made[0].as_bytes())
    assert mail["Subject"] == "Voice mail server vm1: disk_full (critical)"
    assert mail["To"] == "ops@example.org" and mail["Importance"] == "high"
    assert mail["Message-ID"] == "<00000000-0000-0000-0000-000000000005@voicemail.invalid>"
    assert mail["X-Alarm"] == "disk_full raised vm1" and mail["Auto-Submitted"] == "auto-generated"
    text = bytes(mail.get_payload(decode=True)).decode()
    assert "5 MB left" in text and "1970-01-01 00:00:00+00:00" in text and BY_NAME["disk_full"].action in text
    over = alarm_mail(item(notice(alarm(State.CLEARED), "vm1", "ops@example.org")), Mail())
    assert "is over" in over["Subject"] and "Importance" not in over and "What to do" not in over.as_string()


def test_a_notice_cannot_put_headers_into_the_mail() -> None:
    told = notice(alarm(), "vm1", "ops@example.org")
    evil = replace(told, subject="x\r\nBcc: a@b", alarm="=?utf-8?q?=0D=0Ay:z?=")
    mail = email.message_from_bytes(alarm_mail(item(evil), Mail()).as_bytes())
    assert mail["Bcc"] is None and mail["y"] is None


@pytest.mark.parametrize("told", [None, replace(notice(alarm(), "vm1", "x"), to="nobody")])
def test_a_notice_that_cannot_be_sent_is_refused(told: Notice | None) -> None:
    with pytest.raises(NoAddress):
        alarm_mail(item(told), Mail())


# ---- metrics


async def test_metrics_tell_the_last_look(ward: Ward) -> None:
    await ward.look()
    await ward.look(peer=None, status=Status.PRIMARY, epoch=7, busy=3, lag=None, retained=None)
    text = generate_latest(ward.watch.metrics.registry).decode()
    for line in (
        'voicemail_status{status="Primary"} 1.0',
        'voicemail_status{status="Secondary"} 0.0',
        "voicemail_epoch 7.0",
        "voicemail_calls 3.0",
        'voicemail_alarm{alarm="no_connection_to_peer",severity="error"} 1.0',
        'voicemail_alarm{alarm="disk_full",severity="critical"} 0.0',
        "voicemail_status_changes_total 0.0",
        'voicemail_outbox{kind="lamp"} 0.0',
    ):
        assert f"\n{line}\n" in text, line
    assert "\nvoicemail_replication_lag_bytes " not in text, "not known is not nought"


def test_every_metric_has_a_name_of_its_own_and_a_text() -> None:
    names = [metric.name for metric in metrics.TABLE]
    assert len(names) == len(set(names)) and all(metric.text.endswith(".") for metric in metrics.TABLE)
