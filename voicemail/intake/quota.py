"""Whether a mailbox takes more mails."""

from uuid import UUID

from store.api import Store
from voicemail.policy.book import OPTIONS, parsed
from voicemail.policy.builtin import BUILT_IN
from voicemail.policy.model import ClassOfService, UserOptions
from voicemail.policy.quota import QuotaState, state


async def is_full(store: Store, mailbox: UUID) -> bool:
    """By the quota of its owner's class. Raises store errors."""
    kept = await store.settings.get(UserOptions.KIND, OPTIONS, mailbox)
    options = (kept and parsed(UserOptions, kept)) or UserOptions()
    found = await store.settings.get(ClassOfService.KIND, options.cos)
    supplied = BUILT_IN[ClassOfService].get(options.cos, ClassOfService())
    quota = ((found and parsed(ClassOfService, found)) or supplied).quota
    if not quota.no_receive:
        return False
    return state(quota, await store.messages.size(mailbox)) is QuotaState.NO_RECEIVE
