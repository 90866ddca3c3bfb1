-- Two kinds of tables are replicated, both ways, by PostgreSQL's logical replication:
--   logs      rows are only inserted; state is derived from them by (hlc, id)
--   settings  rows carry (hlc, node); the newer wins, by trigger
-- Their rules: primary key id uuid made by the application; no foreign key (not checked on apply, and
-- an event may come before its message); no other unique constraint (a violation on apply stops
-- replication both ways); trigger functions name the schema (apply has an empty search_path), never
-- raise, and touch no row that a waiting deposit of the other node may touch.
-- Everything else is local to a node and derived, or about this node alone.

-- ---------------------------------------------------------------- logs
create table public.message (
  id uuid primary key,
  mailbox_id uuid not null,
  node smallint not null,
  caller text not null,
  caller_name text not null,
  recorded timestamptz not null,
  seconds double precision not null,
  urgent boolean not null,
  cut_off boolean not null,
  call_id text not null,
  audio bytea not null);
alter table public.message alter audio set storage external;  -- speech does not compress; ranges are read
create index message_mailbox on public.message (mailbox_id, id) include (urgent);

create table public.message_event (
  id uuid primary key,
  message_id uuid not null,
  node smallint not null,
  hlc bigint not null,
  kind text not null check (kind in ('read', 'unread', 'delete', 'undelete')));
create index message_event_message on public.message_event (message_id);

create table public.outbox (
  id uuid primary key,
  node smallint not null,
  kind text not null check (kind in ('lamp', 'mail')),
  mailbox_id uuid not null,
  message_id uuid,
  created timestamptz not null);

-- An id of its own, not the outbox row's: both nodes may do the work in a split, each with its result.
create table public.outbox_done (
  id uuid primary key,
  outbox_id uuid not null,
  node smallint not null,
  result text not null,
  at timestamptz not null);
create index outbox_done_outbox on public.outbox_done (outbox_id);

create table public.sign_in_attempt (
  id uuid primary key,
  user_id uuid not null,
  node smallint not null,
  hlc bigint not null,
  at timestamptz not null,
  kind text not null check (kind in ('begin', 'success', 'unlock')));
create index sign_in_attempt_user on public.sign_in_attempt (user_id, hlc);

-- ---------------------------------------------------------------- settings
-- extension is deliberately not unique here: the adding node checks it; when both nodes gave it away in
-- a split, both users stay and the lower id owns it (readers take the lowest), until an operator changes it.
create table public.user_account (
  id uuid primary key,
  extension text not null,
  name text not null,
  mail text not null,
  attach boolean not null,
  pin_hash text not null,
  language text not null,
  lamps text[] not null,
  deleted boolean not null default false,
  hlc bigint not null,
  node smallint not null);
create index user_account_extension on public.user_account (extension, id) where not deleted;

create table public.greeting (
  id uuid primary key,  -- made from user and kind, so that both nodes make the same
  user_id uuid not null,
  kind text not null,
  audio bytea not null,
  deleted boolean not null default false,
  hlc bigint not null,
  node smallint not null);
alter table public.greeting alter audio set storage external;

-- ---------------------------------------------------------------- local
create table public.conflict_log (at timestamptz not null default now(), tbl text not null, lost jsonb not null);

create table public.node_identity (one boolean primary key default true check (one), node smallint not null);

create table public.fence (one boolean primary key default true check (one), epoch bigint not null);
insert into public.fence (epoch) values (0);

-- Of messages which an event has touched. None is written with the message: a deposit that waits for the
-- peer must hold no row which applying the peer's events would need.
create table public.message_state (
  message_id uuid primary key,
  is_read boolean not null default false, read_hlc bigint not null default 0, read_by uuid,
  deleted boolean not null default false, del_hlc bigint not null default 0, del_by uuid);

