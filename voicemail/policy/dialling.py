"""What is wrong with how callers dial extensions during a handler's greeting, when that is set."""

from collections.abc import Iterator

from voicemail.policy.model import CallHandler


def dialling_mistakes(handler: CallHandler) -> Iterator[str]:
    """In words, by key."""
    if handler.prepend_digits and not (handler.prepend_digits + "0").isdecimal():
        yield f"prepend_digits: {handler.prepend_digits!r} is none (digits only)"
    for key, seconds in handler.wait_for_digits_after.items():
        if not key.isdecimal():
            yield f"wait_for_digits_after.{key}: no extension begins with {key}"
        if seconds and key in handler.locked_keys:
            yield f"wait_for_digits_after.{key}: locked_keys says that {key} acts at once"
