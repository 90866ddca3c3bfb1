-- Additive (docs/decisions/0007). The rows are as before; a node that does not know their kind leaves them.

-- Whether new messages are announced to this user in any other way than by a lamp.
create function public.is_told(a_user uuid) returns boolean language sql stable as $$
  select exists (select 1 from public.user_account where id = a_user and mail <> '' and not deleted)
      or exists (select 1 from public.setting where owner = a_user and kind = 'device' and not deleted)
$$;

create or replace function public.deposit(
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
  if public.is_told(a_mailbox) then
    insert into public.outbox values (a_mail, a_node, 'mail', a_mailbox, a_id, clock_timestamp());
  end if;
end $$;

create or replace function public.send(
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
   where public.is_told(w.box)
  on conflict do nothing;
end $$;

-- Work as JSON objects with id, kind, mailbox_id, message_id, payload. Repeating it adds nothing. False: not
-- before both nodes take payloads.
create function public.add_work(a_rows jsonb, a_node smallint) returns boolean language plpgsql as $$
begin
  if (select schema < 3 from public.agreement) then return false; end if;
  insert into public.outbox (id, node, kind, mailbox_id, message_id, created, payload)
  select w.id, a_node, w.kind, w.mailbox_id, w.message_id, clock_timestamp(), w.payload
    from jsonb_to_recordset(a_rows)
      as w (id uuid, kind text, mailbox_id uuid, message_id uuid, payload jsonb)
  on conflict do nothing;
  perform pg_notify('vm', 'outbox');
  return true;
end $$;

-- An administrator gives a piece of work up, whoever is Primary. False: it was done already, or never there.
create function public.drop_work(a_id uuid, a_outbox uuid, a_node smallint, a_result text) returns boolean
  language plpgsql as $$
begin
  insert into public.outbox_done
  select a_id, a_outbox, a_node, a_result, clock_timestamp()
   where exists (select 1 from public.outbox where id = a_outbox)
     and not exists (select 1 from public.outbox_done where outbox_id = a_outbox);
  if not found then return false; end if;
  perform pg_notify('vm', 'outbox_done');
  return true;
end $$;

-- Work and messages whose ids are made of what they are for (a receipt, one telling of one device, a mail that
-- came to both nodes) may be written on both sides of a cut. The earlier row is kept, on both.
create or replace function public.guard_outbox() returns trigger language plpgsql as $$
declare present record;
begin
  select created, node into present from public.outbox where id = new.id;
  if not found then return new; end if;
  if (new.created, new.node) >= (present.created, present.node) then return null; end if;
  delete from public.outbox where id = new.id;
  update public.outbox_open set created = new.created, payload = new.payload where id = new.id;
  return new;
end $$;

create or replace function public.guard_message() returns trigger language plpgsql as $$
declare present record;
begin
  select recorded, node into present from public.message where id = new.id;
  if not found then return new; end if;
  if (new.recorded, new.node) >= (present.recorded, present.node) then return null; end if;
  delete from public.message where id = new.id;
  return new;
end $$;

-- Settings of the system by name, by number, and by how they are spelled on a telephone's keys: contacts on
-- other systems are very many, and a caller waits.
create index setting_name on public.setting (kind, name) where owner is null and not deleted;
create index setting_extension on public.setting ((body->>'extension')) where owner is null and not deleted;
create index setting_keys on public.setting ((body->'keys'->>0) collate "C") where owner is null and not deleted;
create index setting_keys_too on public.setting ((body->'keys'->>1) collate "C")
  where owner is null and not deleted;
