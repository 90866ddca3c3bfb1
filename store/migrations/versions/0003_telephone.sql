-- Additive (docs/decisions/0007): what is new here is published when both nodes have it, and the new table
-- is written into when both are subscribed to it (0004, docs/decisions/0009).

-- ---------------------------------------------------------------- settings
create table public.setting (
  id uuid primary key,  -- made from owner, kind and name, so that both nodes make the same
  owner uuid,
  kind text not null,
  name text not null,
  body jsonb not null,
  deleted boolean not null default false,
  hlc bigint not null,
  node smallint not null);
create index setting_owner on public.setting (owner, kind) where not deleted;
create index setting_kind on public.setting (kind) where not deleted;

create function public.guard_setting() returns trigger language plpgsql as $$
begin
  if pg_trigger_depth() > 1 then return new; end if;
  insert into public.setting select new.*
  on conflict (id) do update set (owner, kind, name, body, deleted, hlc, node) =
    (excluded.owner, excluded.kind, excluded.name, excluded.body, excluded.deleted, excluded.hlc, excluded.node);
  return null;
end $$;
create trigger a_guard before insert on public.setting for each row execute function public.guard_setting();
alter table public.setting enable replica trigger a_guard;
create trigger last_writer_wins before update on public.setting
  for each row execute function public.last_writer_wins();
alter table public.setting enable always trigger last_writer_wins;
create trigger wake after insert or update on public.setting for each row execute function public.wake();
alter table public.setting enable replica trigger wake;

do $$ begin
  if exists (select 1 from pg_roles where rolname = 'vmrepl') then grant select on public.setting to vmrepl; end if;
end $$;

-- ---------------------------------------------------------------- messages
alter table public.message add column details jsonb not null default '{}';
alter table public.message add column deliver_at timestamptz;
alter table public.message add column audio_of uuid;  -- the message that holds the recording of this one
create index message_audio_of on public.message (audio_of) where audio_of is not null;
create index message_future on public.message (deliver_at) where deliver_at is not null;
-- No check on a replicated row's kind: on the other node it would stop everything behind that row.
alter table public.message_event drop constraint message_event_kind_check;
alter table public.message_state add column purged boolean not null default false;

-- Its recording is given up once no message is left that plays it. Rows of the log change here only, by
-- the same event on either node: updates of messages are not replicated.
create function public.give_up_audio(a_message uuid) returns void language plpgsql as $$
declare holder uuid;
begin
  select coalesce(audio_of, id) into holder from public.message where id = a_message;
  update public.message h set audio = '' where h.id = holder and not exists (
    select 1 from public.message m left join public.message_state s on s.message_id = m.id
     where (m.id = holder or m.audio_of = holder) and s.purged is not true);
end $$;

create or replace function public.fold_event() returns trigger language plpgsql as $$
declare zero constant uuid := '00000000-0000-0000-0000-000000000000';
begin
  insert into public.message_state (message_id) values (new.message_id) on conflict do nothing;
  if new.kind in ('read', 'unread') then
    update public.message_state set is_read = (new.kind = 'read'), read_hlc = new.hlc, read_by = new.id
     where message_id = new.message_id and (new.hlc, new.id) > (read_hlc, coalesce(read_by, zero));
  elsif new.kind in ('delete', 'undelete') then
    update public.message_state set deleted = (new.kind = 'delete'), del_hlc = new.hlc, del_by = new.id
     where message_id = new.message_id and (new.hlc, new.id) > (del_hlc, coalesce(del_by, zero));
  elsif new.kind = 'purge' then
    update public.message_state set purged = true where message_id = new.message_id;
    perform public.give_up_audio(new.message_id);
  end if;
  return null;
end $$;

-- An event may come before its message: one that is purged already comes without its recording.
create function public.purged_already() returns trigger language plpgsql as $$
begin
  if exists (select 1 from public.message_state where message_id = new.id and purged) then
    perform public.give_up_audio(new.id);
  end if;
  return null;
end $$;
create trigger purged_already after insert on public.message
  for each row execute function public.purged_already();
alter table public.message enable replica trigger purged_already;

create or replace view public.message_listed as
  select m.id, m.mailbox_id, m.caller, m.caller_name, m.recorded, m.seconds, m.urgent, m.cut_off, m.node,
         case when s.deleted then 'deleted' when s.is_read then 'saved' else 'new' end as folder,
         m.details, m.deliver_at,
         case when s.deleted then s.del_hlc when s.read_hlc > 0 then s.read_hlc
              else (extract(epoch from greatest(m.recorded, m.deliver_at)) * 1000000)::bigint end as since
    from public.message m left join public.message_state s on s.message_id = m.id
   where s.purged is not true;

