"""Work that comes from elsewhere than a deposit, and devices that are told of messages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """On the raw connection, since the SQL holds many statements and percent signs."""
    run: Callable[[str], Any] = op.get_bind().connection.driver_connection.execute  # type: ignore[union-attr]
    run(Path(__file__).with_suffix(".sql").read_text())
