"""How work ends for good, and what is told of destinations on the way."""

from datetime import datetime

import structlog

from store.api import Store
from store.model import OutboxItem, Work
from voicemail.primary.backoff import out_of_patience
from voicemail.primary.work import Done, Job, Outcome, Postpone, Trouble, Verdict

PATIENT_THEMSELVES = (Work.POST,)
"""Their handler gives up, since it has to tell somebody."""
STATES = (Work.LAMP,)
"""Repeating these is harmless: the peer may learn a moment later that they are done."""
WAIT_FOR_PEER = 1.0
"""Seconds at most until whoever takes over knows that something is done, and repeats at most what comes
next. A peer that hangs is given up after two."""
GIVEN_UP = "given up: "
"""How the result of work begins that was not done."""
Troubled = tuple[Trouble | None, Trouble | None]
"""What is wrong with a job's destination, and with its lamp."""

log = structlog.get_logger()


def patient(step: Done | Postpone, now: datetime) -> Done | Postpone:
    """Work that failed for five days is given up."""
    if step.item.kind in PATIENT_THEMSELVES:
        return step
    if isinstance(step, Postpone) and out_of_patience(step.item.created, now, step.item.attempts):
        return Done(step.item, GIVEN_UP + step.why)
    return step


def wait_for_peer(item: OutboxItem) -> float:
    """Seconds that its end waits for the peer's disk."""
    return 0.0 if item.kind in STATES else WAIT_FOR_PEER


async def done_already(store: Store, job: Job) -> Outcome | None:
    """None while there is something to do: nobody has dropped it while it waited here, or done it on the
    other side of a cut. Raises Unavailable."""
    if not job.items or any(item.kind in STATES for item in job.items):
        return None
    ended = [await store.outbox.result(item.id) is not None for item in job.items]
    return Outcome(Verdict.SENT, "it was done or dropped meanwhile") if all(ended) else None


def given_up(step: Done) -> str:
    """Why it was given up; "" when it was done."""
    return step.result.removeprefix(GIVEN_UP) if step.result.startswith(GIVEN_UP) else ""


def tell(job: Job, before: Troubled, after: Troubled) -> None:
    """One line when a destination falls silent, when a lamp is not taken, and when it is again."""
    (silent, refused), (now_silent, now_refused) = before, after
    if now_silent and not silent:
        log.warning("destination does not answer", lane=job.lane, why=now_silent.why)
    about = {"lane": job.lane, "lamp": getattr(job.subject, "number", str(job.subject))}
    if now_refused and not refused:
        log.warning("lamp not taken", **about, why=now_refused.why)
    if refused and not now_refused and not now_silent:
        log.info("lamp taken again", **about, tries=refused.tries)
