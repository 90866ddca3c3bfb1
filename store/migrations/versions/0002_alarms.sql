-- Additive. A node brings its own database here when it starts with the new release; the other node may
-- still have 0001, where this column and this kind would stop replication. So nothing new is published
-- before both have it: publish() lists the columns that the agreed version knows.

-- No check on a replicated row's kind: on the other node it would stop everything behind that row.
alter table public.outbox drop constraint outbox_kind_check;
alter table public.outbox add column payload jsonb not null default '{}';
create index outbox_alarm on public.outbox (created) where kind = 'alarm';
alter table public.outbox_open add column payload jsonb not null default '{}';

create or replace function public.open_work() returns trigger language plpgsql as $$
begin
  if not exists (select 1 from public.outbox_done where outbox_id = new.id) then
    insert into public.outbox_open (id, kind, mailbox_id, message_id, created, payload)
    values (new.id, new.kind, new.mailbox_id, new.message_id, new.created, new.payload)
    on conflict do nothing;
  end if;
  return null;
end $$;

create or replace view public.outbox_due as
  select o.* from public.outbox_open o
   where not exists (select 1 from public.outbox_done d where d.outbox_id = o.id);

-- The same row once more, as after copying what a lost slot had missed, is no conflict.
create or replace function public.last_writer_wins() returns trigger language plpgsql as $$
begin
  if (new.hlc, new.node) > (old.hlc, old.node) then return new; end if;
  if (new.hlc, new.node) < (old.hlc, old.node) then
    insert into public.conflict_log(tbl, lost)
    values (tg_table_name, to_jsonb(new) - 'audio' - 'pin_hash');
  end if;
  return null;
end $$;

-- Local: the newest version of the schema that both nodes are known to have. It never goes back.
create table public.agreement (one boolean primary key default true check (one), schema integer not null);
insert into public.agreement (schema) values (1);

-- Later migrations replace it. Without publications (an external database) there is nothing to list.
create function public.publish(a_schema integer) returns void language plpgsql as $$
begin
  if not exists (select 1 from pg_catalog.pg_publication where pubname = 'vm_log') then return; end if;
  if a_schema < 2 then
    alter publication vm_log set table public.message, public.message_event,
      public.outbox (id, node, kind, mailbox_id, message_id, created),
      public.outbox_done, public.sign_in_attempt;
  else
    alter publication vm_log set table public.message, public.message_event,
      public.outbox (id, node, kind, mailbox_id, message_id, created, payload),
      public.outbox_done, public.sign_in_attempt;
  end if;
end $$;
select public.publish(1);

-- Both nodes have `a_schema`: publish what it brought. What is agreed now.
create function public.agree(a_schema integer) returns integer language plpgsql as $$
begin
  update public.agreement set schema = a_schema where schema < a_schema;
  if found then perform public.publish(a_schema); end if;
  return (select schema from public.agreement);
end $$;

-- A mail to the administrator: 'written', or why not. That an alarm stands is told once an hour at most, by
-- each node; that it is over, when it was told last that it stands. Checked here, in the transaction that
-- writes, and against the rows: a node that starts again and again sends no more for it.
create function public.write_alarm(a_id uuid, a_node smallint, a_payload jsonb, a_created timestamptz)
  returns text language plpgsql as $$
declare last jsonb;
begin
  if (select schema < 2 from public.agreement) then return 'not yet'; end if;
  select payload into last from public.outbox
   where kind = 'alarm' and node = a_node and payload->>'alarm' = a_payload->>'alarm'
   order by created desc, id desc limit 1;
  if a_payload->>'state' = 'cleared' then
    if last is null or last->>'state' = 'cleared' then return 'nothing to clear'; end if;
  elsif exists (select 1 from public.outbox
     where kind = 'alarm' and node = a_node and payload->>'alarm' = a_payload->>'alarm'
       and payload->>'state' <> 'cleared' and created > a_created - interval '1 hour') then
    return 'told already';
  end if;
  insert into public.outbox values
    (a_id, a_node, 'alarm', '00000000-0000-0000-0000-000000000000', null, a_created, a_payload)
    on conflict do nothing;
  perform pg_notify('vm', 'outbox');
  return 'written';
end $$;
