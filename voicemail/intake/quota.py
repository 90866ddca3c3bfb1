"""What the class of service of a user lets mails do."""

from uuid import UUID

from store.api import Store
from voicemail.policy.book import options_of, parsed
from voicemail.policy.builtin import BUILT_IN
from voicemail.policy.model import ClassOfService
from voicemail.policy.quota import QuotaState, state


async def class_of(store: Store, user: UUID) -> ClassOfService:
    """The class of a user. Raises store errors."""
    options = await options_of(store, user)
    found = await store.settings.get(ClassOfService.KIND, options.cos)
    supplied: ClassOfService = BUILT_IN[ClassOfService].get(options.cos, ClassOfService())
    return (found and parsed(ClassOfService, found)) or supplied


async def is_full(store: Store, mailbox: UUID) -> bool:
    """Whether a mailbox takes no more, by the quota of its owner's class. Raises store errors."""
    quota = (await class_of(store, mailbox)).quota
    if not quota.no_receive:
        return False
    return state(quota, await store.messages.size(mailbox)) is QuotaState.NO_RECEIVE
