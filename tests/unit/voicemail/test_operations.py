"""docs/operations.md says what the code says; `python -m tests.unit.voicemail.test_operations` makes it
so."""

from pathlib import Path

from voicemail.cluster import alarm_kinds, metrics

PAGE = Path(__file__).parents[3] / "docs/operations.md"


TABLES = {"alarm_kinds": alarm_kinds.table(), "metrics": metrics.table()}


def made(text: str) -> str:
    """The page with its tables from the code."""
    for name, table in TABLES.items():
        begin = f"<!-- {name}: made by voicemail.cluster.{name}.table() -->\n"
        head, rest = text.split(begin)
        text = head + begin + table + rest[rest.index("<!-- end -->") :]
    return text


def test_the_page_has_the_tables_of_the_code() -> None:
    text = PAGE.read_text()
    assert made(text) == text
    assert "`no_connection_to_peer`" in text and "`voicemail_epoch`" in text


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text()))