-- As deposit(), for messages that have an envelope, and for any number of mailboxes: a_ids, a_boxes, a_lamps
-- and a_mails have one element each for every mailbox, the first message holds the recording.
-- Null: it cannot be kept as it is before both nodes have this schema.
create function public.send(
  a_ids uuid[], a_boxes uuid[], a_lamps uuid[], a_mails uuid[], a_node smallint, a_caller text,
  a_caller_name text, a_recorded timestamptz, a_seconds double precision, a_urgent boolean,
  a_cut_off boolean, a_call_id text, a_audio bytea, a_details jsonb, a_deliver_at timestamptz,
  a_lit boolean, a_wait boolean, a_replicated boolean,
  out repeated boolean, out demanded boolean) language plpgsql as $$
declare due jsonb := case when a_deliver_at is null then '{}' else jsonb_build_object('not_before', a_deliver_at) end;
begin
  if (select schema < 3 from public.agreement) then return; end if;
  demanded := a_wait and current_setting('synchronous_standby_names') <> '';
  perform set_config('synchronous_commit', case when a_wait then 'on' else 'local' end, true);
  insert into public.message (id, mailbox_id, node, caller, caller_name, recorded, seconds, urgent, cut_off,
    call_id, audio, details, deliver_at, audio_of)
  select to_.id, to_.box, a_node, a_caller, a_caller_name, a_recorded, a_seconds, a_urgent, a_cut_off, a_call_id,
    case when to_.n = 1 then a_audio else '' end, a_details, a_deliver_at,
    case when to_.n = 1 then null else a_ids[1] end
    from unnest(a_ids, a_boxes) with ordinality as to_ (id, box, n) on conflict (id) do nothing;
  repeated := not found;
  if a_replicated and not demanded then
    insert into public.single_copy select unnest(a_ids), null on conflict do nothing;
  end if;
  if repeated then
    perform pg_logical_emit_message(true, 'vm', '');
    return;
  end if;
  if not a_lit then return; end if;
  insert into public.outbox
  select w.work, a_node, 'lamp', w.box, w.id, clock_timestamp(), due
    from unnest(a_lamps, a_boxes, a_ids) as w (work, box, id)
  on conflict do nothing;
  insert into public.outbox
  select w.work, a_node, 'mail', w.box, w.id, clock_timestamp(), due
    from unnest(a_mails, a_boxes, a_ids) as w (work, box, id)
    join public.user_account u on u.id = w.box and u.mail <> '' and not u.deleted
  on conflict do nothing;
end $$;

create or replace function public.mark(
  a_id uuid, a_message uuid, a_node smallint, a_hlc bigint, a_kind text, a_lamp uuid) returns bigint
  language plpgsql as $$
declare box uuid; at_least bigint;
begin
  select mailbox_id into box from public.message_listed where id = a_message;
  if not found then return null; end if;
  if a_kind = 'purge' and (select schema < 3 from public.agreement) then return -1; end if;
  select greatest(read_hlc, del_hlc) + 1 into at_least from public.message_state where message_id = a_message;
  at_least := greatest(a_hlc, at_least);
  insert into public.message_event values (a_id, a_message, a_node, at_least, a_kind) on conflict do nothing;
  insert into public.outbox values (a_lamp, a_node, 'lamp', box, a_message, clock_timestamp())
    on conflict do nothing;
  perform pg_notify('vm', 'message_event');
  perform pg_notify('vm', 'outbox');
  return at_least;
end $$;

-- ---------------------------------------------------------------- work for later
create or replace function public.open_work() returns trigger language plpgsql as $$
begin
  if not exists (select 1 from public.outbox_done where outbox_id = new.id) then
    insert into public.outbox_open (id, kind, mailbox_id, message_id, created, payload, not_before)
    values (new.id, new.kind, new.mailbox_id, new.message_id, new.created, new.payload,
      coalesce((new.payload->>'not_before')::timestamptz, '-infinity'))
    on conflict do nothing;
  end if;
  return null;
end $$;
drop index public.outbox_open_postponed;
create index outbox_open_postponed on public.outbox_open (not_before) where not_before > '-infinity';

-- ---------------------------------------------------------------- what is published
create or replace function public.publish(a_schema integer) returns void language plpgsql as $$
begin
  if not exists (select 1 from pg_catalog.pg_publication where pubname = 'vm_log') then return; end if;
  if a_schema < 2 then
    alter publication vm_log set table
      public.message (id, mailbox_id, node, caller, caller_name, recorded, seconds, urgent, cut_off, call_id, audio),
      public.message_event, public.outbox (id, node, kind, mailbox_id, message_id, created),
      public.outbox_done, public.sign_in_attempt;
  elsif a_schema < 3 then
    alter publication vm_log set table
      public.message (id, mailbox_id, node, caller, caller_name, recorded, seconds, urgent, cut_off, call_id, audio),
      public.message_event, public.outbox (id, node, kind, mailbox_id, message_id, created, payload),
      public.outbox_done, public.sign_in_attempt;
  else
    alter publication vm_log set table public.message, public.message_event,
      public.outbox (id, node, kind, mailbox_id, message_id, created, payload),
      public.outbox_done, public.sign_in_attempt;
    alter publication vm_set set table public.user_account, public.greeting, public.setting;
  end if;
end $$;
select public.publish((select schema from public.agreement));
