from pathlib import Path

from voicemail.cluster.roles import RULES, SERVICES, Status
from voicemail.cluster.rules_page import decisions, page, rule_rows, service_rows

DOCS = Path(__file__).parents[4] / "docs"


def test_the_page_in_docs_is_made_from_the_tables() -> None:
    assert (DOCS / "roles.md").read_text() == page(), "python -m voicemail.cluster.rules_page > docs/roles.md"


def test_the_rows_are_the_rules_in_order() -> None:
    rows = rule_rows()
    assert [row["Because"] for row in rows] == [rule.because for rule in RULES]
    assert rows[0]["From"] == "Deactivated" and rows[7]["From"] == "Primary"


def test_the_rows_of_services_say_where_each_runs() -> None:
    [calls] = [row for row in service_rows() if row["Service"] == "calls"]
    assert {status for status in Status if calls[status] == "yes"} == SERVICES["calls"]


def test_every_rule_decides_somewhere() -> None:
    assert {rule for _, rule in decisions()} == set(RULES)
