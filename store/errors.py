"""What can go wrong in the store."""


class StoreError(Exception):
    """Base of this package. `retry` says whether the same call may succeed later."""

    retry = False


class Unavailable(StoreError):
    """The database does not answer: it is starting, restarting, or gone."""

    retry = True


class Conflict(StoreError):
    """The change contradicts what is there (an extension in use, a newer setting)."""


class NotFound(StoreError):
    """No such user, mailbox or message; says which."""


class NotYet(StoreError):
    """The other node's release is older, and could not take it: once both are upgraded, it works."""

    retry = True


class ServerFailed(StoreError):
    """initdb or the PostgreSQL server could not be run; carries its last lines."""


class Fenced(StoreError):
    """A duty came with an epoch older than one this store has seen: another Primary took over."""
