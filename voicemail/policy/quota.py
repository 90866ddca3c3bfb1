"""How full a mailbox is."""

from enum import StrEnum
from uuid import UUID

from store.api import Store
from voicemail.policy.model import Quota


class QuotaState(StrEnum):
    """Each includes those before."""

    OK = "ok"
    WARN = "nearly full"
    NO_SEND = "no sending"
    NO_RECEIVE = "full"


def state(quota: Quota, size: int) -> QuotaState:
    """What holds for a mailbox of `size` bytes of audio: a limit that is reached counts, 0 is none."""
    limits = (
        (quota.no_receive, QuotaState.NO_RECEIVE),
        (quota.no_send, QuotaState.NO_SEND),
        (quota.warn, QuotaState.WARN),
    )
    return next((reached for limit, reached in limits if limit and size >= limit), QuotaState.OK)


async def state_of(store: Store, mailbox: UUID, quota: Quota) -> QuotaState:
    """What holds for a mailbox now. Raises store errors."""
    if not (quota.warn or quota.no_send or quota.no_receive):
        return QuotaState.OK
    return state(quota, await store.messages.size(mailbox))
