"""This machine's time."""

from datetime import datetime


def local_time() -> datetime:
    """Now, in this machine's time zone."""
    return datetime.now().astimezone()
