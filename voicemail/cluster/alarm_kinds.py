"""What an administrator must know, as a table: stable names, how bad, what it means, what to do.

Most kinds *stand*: they have a condition, a pure question about two looks at the node. The others
*happen*: `alarms.py` tells them from changes of status.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.roles import SERVING, Status, answers_calls
from voicemail.cluster.snapshot import Snapshot

TAKEOVER = 10.0
"""Seconds within which a node that has become Primary must do the Primary's work."""
MEGABYTE = 1_000_000


class Severity(StrEnum):
    CRITICAL = "critical"
    """Calls, messages or duties are lost or stand still."""
    ERROR = "error"
    """It works, but one more failure would cost something."""
    WARNING = "warning"
    NOTICE = "notice"


Holds = Callable[[Snapshot, Snapshot, bool], str]
"""(the look before, this one, whether the alarm is raised) -> why it holds, "" when it does not."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A line of the table. Without `holds` it is one that happens."""

    name: str
    severity: Severity
    meaning: str
    action: str
    holds: Holds | None = None
    after: float = 0.0
    """Seconds for which it must hold to be raised."""
    calm: float = 5.0
    """Seconds for which it must have gone to be cleared."""


def _no_connection(_: Snapshot, s: Snapshot, __: bool) -> str:
    silent = s.peer_name and s.peer is None and s.sought
    return f"{s.peer_name} is not heard" if silent else ""


NOT_CRITICAL = ("smtp",)
"""Programs without which calls, messages and the Primary's work go on."""


def _service_down(_: Snapshot, s: Snapshot, __: bool) -> str:
    critical = [name for name in s.failed if name not in NOT_CRITICAL]
    if critical:
        return f"down: {', '.join(critical)}"
    return s.because if s.status is Status.NOT_FUNCTIONING else ""


def _mails_not_taken(_: Snapshot, s: Snapshot, __: bool) -> str:
    return "mails that come to this server are not taken" if "smtp" in s.failed else ""


def _no_primary(_: Snapshot, s: Snapshot, __: bool) -> str:
    known = (s.status, s.peer.status if s.peer else None)
    acting = {Status.PRIMARY, Status.SPLIT_BRAIN_RECOVERY, Status.STARTING} & set(known)
    return "" if acting or not s.sought else f"this server is {s.status}: {s.because}"


def _takes_calls(said: KeepAlive) -> bool:
    """With a worker to answer them."""
    return said.taking_calls and answers_calls(said.status) and said.workers > 0


def _nobody_takes_calls(_: Snapshot, s: Snapshot, __: bool) -> str:
    here = s.taking_calls and answers_calls(s.status) and s.workers > 0
    if here or (s.peer and _takes_calls(s.peer)) or not s.sought:
        return ""
    return f"{s.name} {_why_no_calls(s)}" + (f", {s.peer_name} {_of_peer(s)}" if s.peer_name else "")


def _why_no_calls(s: Snapshot) -> str:
    return (
        "was stopped by an operator" if not s.taking_calls else f"is {s.status}, {s.workers} workers are up"
    )


def _of_peer(s: Snapshot) -> str:
    if s.peer is None:
        return "is not heard"
    return "was stopped by an operator" if not s.peer.taking_calls else f"is {s.peer.status}"


def _peer_impaired(_: Snapshot, s: Snapshot, __: bool) -> str:
    if s.peer is None or s.peer.status in (Status.STARTING, Status.DEACTIVATED):
        return ""
    if s.peer.status is Status.NOT_FUNCTIONING:
        return f"{s.peer_name} is {s.peer.status}: {s.peer.because}"
    down = {"its database": not s.peer.database, "what a Primary needs": not s.peer.duties_work}
    parts = " and ".join(part for part, is_down in down.items() if is_down)
    return f"{s.peer_name}: {parts} is down" if parts else ""


def _disk_full(_: Snapshot, s: Snapshot, raised: bool) -> str:
    if s.disk_free is None or s.disk_free >= s.least_free * (1.25 if raised else 1.0):
        return ""
    return f"{s.disk_free // MEGABYTE} MB left, {s.least_free // MEGABYTE} MB needed to take messages"


def _disk_close(_: Snapshot, s: Snapshot, raised: bool) -> str:
    if s.disk_free is None or not s.disk_size:
        return ""
    share, times = s.disk_free / s.disk_size, s.disk_free / max(1, s.least_free)
    if share >= (0.12 if raised else 0.10) and times >= (2.5 if raised else 2.0):
        return ""
    return f"{s.disk_free // MEGABYTE} MB left, {share:.0%} of the disk"


