"""All that is wanted of a user who signs in, and the attempts that count, in one statement."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from store.connections import Row
from store.dispatch import HELD
from store.lockout import SignInEvent
from store.model import REPORTS, SYSTEM, Counts, Setting, setting_id
from store.signing_in import Glance
from store.users import greeting_id, user_of

NAME = "name"
"""The kind of a recorded name."""
OPTIONS = ("user_options", "options")
"""Kind and name of the setting with a user's options."""

# From the last success or unlock before the given hlc on; those carry a time for people to read only.
# One row for each of them, or one without any, each with the glance: they are few.
GLANCE = f"""
select e.id, e.hlc, e.at, e.kind, g.*
  from (select 1) one
  left join (
    select id, hlc, at, kind from public.sign_in_attempt
     where user_id = %(counted)s and (kind <> 'begin' or at > %(since)s)
       and hlc > coalesce((select max(hlc) from public.sign_in_attempt
                            where user_id = %(counted)s and kind <> 'begin' and hlc < %(before)s), 0)
    ) e on true
  left join (
    select u.id, u.extension, u.name, u.mail, u.attach, u.pin_hash, u.language, u.lamps,
           o.body::text, r.hlc || '-' || r.node,
           m.size, m.new, m.old, m.new_urgent, m.old_urgent, m.reports,
           exists (select 1 from public.message b left join public.message_state s on s.message_id = b.id
                    where b.mailbox_id = %(system)s and s.deleted is not true and s.purged is not true)
      from public.user_account u
      left join public.setting o on o.id = %(options)s and not o.deleted
      left join public.greeting r on r.id = %(name)s and not r.deleted
      cross join lateral (
        select coalesce(sum(size) filter (where not purged), 0)::bigint as size,
               count(*) filter (where shown and not heard) as new,
               count(*) filter (where shown and heard) as old,
               count(*) filter (where shown and not heard and urgent) as new_urgent,
               count(*) filter (where shown and heard and urgent) as old_urgent,
               count(*) filter (where shown and not heard and kind = any(%(reports)s)) as reports
          from (
            select m.urgent, m.details->>'kind' as kind, octet_length(coalesce(h.audio, m.audio)) as size,
                   s.is_read is true as heard, s.purged is true as purged,
                   s.deleted is not true and s.purged is not true
                     and (m.deliver_at is null or m.deliver_at <= now())
                     and m.details->>'kind' is distinct from 'broadcast' as shown
              from public.message m left join public.message_state s on s.message_id = m.id
              left join public.message h on h.id = m.audio_of
             where m.mailbox_id = u.id and {HELD}) each) m
     where u.id = %(user)s and not u.deleted) g on true"""


def values(counted: UUID, user: UUID, since: datetime, before: int) -> Mapping[str, object]:
    """For GLANCE. Attempts are counted under `counted`, which need not be the user's id."""
    return {
        "counted": counted,
        "since": since,
        "before": before,
        "user": user,
        "options": setting_id(*OPTIONS, user),
        "name": greeting_id(user, NAME),
        "system": SYSTEM,
        "reports": [kind.value for kind in REPORTS],
    }


def events(rows: Sequence[Row]) -> list[SignInEvent]:
    """The attempts of what GLANCE gave."""
    return [SignInEvent(*row[:4]) for row in rows if row[0]]


def glance(rows: Sequence[Row]) -> Glance | None:
    """The user of what GLANCE gave; None when there is none."""
    of = rows[0][4:]
    if of[0] is None:
        return None
    user = user_of(of)
    options = None if of[8] is None else Setting(*OPTIONS, of[8], user.id)
    size, *counts, reports, broadcasts = of[10:]
    return Glance(user, options, of[9] or "", size, Counts(*counts), reports, broadcasts)
