"""The migration's text keeps the rules of replicated tables that need no database to see."""

import re
from pathlib import Path

import store
from store.replica import REPLICATED

SQL = (Path(store.__file__).parent / "migrations/versions/0001_store.sql").read_text()


def test_no_function_names_a_table_without_its_schema() -> None:
    bodies = re.findall(r"\$\$(.*?)\$\$", SQL, re.S)
    assert bodies
    tables = "|".join((*REPLICATED, "message_state", "outbox_open", "single_copy", "conflict_log", "fence"))
    for body in bodies:
        assert not re.findall(rf"(?:from|into|update|join)\s+(?:{tables})\b", body)


def test_a_waiting_function_never_notifies() -> None:
    for name in ("deposit", "sign_in_event"):
        body = SQL.split(f"create function public.{name}(")[1].split("end $$;")[0]
        assert "pg_notify" not in body