def _single_copies(_: Snapshot, s: Snapshot, __: bool) -> str:
    return f"{s.single_copies} messages are on this server's disk only" if s.single_copies else ""


def _replication_stuck(before: Snapshot, s: Snapshot, __: bool) -> str:
    if s.slot_lost:
        return f"what was kept for {s.peer_name} is lost: it was away for too long"
    if not (s.peer and s.peer.database and s.database):
        return ""
    if before.apply_errors is not None and (s.apply_errors or 0) > before.apply_errors:
        return f"rows of {s.peer_name} cannot be applied: {s.apply_errors} failures"
    return f"no rows arrive from {s.peer_name}" if s.receiving is False else ""


def _room_short(_: Snapshot, s: Snapshot, raised: bool) -> str:
    if s.room is None or s.retained is None or s.slot_lost:
        return ""
    if s.room >= (0.3 if raised else 0.2) * (s.room + s.retained):
        return ""
    return f"{s.retained // MEGABYTE} MB are kept for {s.peer_name}, room for {s.room // MEGABYTE} MB more"


def _conflicts(_: Snapshot, s: Snapshot, __: bool) -> str:
    return f"{s.conflicts} extensions belong to two users each" if s.conflicts else ""


def _clock_differs(_: Snapshot, s: Snapshot, raised: bool) -> str:
    if s.clock_ahead is None or abs(s.clock_ahead) < (1.0 if raised else 2.0):
        return ""
    way = "ahead" if s.clock_ahead > 0 else "behind"
    return f"the clock of {s.peer_name} is {abs(s.clock_ahead):.1f} s {way}"


def _all_busy(_: Snapshot, s: Snapshot, __: bool) -> str:
    return f"{s.busy} calls on {s.ports} ports" if s.ports and s.busy >= s.ports else ""


def _workers_missing(_: Snapshot, s: Snapshot, __: bool) -> str:
    few = s.status in SERVING and s.workers < s.workers_wanted
    return f"{s.workers} of {s.workers_wanted} workers are up" if few else ""


def _backlog(_: Snapshot, s: Snapshot, raised: bool) -> str:
    left = sum(count for count, _ in (s.outbox or {}).values())
    return f"{left} lamps and mails are waiting" if left > (100 if raised else 500) else ""


def _drained(_: Snapshot, s: Snapshot, __: bool) -> str:
    return "" if s.taking_calls else "an operator stopped it from taking calls"


def _upgrade(_: Snapshot, s: Snapshot, __: bool) -> str:
    differs = s.peer and s.peer.schema != s.schema
    return f"schema {s.schema} here, {s.peer.schema} on {s.peer_name}" if s.peer and differs else ""