-- Work not done yet, with what this node knows of its tries. A row may outlive its outbox_done for a
-- moment (the deposit not yet visible when the peer's result is applied): readers check both.
create table public.outbox_open (
  id uuid primary key,
  kind text not null,
  mailbox_id uuid not null,
  message_id uuid,
  created timestamptz not null,
  attempts integer not null default 0,
  not_before timestamptz not null default '-infinity',
  why text not null default '');
create index outbox_open_oldest on public.outbox_open (created, id);
create index outbox_open_postponed on public.outbox_open (not_before) where attempts > 0;

-- Messages not known to be on the peer's disk. lsn: the peer has them once it has flushed so far;
-- null until the role manager's next look, since a transaction cannot know its own commit's place.
create table public.single_copy (message_id uuid primary key, lsn pg_lsn);

-- ---------------------------------------------------------------- triggers
create function public.wake() returns trigger language plpgsql as $$
begin
  perform pg_notify('vm', tg_table_name);
  return null;
end $$;

create function public.last_writer_wins() returns trigger language plpgsql as $$
begin
  if (new.hlc, new.node) > (old.hlc, old.node) then return new; end if;
  insert into public.conflict_log(tbl, lost) values (tg_table_name, to_jsonb(new) - 'audio' - 'pin_hash');
  return null;
end $$;

create function public.fold_event() returns trigger language plpgsql as $$
declare zero constant uuid := '00000000-0000-0000-0000-000000000000';
begin
  insert into public.message_state (message_id) values (new.message_id) on conflict do nothing;
  if new.kind in ('read', 'unread') then
    update public.message_state set is_read = (new.kind = 'read'), read_hlc = new.hlc, read_by = new.id
     where message_id = new.message_id and (new.hlc, new.id) > (read_hlc, coalesce(read_by, zero));
  else
    update public.message_state set deleted = (new.kind = 'delete'), del_hlc = new.hlc, del_by = new.id
     where message_id = new.message_id and (new.hlc, new.id) > (del_hlc, coalesce(del_by, zero));
  end if;
  return null;
end $$;
create trigger fold after insert on public.message_event for each row execute function public.fold_event();
alter table public.message_event enable always trigger fold;

create function public.open_work() returns trigger language plpgsql as $$
begin
  if not exists (select 1 from public.outbox_done where outbox_id = new.id) then
    insert into public.outbox_open (id, kind, mailbox_id, message_id, created)
    values (new.id, new.kind, new.mailbox_id, new.message_id, new.created) on conflict do nothing;
  end if;
  return null;
end $$;
create trigger open_work after insert on public.outbox for each row execute function public.open_work();
alter table public.outbox enable always trigger open_work;

create function public.close_work() returns trigger language plpgsql as $$
begin
  delete from public.outbox_open where id = new.outbox_id;
  return null;
end $$;
create trigger close_work after insert on public.outbox_done for each row execute function public.close_work();
alter table public.outbox_done enable always trigger close_work;

-- Two users with one extension, both made in a split: tell the operator.
create function public.tell_shared_extension() returns trigger language plpgsql as $$
begin
  if not new.deleted and exists (select 1 from public.user_account u
      where u.extension = new.extension and u.id <> new.id and not u.deleted) then
    insert into public.conflict_log(tbl, lost)
    values ('user_account', jsonb_build_object('shared extension', new.extension, 'id', new.id));
  end if;
  return null;
end $$;
create trigger tell_shared_extension after insert or update on public.user_account
  for each row execute function public.tell_shared_extension();
alter table public.user_account enable replica trigger tell_shared_extension;

-- ---------------------------------------------------------------- what the application calls
-- One statement, one round trip, each. deposit() and sign_in_begin() make their own transaction's commit
-- wait for the peer; nothing may notify in them (a deadlock across nodes which PostgreSQL cannot see).

create function public.deposit(
  a_id uuid, a_mailbox uuid, a_node smallint, a_caller text, a_caller_name text, a_recorded timestamptz,
  a_seconds double precision, a_urgent boolean, a_cut_off boolean, a_call_id text, a_audio bytea,
  a_lamp uuid, a_mail uuid, a_wait boolean, a_replicated boolean,
  out repeated boolean, out demanded boolean) language plpgsql as $$
begin
  demanded := a_wait and current_setting('synchronous_standby_names') <> '';
  perform set_config('synchronous_commit', case when a_wait then 'on' else 'local' end, true);
  insert into public.message values (a_id, a_mailbox, a_node, a_caller, a_caller_name, a_recorded,
    a_seconds, a_urgent, a_cut_off, a_call_id, a_audio) on conflict (id) do nothing;
  repeated := not found;
  if a_replicated and not demanded then
    insert into public.single_copy values (a_id, null) on conflict do nothing;
  end if;
  if repeated then
    -- Nothing written would mean nothing to wait for: this makes the commit wait behind the first one.
    perform pg_logical_emit_message(true, 'vm', '');
    return;
  end if;
  insert into public.outbox values (a_lamp, a_node, 'lamp', a_mailbox, a_id, clock_timestamp());
  if exists (select 1 from public.user_account where id = a_mailbox and mail <> '' and not deleted) then
    insert into public.outbox values (a_mail, a_node, 'mail', a_mailbox, a_id, clock_timestamp());
  end if;
end $$;

-- The hlc it was given, or a higher one when the message has seen a clock ahead of ours; null: no message.
create function public.mark(
  a_id uuid, a_message uuid, a_node smallint, a_hlc bigint, a_kind text, a_lamp uuid) returns bigint
  language plpgsql as $$
declare box uuid; at_least bigint;
begin
  select mailbox_id into box from public.message where id = a_message;
  if not found then return null; end if;
  select greatest(read_hlc, del_hlc) + 1 into at_least from public.message_state where message_id = a_message;
  at_least := greatest(a_hlc, at_least);
  insert into public.message_event values (a_id, a_message, a_node, at_least, a_kind) on conflict do nothing;
  insert into public.outbox values (a_lamp, a_node, 'lamp', box, a_message, clock_timestamp())
    on conflict do nothing;
  perform pg_notify('vm', 'message_event');
  perform pg_notify('vm', 'outbox');
  return at_least;
end $$;

create function public.sign_in_event(
  a_id uuid, a_user uuid, a_node smallint, a_hlc bigint, a_at timestamptz, a_kind text, a_wait boolean)
  returns bigint language plpgsql as $$
declare at_least bigint;
begin
  perform set_config('synchronous_commit', case when a_wait then 'on' else 'local' end, true);
  select max(hlc) + 1 into at_least from public.sign_in_attempt where user_id = a_user;
  at_least := greatest(a_hlc, at_least);
  insert into public.sign_in_attempt values (a_id, a_user, a_node, at_least, a_at, a_kind)
    on conflict do nothing;
  return at_least;
end $$;

-- Shows an epoch; false when a newer one has been shown.
create function public.epoch_holds(a_epoch bigint) returns boolean language plpgsql as $$
begin
  update public.fence set epoch = a_epoch where epoch < a_epoch;
  return (select epoch = a_epoch from public.fence);
end $$;

create function public.finish_work(
  a_id uuid, a_outbox uuid, a_node smallint, a_result text, a_epoch bigint) returns boolean
  language plpgsql as $$
begin
  if not public.epoch_holds(a_epoch) then return false; end if;
  insert into public.outbox_done
  select a_id, a_outbox, a_node, a_result, clock_timestamp()
   where not exists (select 1 from public.outbox_done where outbox_id = a_outbox);
  perform pg_notify('vm', 'outbox_done');
  return true;
end $$;

create view public.outbox_due as
  select o.* from public.outbox_open o
   where not exists (select 1 from public.outbox_done d where d.outbox_id = o.id);

create view public.message_listed as
  select m.id, m.mailbox_id, m.caller, m.caller_name, m.recorded, m.seconds, m.urgent, m.cut_off, m.node,
         case when s.deleted then 'deleted' when s.is_read then 'saved' else 'new' end as folder
    from public.message m left join public.message_state s on s.message_id = m.id;

-- ---------------------------------------------------------------- access of the peer's link
do $$
begin
  if exists (select 1 from pg_roles where rolname = 'vmrepl') then
    grant select on public.message, public.message_event, public.outbox, public.outbox_done,
      public.sign_in_attempt, public.user_account, public.greeting to vmrepl;
  end if;
end $$;
