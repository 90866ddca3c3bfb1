"""Brings a database to the schema this release needs, and names what is replicated."""

import structlog
from psycopg import OperationalError, connect

from store.errors import Unavailable

log = structlog.get_logger()

MIGRATIONS = "store:migrations"
LOCK = 0x766D_7363  # any constant: "vmsc"


def upgrade(conninfo: str, to: str = "head") -> str:
    """Run the migrations that are missing, all in one transaction, and return the schema's revision: four
    digits, the version that nodes tell each other (features.py). `to`: an earlier one, for tests.

    Two nodes on one external database may call it at once: the second waits for the first.
    Raises Unavailable. Blocks for up to some seconds.
    """
    # Imported here: it takes longer than all the rest, and every command line would wait for it.
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(conninfo), poolclass=NullPool)
    settings = Config()
    settings.set_main_option("script_location", MIGRATIONS)
    try:
        with engine.begin() as connection:
            connection.execute(text(f"select pg_advisory_xact_lock({LOCK})"))
            settings.attributes["connection"] = connection
            command.upgrade(settings, to)
            revision = str(connection.execute(text("select version_num from alembic_version")).scalar_one())
    except OperationalError as refused:
        raise Unavailable(str(refused)) from refused
    log.info("The database has its schema.", revision=revision)
    return revision
