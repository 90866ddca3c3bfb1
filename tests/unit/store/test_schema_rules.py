"""The migration's text keeps the rules of replicated tables that need no database to see."""

import re
from pathlib import Path

import store
from store.features import SCHEMA, Feature, agreed, allowed
from store.replica import REPLICATED

FILES = sorted((Path(store.__file__).parent / "migrations/versions").glob("*.sql"))
SQL = "\n".join(file.read_text() for file in FILES)


def test_no_function_names_a_table_without_its_schema() -> None:
    bodies = re.findall(r"\$\$(.*?)\$\$", SQL, re.S)
    assert bodies
    tables = "|".join(
        (*REPLICATED, "message_state", "outbox_open", "single_copy", "conflict_log", "fence", "agreement")
    )
    for body in bodies:
        assert not re.findall(rf"(?:from|into|update|join)\s+(?:{tables})\b", body)


def test_a_waiting_function_never_notifies() -> None:
    for name in ("deposit", "sign_in_event"):
        body = SQL.rsplit(f"create function public.{name}(")[1].split("end $$;")[0]
        assert "pg_notify" not in body


def test_the_schemas_version_is_that_of_the_last_migration() -> None:
    assert int(FILES[-1].name[:4]) == SCHEMA
    assert max(Feature) <= SCHEMA


def test_a_feature_waits_for_the_older_node() -> None:
    assert not allowed(Feature.ALARM_MAIL, 2, [1])
    assert not allowed(Feature.ALARM_MAIL, 1, [2])
    assert allowed(Feature.ALARM_MAIL, 2, [2]) and allowed(Feature.ALARM_MAIL, 2, [3])
    assert allowed(Feature.ALARM_MAIL, 2, [])
    assert agreed(3, [2]) == 2
