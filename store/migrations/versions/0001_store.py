"""The store's first schema. The SQL beside it says why it is as it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import op

revision = "0001"
down_revision = None

LOGS = ("message", "message_event", "outbox", "outbox_done", "sign_in_attempt")
SETTINGS = {
    "user_account": "extension, name, mail, attach, pin_hash, language, lamps, deleted, hlc, node",
    "greeting": "user_id, kind, audio, deleted, hlc, node",
}

# Static SQL in a function of each table's own: its plan is cached, which an EXECUTE's would not be.
LOG_GUARD = """
create function public.guard_{table}() returns trigger language plpgsql as $$
begin
  if exists (select 1 from public.{table} where id = new.id) then return null; end if;
  return new;
end $$;
create trigger a_guard before insert on public.{table} for each row execute function public.guard_{table}();
alter table public.{table} enable replica trigger a_guard;
"""

# The same key made on both sides, perhaps at this very moment: the guard inserts by itself, so that it
# waits for a local writer instead of failing, and last_writer_wins decides.
SETTINGS_GUARD = """
create function public.guard_{table}() returns trigger language plpgsql as $$
begin
  if pg_trigger_depth() > 1 then return new; end if;
  insert into public.{table} select new.*
  on conflict (id) do update set ({columns}) = ({excluded});
  return null;
end $$;
create trigger a_guard before insert on public.{table} for each row execute function public.guard_{table}();
alter table public.{table} enable replica trigger a_guard;
create trigger last_writer_wins before update on public.{table}
  for each row execute function public.last_writer_wins();
alter table public.{table} enable always trigger last_writer_wins;
"""

# Rows of the peer wake this node's listeners; a local writer notifies by itself, after its commit.
WAKE = """
create trigger wake after insert or update on public.{table} for each row execute function public.wake();
alter table public.{table} enable replica trigger wake;
"""

# Not on somebody else's PostgreSQL: that one is shared by the nodes instead of kept in step.
PUBLICATIONS = """
do $$ begin
  if current_setting('wal_level') = 'logical'
     and has_database_privilege(current_database(), 'create') then
    create publication vm_log for table {logs} with (publish = 'insert');
    create publication vm_set for table {settings} with (publish = 'insert, update');
  end if;
end $$;
"""


def upgrade() -> None:
    """On the raw connection, since the SQL holds many statements and percent signs."""
    run: Callable[[str], Any] = op.get_bind().connection.driver_connection.execute  # type: ignore[union-attr]
    run(Path(__file__).with_suffix(".sql").read_text())
    for table in LOGS:
        run(LOG_GUARD.format(table=table))
    for table, columns in SETTINGS.items():
        excluded = ", ".join(f"excluded.{name}" for name in columns.split(", "))
        run(SETTINGS_GUARD.format(table=table, columns=columns, excluded=excluded))
    for table in (*LOGS, *SETTINGS):
        run(WAKE.format(table=table))
    run(PUBLICATIONS.format(logs=", ".join(LOGS), settings=", ".join(SETTINGS)))
