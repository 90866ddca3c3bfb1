"""The schema in the database keeps the rules without which two-way replication stops or diverges."""

import threading

import psycopg
import pytest

from store.features import SCHEMA
from store.replica import REPLICATED
from store.schema import upgrade
from tests.fakes.postgres import RunningServer, copied_database

LOGS = ("message", "message_event", "outbox", "outbox_done", "sign_in_attempt")
SETTINGS = ("user_account", "greeting", "setting")


@pytest.fixture
def database(store_dsn: str) -> psycopg.Connection:
    return psycopg.connect(store_dsn, autocommit=True)


@pytest.mark.parametrize("table", REPLICATED)
def test_the_only_unique_key_is_an_id_made_by_the_application(
    database: psycopg.Connection, table: str
) -> None:
    keys = database.execute(
        "select a.attname, format_type(a.atttypid, null), d.adbin is null, x.indisprimary"
        " from pg_index x join pg_attribute a on a.attrelid = x.indrelid and a.attnum = any(x.indkey)"
        " left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum"
        " where x.indrelid = %s::regclass and x.indisunique",
        (f"public.{table}",),
    ).fetchall()
    assert keys == [("id", "uuid", True, True)]


@pytest.mark.parametrize("table", REPLICATED)
def test_a_replicated_table_has_its_guards_and_no_foreign_key(
    database: psycopg.Connection, table: str
) -> None:
    triggers: dict[str, str] = dict(
        database.execute(
            "select tgname, tgenabled::text from pg_trigger"
            " where tgrelid = %s::regclass and not tgisinternal",
            (f"public.{table}",),
        ).fetchall()
    )
    assert triggers["a_guard"] == triggers["wake"] == "R"
    assert all(how in ("A", "R") for how in triggers.values())
    if table in SETTINGS:
        assert triggers["last_writer_wins"] == "A"
    [[foreign]] = database.execute(
        "select count(*) from pg_constraint where contype in ('f', 'x') and conrelid = %s::regclass",
        (f"public.{table}",),
    ).fetchall()
    assert foreign == 0


def test_logs_publish_inserts_and_settings_updates_too(database: psycopg.Connection) -> None:
    database.execute("select public.agree(%s)", (SCHEMA,))
    published = database.execute(
        "select p.pubname, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate,"
        " array_agg(t.tablename::text order by t.tablename) from pg_publication p"
        " join pg_publication_tables t using (pubname) group by 1, 2, 3, 4, 5 order by 1"
    ).fetchall()
    assert published == [
        ("vm_log", True, False, False, False, sorted(LOGS)),
        ("vm_set", True, True, False, False, sorted(SETTINGS)),
    ]
    assert sorted(REPLICATED) == sorted(LOGS + SETTINGS)


def test_replicated_columns_take_nothing_from_a_sequence(database: psycopg.Connection) -> None:
    assert database.execute("select relname from pg_class where relkind = 'S'").fetchall() == []


def test_two_nodes_may_upgrade_one_external_database_at_once(postgres_server: RunningServer) -> None:
    with copied_database(postgres_server, template="template0") as conninfo:
        revisions: list[str] = []
        threads = [threading.Thread(target=lambda: revisions.append(upgrade(conninfo))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(revisions) == 3
        assert upgrade(conninfo) == revisions[0]


def test_an_older_change_is_listed_as_lost_but_not_the_same_row_once_more(
    database: psycopg.Connection,
) -> None:
    [[box]] = database.execute(
        "insert into user_account (id, extension, name, mail, attach, pin_hash, language, lamps, hlc, node)"
        " values (gen_random_uuid(), '1001', 'new', '', true, '', 'en', '{}', 10, 2) returning id"
    ).fetchall()
    again = "update user_account set name = 'old', hlc = %s, node = %s where id = %s"
    for hlc, node, lost in ((10, 2, 0), (10, 1, 1), (9, 2, 2)):
        database.execute(again, (hlc, node, box))
        [[listed]] = database.execute("select count(*) from conflict_log").fetchall()
        assert listed == lost
    assert database.execute("select name from user_account").fetchall() == [("new",)]
