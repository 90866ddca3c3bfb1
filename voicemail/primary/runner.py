"""Runs the outbox: the thin shell around agenda.py.

It waits for the store's wakes, for what the supervisor tells, and for moments that come by themselves;
then it fetches what is due, starts jobs, and has the store record how they ended. It acts only while
its lease holds; every call to the store carries the epoch, and the first `Fenced` stops all at once.

One race needs care: an item that is recorded as done while `due` is being answered may still be in
that answer. So an item stays `recent` until a fetch that began after its end has been seen through.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import timedelta
from uuid import UUID

import structlog

from store.api import Store
from store.errors import Fenced, Unavailable
from store.model import OutboxItem, Work
from voicemail.primary.agenda import (
    STORE_REST,
    Agenda,
    Done,
    Job,
    Outcome,
    Postpone,
    Recovered,
    Step,
    Subject,
    Verdict,
)
from voicemail.primary.clock import Clock
from voicemail.primary.ends import done_already, given_up, patient, tell, wait_for_peer
from voicemail.primary.handler import Handler
from voicemail.primary.lease import LONG_AGO, Lease, NotPrimary, Permit
from voicemail.primary.tasks import Tasks

PAGE = 500
"""Items fetched beyond those known already (in hand, or left in the store for want of room)."""
AT_LEISURE = 10
"""All users are read again after so many times as long as it took, or after USERS_REST: it keeps us busy."""
USERS_REST = 2.0
"""Seconds between two readings of all users, so that an import of thousands reads few times."""
LEAST_WAIT = 1.0
"""Seconds to the next look at postponed items, some of which may be in hand at the moment."""
OVERTAKEN = 2.5
"""Seconds after which all lamps are sent once more when this node took over or the peer came back: a
node that was cut off or frozen repeats what nobody answered (for 2 s, as its edge allows), and such an
old lamp would stay."""
USER_TABLES = ("", "user_account", "setting")
"""Users, and settings, among which are their further numbers."""
OUTBOX_TABLES = ("", "outbox")

log = structlog.get_logger()


class Runner:
    """One for the process. `lease` says whether this node may act; `renew` and `revoke` say so.
    `on_giving_up` is told of work that failed for five days, once that is recorded."""

    def __init__(
        self,
        store: Store,
        handlers: Mapping[Work, Handler],
        agenda: Agenda,
        clock: Clock,
        lease: Lease,
        on_giving_up: Callable[[OutboxItem, str], Coroutine[None, None, None]] | None = None,
    ) -> None:
        self._store, self._handlers, self._agenda, self._clock = store, handlers, agenda, clock
        self.lease, self._on_giving_up = lease, on_giving_up
        self._bell = asyncio.Event()
        self._tasks = Tasks()
        self._by_lane: dict[str, Handler] = {}
        self._again_at: dict[str, float] = {}
        self._overtaken_at: float | None = None
        self._recent: set[UUID] = set()
        self._epoch: int | None = None
        self._fetch_at: float | None = None
        self._retry_at: float | None = None
        self._users_at: float | None = None
        self._users_free = self._fetch_free = LONG_AGO
        self._rest_until = LONG_AGO
        self._away = False

    # -- told from outside -----------------------------------------------------------------------

    def renew(self, epoch: int, written: float) -> None:
        """The supervisor said at `written` (monotonic) that this node is Primary."""
        held = self.lease.valid(self._clock.monotonic())
        before, self.lease = self.lease, self.lease.renew(epoch, written)
        if not held or before.epoch != self.lease.epoch:
            self._bell.set()

    def revoke(self) -> None:
        """The supervisor said that this node is not Primary."""
        if self.lease.valid(self._clock.monotonic()):
            log.info("duty over", epoch=self.lease.epoch)
            self._bell.set()
        self.lease = self.lease.revoke()

    def wake(self) -> None:
        """Something the handlers look at has changed (a destination came or went)."""
        self._bell.set()

    @property
    def on_duty(self) -> bool:
        """Whether this process does the Primary's work at the moment."""
        return self._epoch is not None and self.lease.valid(self._clock.monotonic())

    def resync(self) -> None:
        """Send every lamp again, paced."""
        self._again_at = dict.fromkeys(self._again_at, self._clock.monotonic())
        self._bell.set()

    def send_again(self, lane: str, subjects: Iterable[Subject] | None = None) -> None:
        """Send these lamps again, before others that are only repeated (None: all of this destination's,
        paced). One that is silent is asked at once."""
        now = self._clock.monotonic()
        self._agenda.hurry(lane, now)
        if subjects is None:
            self._again_at[lane] = now
        else:
            self._agenda.reassert(lane, subjects, changed=True)
        self._bell.set()

    def hurry(self) -> None:
        """Work was made due that was postponed: fetch it, and ask destinations that were silent."""
        now = self._clock.monotonic()
        for lane in self._by_lane:
            self._agenda.hurry(lane, now)
        self._fetch_at, self._fetch_free = now, LONG_AGO
        self._bell.set()

    # -- the loop --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                group.create_task(self._serve())
        finally:
            self._tasks.cancel()

    async def _listen(self) -> None:
        async for table in self._store.changes():
            now = self._clock.monotonic()
            if table in OUTBOX_TABLES:
                self._fetch_at = now
            if table in USER_TABLES and self._users_at is None:
                self._users_at = max(now, self._users_free)
            if self.lease.valid(now):
                self._bell.set()

    async def _serve(self) -> None:
        while True:
            self._bell.clear()
            moment = await self._turn()
            await self._clock.sleep_until(moment, self._bell)

    async def _turn(self) -> float | None:
        """Everything that is to be done now; says until when there is nothing more."""
        now, epoch = self._clock.monotonic(), self.lease.epoch
        if not self.lease.valid(now):
            self._agenda.clear()
            self._epoch = None
            return None
        try:
            if now >= self._rest_until:
                await self._catch_up(now)
        except Fenced:
            self._fenced(epoch)
            return None
        except Unavailable as error:
            self._store_away(str(error))
        self._start()
        return self._next_moment(self._clock.monotonic())

    def _start(self) -> None:
        for job in self._agenda.ready(self._clock.monotonic()):
            self._tasks.spawn(self._perform(job, self._by_lane[job.lane], self.lease.epoch))

    def _next_moment(self, now: float) -> float | None:
        fetch = None if self._fetch_at is None else max(self._fetch_at, self._fetch_free)
        mine = (fetch, self._retry_at, self._users_at, self._overtaken_at, *self._again_at.values())
        moments = [max(m, self._rest_until) for m in mine if m is not None]
        work = self._agenda.wake_at(now)
        return min([*moments, work] if work is not None else moments, default=None)

    async def _catch_up(self, now: float) -> None:
        if self._epoch != self.lease.epoch:
            await self._take_over(now)
        self._arrange_lanes(now)
        if self._overtaken_at is not None and now >= self._overtaken_at:
            self._again_at, self._overtaken_at = dict.fromkeys(self._again_at, now), None
        if self._users_at is not None and now >= self._users_at:
            await self._refresh(now)
        if self._fetch_is_due(now):
            await self._fetch(now)
        for lane in [lane for lane, moment in self._again_at.items() if now >= moment]:
            self._send_again(lane, now)

    async def _take_over(self, now: float) -> None:
        """The first act under a new epoch: whatever is older is refused from here on."""
        epoch = self.lease.epoch
        await self._store.outbox.fence(epoch)
        self._agenda.clear()
        self._epoch, self._fetch_free = epoch, LONG_AGO
        self._fetch_at = self._retry_at = self._users_at = now
        self._again_at = dict.fromkeys(self._again_at, now)
        self._overtaken_at = now + OVERTAKEN
        self._agenda.reopen()
        log.info("on duty", epoch=epoch)

    def _arrange_lanes(self, now: float) -> None:
        wanted = {name: handler for handler in self._handlers.values() for name in handler.lanes()}
        for name in self._by_lane.keys() - wanted.keys():
            log.info("destination gone", lane=name)
            self._act(self._agenda.close_lane(name), self.lease.epoch)
            self._again_at.pop(name, None)
        for name in wanted.keys() - self._by_lane.keys():
            settings = wanted[name].lanes()[name]
            lamps = settings.every is not None
            self._agenda.open_lane(name, limit=settings.limit, room=settings.room, lamps=lamps)
            if lamps:
                self._again_at[name] = now
                self._overtaken_at = now + OVERTAKEN
                self._agenda.reopen()
            log.info("destination", lane=name)
        self._by_lane = wanted

    async def _refresh(self, now: float) -> None:
        for handler in self._handlers.values():
            by_lane: dict[str, list[Subject]] = {}
            for lane, subject in await handler.refresh():
                by_lane.setdefault(lane, []).append(subject)
            for lane, subjects in by_lane.items():
                self._agenda.reassert(lane, subjects, changed=True)
        took = self._clock.monotonic() - now
        self._users_at, self._users_free = None, now + max(USERS_REST, AT_LEISURE * took)

    def _fetch_is_due(self, now: float) -> bool:
        if self._retry_at is not None and now >= self._retry_at:
            return True
        return self._fetch_at is not None and now >= max(self._fetch_at, self._fetch_free)

    async def _fetch(self, now: float) -> None:
        """Take what is due into the agenda, page by page. All that is known already is read again each time
        (so that nothing depends on an order), hence no more than half of the time is spent on it."""
        more, self._fetch_at, left = True, None, 0  # a wake that comes meanwhile sets it again
        while more:
            seen_through, limit = set(self._recent), PAGE + self._agenda.in_hand + left
            due = await self._store.outbox.due(self._clock.now(), self.lease.epoch, limit)
            left = 0
            recent = [item for item in due if item.id in self._recent]  # the next answer is newer
            for item in due:
                if not self._agenda.holds(item) and item.id not in self._recent:
                    left += await self._take(item)
            self._recent -= seen_through
            self._start()
            more = bool(recent) or len(due) == limit
        self._away = False
        self._fetch_free = 2 * self._clock.monotonic() - now
        await self._look_ahead(now)

    async def _look_ahead(self, now: float) -> None:
        """When the next look is needed: also for work that was written to be done later."""
        before, coming = self._retry_at, await self._next_due()
        if self._retry_at == before and (before is None or now >= before):
            self._retry_at = coming
        elif coming is not None:
            self._retry_at = coming if self._retry_at is None else min(self._retry_at, coming)

    async def _take(self, item: OutboxItem) -> bool:
        """Whether it had to be left in the store: for want of room, or because nobody here does such work."""
        if (handler := self._handlers.get(item.kind)) is None:
            return True
        plan = await handler.plan(item)
        if not plan.lanes <= self._by_lane.keys():  # its first work for a destination
            self._arrange_lanes(self._clock.monotonic())
        steps = self._agenda.add(item, plan, self._clock.monotonic())
        self._act(steps, self.lease.epoch)
        return not steps and not self._agenda.holds(item)

    async def _next_due(self) -> float | None:
        moment = await self._store.outbox.next_due()
        if moment is None:
            return None
        wait = (moment - self._clock.now()).total_seconds()
        return self._clock.monotonic() + max(wait, LEAST_WAIT)

    def _send_again(self, lane: str, now: float) -> None:
        handler = self._by_lane[lane]
        every = handler.lanes()[lane].every
        subjects = tuple(handler.subjects(lane))
        self._agenda.reassert(lane, subjects)
        log.info("lamps sent again", lane=lane, lamps=len(subjects))
        self._again_at.pop(lane)
        if every is not None:
            self._again_at[lane] = now + every

    def _store_away(self, why: str) -> None:
        if not self._away:
            log.warning("the store does not answer: nothing is sent", why=why)
        self._away = True
        self._fetch_at = self._rest_until = self._clock.monotonic() + STORE_REST

    def _fenced(self, epoch: int) -> None:
        """Another node is Primary under a newer epoch than `epoch`, unless that is our own by now."""
        self._bell.set()
        if epoch < self.lease.epoch:
            return
        log.warning("fenced: another Primary has taken over", epoch=self.lease.epoch)
        self.lease = self.lease.refuse()
        self._agenda.abandon()
        self._tasks.cancel()

    # -- jobs ------------------------------------------------------------------------------------

    def _permit(self, epoch: int) -> Permit:
        def check() -> None:
            if self.lease.epoch != epoch or not self.lease.valid(self._clock.monotonic()):
                raise NotPrimary("the lease is over")

        return check

    async def _perform(self, job: Job, handler: Handler, epoch: int) -> None:
        try:
            done = await done_already(self._store, job)
            outcome = done or await handler.perform(job, self._permit(epoch))
        except Fenced:
            self._fenced(epoch)
            outcome = Outcome(Verdict.STOPPED, "the duty is over")
        except NotPrimary as error:
            outcome = Outcome(Verdict.STOPPED, str(error))
        except Unavailable as error:
            outcome = Outcome(Verdict.UNKNOWN, str(error))
            self._store_away(str(error))
        except Exception as error:
            log.exception("work failed unexpectedly", lane=job.lane, subject=str(job.subject))
            outcome = Outcome(Verdict.FAILED, f"unexpected: {type(error).__name__}")
        before = self._agenda.trouble(job)
        steps = self._agenda.finished(job, outcome, self._clock.monotonic())
        tell(job, before, self._agenda.trouble(job))
        await asyncio.gather(*self._act(steps, epoch))
        self._agenda.landed(job)
        if self._agenda.hungry:
            self._agenda.hungry, self._fetch_at = False, self._clock.monotonic()
        self._bell.set()

    def _act(self, steps: Iterable[Step], epoch: int) -> list[asyncio.Task[None]]:
        """Do what follows; gives what is still being recorded."""
        records = []
        for step in steps:
            if isinstance(step, Recovered):
                what = "forgot its lamps" if step.forgot else "answers again"
                log.info(f"destination {what}", lane=step.lane)
                self._again_at[step.lane] = self._clock.monotonic()
            else:
                records.append(self._tasks.spawn(self._record(patient(step, self._clock.now()), epoch)))
        return records

    async def _record(self, step: Done | Postpone, epoch: int) -> None:
        """Have the store record it, however long that takes: an item stays in hand until then, so that
        a mail that was sent is not sent again because the store was away."""
        item = step.item
        while True:
            try:
                await self._write(step, epoch)
                break
            except Fenced:
                if epoch >= self.lease.epoch:
                    return self._fenced(epoch)
                epoch = self.lease.epoch  # our own duty began anew meanwhile: what was done is done
            except Unavailable:
                await self._clock.sleep_until(self._clock.monotonic() + STORE_REST, asyncio.Event())
        self._recent.add(item.id)
        self._agenda.forget(item, ended=isinstance(step, Done))

    async def _write(self, step: Done | Postpone, epoch: int) -> None:
        item = step.item
        about = {"id": str(item.id), "kind": item.kind.value, "attempts": item.attempts + 1}
        if isinstance(step, Done):
            await self._store.outbox.done(item, step.result, epoch, wait=wait_for_peer(item))
            log.info("outbox item done", **about, result=step.result)
            if self._on_giving_up and (why := given_up(step)):
                self._tasks.spawn(self._on_giving_up(item, why))
        elif self.lease.valid(self._clock.monotonic()):
            until = self._clock.now() + step.delay
            await self._store.outbox.postpone(item, until, step.why)
            self._come_back(step.delay)
            log.info("outbox item postponed", **about, why=step.why, until=until.isoformat("T", "seconds"))

    def _come_back(self, delay: timedelta) -> None:
        moment = self._clock.monotonic() + delay.total_seconds()
        self._retry_at = moment if self._retry_at is None else min(self._retry_at, moment)
        self._bell.set()