C, E, W, N = Severity.CRITICAL, Severity.ERROR, Severity.WARNING, Severity.NOTICE
KINDS = (
    Kind(
        "no_connection_to_peer", E,
        "No keep-alive comes from the other server. Each of them acts as Primary.",
        "See whether the other server runs, then the network between them (cluster port, TCP and UDP).",
        _no_connection,
    ),
    Kind(
        "no_primary", C,
        "No server is Primary: lamps and mails stand still. Calls may still be answered.",
        "`voicemail cluster status` says why; `voicemail cluster make-primary` or `activate` if an operator "
        "wanted it so.",
        _no_primary, after=15.0,
    ),
    Kind(
        "no_server_takes_calls", C,
        "Callers are refused: neither server takes calls, as far as this one knows.",
        "`voicemail cluster take-calls` or `activate`, or bring back the server that is not heard.",
        _nobody_takes_calls, after=10.0,
    ),
    Kind(
        "critical_service_down", C,
        "A program of this server is down, or dies again and again, for longer than a restart takes.",
        "The log lines of that program; then disk, memory and the ports it needs.",
        _service_down, calm=10.0,
    ),
    Kind(
        "mail_receiver_down", E,
        "The receiver of mails is down: other systems keep what they send, or send it to the other server.",
        "Its log lines (process smtp): is its port free, can its certificate be read?",
        _mails_not_taken, calm=10.0,
    ),
    Kind(
        "peer_impaired", E,
        "The other server is heard, but takes no calls or cannot be Primary; it may be unable to mail that.",
        "`voicemail cluster status`, then the log lines of that server.",
        _peer_impaired, after=10.0, calm=10.0,
    ),
    Kind(
        "auto_failover_started", W,
        "This server became Primary by itself, because the other one is silent or cannot do the work.",
        "Find out what happened to the other server.",
    ),
    Kind(
        "auto_failover_succeeded", N,
        "It does the Primary's work now.",
        "Nothing; lamps are being sent again.",
    ),
    Kind(
        "auto_failover_failed", C,
        f"It became Primary, but could not do the Primary's work within {TAKEOVER:g} s.",
        "`voicemail cluster status`: which program is down? Its log lines say why.",
    ),
    Kind(
        "auto_failback_succeeded", N,
        "The publisher took the Primary's work back from a server that is in service.",
        "Nothing.",
    ),
    Kind(
        "split_brain_detected", W,
        "Both servers have been Primary. Their stores are being merged; no call is refused.",
        "Nothing but a look at the network between them.",
    ),
    Kind(
        "split_brain_recovery_succeeded", N,
        "Both stores hold what either took alone.",
        "`voicemail cluster conflicts` lists settings that were changed on both sides.",
    ),
    Kind(
        "split_brain_recovery_failed", E,
        "The merge was cut short: the other server fell silent or out of service.",
        "Mend the connection; the merge begins again by itself.",
    ),
    Kind(
        "disk_full", C,
        "So little disk is left that callers are told that no message can be taken.",
        "Free some, at once: `voicemail cluster status` shows what is kept for an absent server.",
        _disk_full, after=2.0, calm=10.0,
    ),
    Kind(
        "disk_close_to_capacity", W,
        "Less than 10 % of the disk with database and spool is free, or less than twice what is needed.",
        "Free some or make it larger.",
        _disk_close, after=10.0, calm=30.0,
    ),
    Kind(
        "single_copies_waiting", W,
        "Messages have been on one disk only for a minute, since the other server does not take them.",
        "Bring the other server back. Do not replace this one before.",
        _single_copies, after=60.0,
    ),
    Kind(
        "replication_stuck", E,
        "Rows of the other server do not arrive, although its database answers, or it was away for too long.",
        "The log of PostgreSQL says which row. A lost slot is mended by itself: `voicemail cluster status`.",
        _replication_stuck, after=30.0, calm=10.0,
    ),
    Kind(
        "replication_room_short", W,
        "The other server has been away for so long that little more can be kept for it.",
        "Bring it back soon. If it comes later, it copies all it lacks, by itself, which takes longer.",
        _room_short, after=10.0, calm=10.0,
    ),
    Kind(
        "extension_conflicts", W,
        "Since a split two users have the same extension; one of them gets no messages.",
        "`voicemail cluster conflicts` lists them; give one of each pair another extension.",
        _conflicts, after=10.0,
    ),
    Kind(
        "peer_refused", W,
        "A connection to the cluster's port was refused: a stranger, or a server that was replaced.",
        "The log line beside it has the address and the reason.",
    ),
    Kind(
        "clock_differs", W,
        "The servers' clocks differ by more than 2 s. Order and times of messages may be wrong.",
        "See to NTP on both.",
        _clock_differs, after=10.0,
    ),
    Kind(
        "workers_all_busy", W,
        "No port is free on this server: new calls go to the other one, or are refused.",
        "If it comes again, more workers, or fewer calls to this server.",
        _all_busy, after=5.0, calm=30.0,
    ),
    Kind(
        "workers_missing", W,
        "Fewer workers than configured have been up for a minute.",
        "The log lines of the workers.",
        _workers_missing, after=60.0,
    ),
    Kind(
        "outbox_backlog", W,
        "More than 500 lamps and mails have been waiting for 10 minutes.",
        "The log says which PBX or mail host does not answer.",
        _backlog, after=600.0, calm=10.0,
    ),
    Kind(
        "calls_stopped_for_long", N,
        "An operator stopped this server from taking calls an hour ago.",
        "`voicemail cluster take-calls`, if it was forgotten.",
        _drained, after=3600.0,
    ),
    Kind(
        "upgrade_unfinished", N,
        "The servers have had different releases for a day. New features wait for the older one.",
        "Upgrade the older server.",
        _upgrade, after=86400.0,
    ),
)  # fmt: skip
BY_NAME = {kind.name: kind for kind in KINDS}


def table() -> str:
    """The table as Markdown, for docs/operations.md."""
    rows = [f"| `{k.name}` | {k.severity} | {k.meaning} | {k.action} |\n" for k in KINDS]
    return "| alarm | severity | what it means | what to do |\n|---|---|---|---|\n" + "".join(rows)
