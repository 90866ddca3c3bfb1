"""Settings are written (docs/decisions/0009)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """On the raw connection, since the SQL holds many statements and percent signs."""
    run: Callable[[str], Any] = op.get_bind().connection.driver_connection.execute  # type: ignore[union-attr]
    run(Path(__file__).with_suffix(".sql").read_text())
