"""Dispatch messages: one message in several mailboxes, for whoever takes it on.

Everybody's answer, accepted or declined, is a setting of its own: kind "dispatch", name the mailbox, owner
the dispatch (`Envelope.dispatch`, the same in all copies). So both nodes end with the same answers whatever
was answered where (decision 0011), and who holds the message is worked out from them and nothing else:

    somebody accepted      the mailbox that accepted last holds it, nobody else
    nobody accepted        all hold it that have not declined
    everybody declined     (in a cut; else the last one may not) the one who declined last

Last is by hybrid logical clock, node, mailbox. `holders` says this in Python, `HELD` in SQL; the store's
contract tests both with the same cases. Nothing is deleted for it: a copy that is not held is not listed and
not counted, and comes back if a merge says so.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from store.model import Answer, Answered, Outcome

DISPATCH = "dispatch"
"""Kind of the settings."""

_ACCEPTED = """
(select s.name::uuid from public.setting s
  where s.owner = (m.details->>'dispatch')::uuid and s.kind = 'dispatch' and not s.deleted
    and s.body->>'answer' = 'accept'
  order by s.hlc desc, s.node desc, s.name desc limit 1)"""
_DECLINED = """
(select s.name::uuid from public.setting s
   join public.user_account u on u.id = s.name::uuid and not u.deleted
  where s.owner = (m.details->>'dispatch')::uuid and s.kind = 'dispatch' and not s.deleted
    and s.body->>'answer' = 'decline'
  order by s.hlc desc, s.node desc, s.name desc limit 1)"""
_OWN_DECLINE = """
exists (select 1 from public.setting s
  where s.owner = (m.details->>'dispatch')::uuid and s.kind = 'dispatch' and not s.deleted
    and s.body->>'answer' = 'decline' and s.name = m.mailbox_id::text)"""
# Copies of one message were written together: the first holds the recording, the others name it.
_COPIES = """
public.message g join public.user_account u on u.id = g.mailbox_id and not u.deleted
  left join public.message_state t on t.message_id = g.id
 where t.purged is not true and g.id in (
   select id from public.message
    where id = (select coalesce(audio_of, id) from public.message where id = m.id)
   union all select id from public.message
    where audio_of = (select coalesce(audio_of, id) from public.message where id = m.id))"""
_OTHERS_LEFT = (
    "exists (select 1 from "
    + _COPIES
    + """
   and not exists (select 1 from public.setting s
     where s.owner = (m.details->>'dispatch')::uuid and s.kind = 'dispatch' and not s.deleted
       and s.body->>'answer' = 'decline' and s.name = g.mailbox_id::text))"""
)
HELD = f"""(m.details->>'dispatch' is null or m.mailbox_id = coalesce({_ACCEPTED},
  case when not {_OWN_DECLINE} then m.mailbox_id
       when {_OTHERS_LEFT} then null else {_DECLINED} end))"""
"""Whether the mailbox holds a message `m` (id, mailbox_id, details). Free for what is no dispatch."""
ACCEPTED = f"(m.details->>'dispatch' is not null and {_ACCEPTED} is not null)"
"""Of one that is held: whether its owner has accepted it."""
COPIES = f"select g.id, g.mailbox_id from (select %s::uuid as id) m, {_COPIES} order by g.id"
"""Those of living users, not purged, of the message with this id."""
ANSWERS = """
select name::uuid, body->>'answer', (body->>'message')::uuid, hlc, node from public.setting
 where owner = %s and kind = 'dispatch' and not deleted"""
LOCK = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"
PUT = "select public.put_setting(%s, %s, %s, %s, %s::jsonb, false, %s::bigint, %s::smallint)"
AGREED = "select schema from public.agreement"
LAMPS = """
insert into public.outbox select w.work, %s::smallint, 'lamp', w.box, w.id, clock_timestamp()
  from unnest(%s::uuid[], %s::uuid[], %s::uuid[]) as w (work, box, id)"""
TELL = "select pg_notify('vm', 'outbox'), pg_notify('vm', 'message_event')"
NEWEST = "select count(*), coalesce(max(hlc), 0) from public.setting where kind = 'dispatch' and not deleted"
ALL = f"""
select s.owner, s.name::uuid, s.body->>'answer', (s.body->>'message')::uuid, s.hlc, s.node,
       array(select g.mailbox_id from (select (s.body->>'message')::uuid as id) m, {_COPIES})
  from public.setting s where s.kind = 'dispatch' and not s.deleted order by s.owner, s.hlc, s.node, s.name"""
# What others hold, and was answered long ago: copies of dispatches to be given up.
LEFT_OVER = f"""
select distinct g.id from public.setting s
  join public.message h on h.id = (s.body->>'message')::uuid
  join public.message g on g.id = coalesce(h.audio_of, h.id) or g.audio_of = coalesce(h.audio_of, h.id)
  join public.message_listed m on m.id = g.id
 where s.kind = 'dispatch' and not s.deleted and s.hlc < %s and not {HELD}
 order by g.id limit %s"""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One with its mailboxes (of living users, not purged) and its answers, earliest first."""

    id: UUID
    mailboxes: tuple[UUID, ...]
    answers: tuple[Answered, ...]

    @property
    def overruled(self) -> tuple[Answered, ...]:
        """Those who accepted before somebody else did, on the other side of a cut."""
        return tuple(each for each in self.answers if each.answer is Answer.ACCEPT)[:-1]

    def answered_before(self, moment: datetime) -> bool:
        return all(each.hlc < moment.timestamp() * 1_000_000 for each in self.answers)


def order(answered: Answered) -> tuple[int, int, str]:
    """The latest is greatest."""
    return answered.hlc, answered.node, str(answered.mailbox_id)


def holders(mailboxes: Collection[UUID], answers: Sequence[Answered]) -> frozenset[UUID]:
    """Who has the message now. The order of `answers` does not matter."""
    accepted = [each for each in answers if each.answer is Answer.ACCEPT]
    if accepted:
        return frozenset([max(accepted, key=order).mailbox_id])
    declined = [each for each in answers if each.mailbox_id in mailboxes]
    left = frozenset(mailboxes) - {each.mailbox_id for each in declined}
    return left or frozenset(each.mailbox_id for each in sorted(declined, key=order)[-1:])


def outcome(
    answer: Answer, mailbox: UUID, mailboxes: Collection[UUID], answers: Sequence[Answered]
) -> Outcome:
    """What becomes of an answer that is given now."""
    accepted = [each for each in answers if each.answer is Answer.ACCEPT]
    if accepted:
        return Outcome.HAD if max(accepted, key=order).mailbox_id == mailbox else Outcome.TAKEN
    if answer is Answer.DECLINE and not holders(mailboxes, answers) - {mailbox}:
        return Outcome.LAST
    return Outcome.KEPT
