-- Settings may be written once both nodes are subscribed to each other's: rows of a table that a
-- subscription does not know are left out without a word. A node tells this version when it is (told() in
-- voicemail/cluster/follower.py).

-- The hlc it was given, or a higher one when the row has seen a clock ahead of ours; null: not agreed yet.
create function public.put_setting(
  a_id uuid, a_owner uuid, a_kind text, a_name text, a_body jsonb, a_deleted boolean, a_hlc bigint,
  a_node smallint) returns bigint language plpgsql as $$
declare written bigint;
begin
  if (select schema < 4 from public.agreement) then return null; end if;
  insert into public.setting as s values (a_id, a_owner, a_kind, a_name, a_body, a_deleted, a_hlc, a_node)
  on conflict (id) do update set body = excluded.body, deleted = excluded.deleted,
    hlc = greatest(excluded.hlc, s.hlc + 1), node = excluded.node
  returning hlc into written;
  perform pg_notify('vm', 'setting');
  return written;
end $$;
