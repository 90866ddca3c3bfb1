"""What can go wrong below a conversation."""


class SipError(Exception):
    """Base of this package. `retry` says whether the same request may succeed later."""

    retry = False


class EngineError(SipError):
    """pjsua2 refused a command. Text only: a pj.Error's traceback would carry pjsua2 objects
    out of the thread that owns them, and collecting those elsewhere aborts the process."""


class RequestFailed(SipError):
    """An out-of-dialog request (NOTIFY, PUBLISH) got no 2xx answer.

    `code` is the SIP status, 408 where nobody answered (RFC 3261 section 8.1.3.1)."""

    def __init__(self, method: str, target: str, code: int) -> None:
        super().__init__(f"{method} {target}: {code}")
        self.code = code
        self.retry = code in (408, 480, 481, 500, 503, 504) or code == 0


class BadMessage(SipError):
    """A SIP header or body that cannot be read; says which one."""


class BadSound(SipError):
    """Not a sound that can be played: empty, damaged, or in a format we do not know; says why."""


class EdgeFailed(SipError):
    """The edge cannot be described by these settings, or its control socket did not answer."""

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry
