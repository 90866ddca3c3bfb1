"""The administrator's commands: `voicemail …`. Tables for people, `--json` for scripts."""

import sys

import structlog

from voicemail.cli.app import main_of
from voicemail.errors import VoicemailError

__all__ = ["main"]


def main() -> None:
    """Run a command; what is wrong is told on stderr in one line, without a traceback."""
    from sip.errors import SipError
    from store.errors import StoreError

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        main_of(sys.argv[1:])()
    except VoicemailError as error:
        sys.stderr.write(f"voicemail: {error}\n")
        sys.exit(1)
    except (StoreError, SipError) as error:  # a driver's text may have several lines
        sys.stderr.write(f"voicemail: {' '.join(str(error).split())}\n")
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"voicemail: {where}{error.strerror or error}\n")
        sys.exit(1)
