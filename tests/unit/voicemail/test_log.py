import json
from collections.abc import Iterator

import pytest
import structlog

from voicemail.log import configure


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()


def test_for_a_machine_a_record_is_one_json_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure("worker", human=False)
    structlog.get_logger().warning("Something\nhappened.", call="a1", seconds=2)
    said = capsys.readouterr()
    record = json.loads(said.err)
    assert said.out == "" and said.err.count("\n") == 1
    assert record | {"timestamp": ""} == {
        "event": "Something\nhappened.", "call": "a1", "seconds": 2, "level": "warning",
        "process": "worker", "timestamp": "",
    }  # fmt: skip
    assert record["timestamp"].endswith("Z")


def test_an_exception_is_within_its_record(capsys: pytest.CaptureFixture[str]) -> None:
    configure("worker", human=False)
    try:
        raise ValueError("of mine")
    except ValueError:
        structlog.get_logger().exception("It failed.")
    assert "ValueError: of mine" in json.loads(capsys.readouterr().err)["exception"]


def test_details_for_developers_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure("worker", human=False)
    structlog.get_logger().debug("A detail.")
    assert capsys.readouterr().err == ""


def test_for_a_terminal_a_record_is_a_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("node", human=True)
    structlog.get_logger().info("Started.", program="edge")
    said = capsys.readouterr().err
    assert "Started." in said and said.count("\n") == 1 and not said.startswith("{")
