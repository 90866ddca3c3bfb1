"""What holds until an administrator sets something else under the same name (functions.md 2, 8)."""

from collections.abc import Mapping
from datetime import time
from typing import Any

from voicemail.policy.keeping import Aging
from voicemail.policy.key_map import STANDARD, KeyMap
from voicemail.policy.model import (
    Action,
    Block,
    CallHandler,
    ClassOfService,
    Go,
    PinRules,
    Restriction,
    RestrictionTable,
    RoutingRule,
    Schedule,
    Table,
    Undeliverable,
)

OPENING, OPERATOR, GOODBYE = "opening-greeting", "operator", "goodbye"
"""Handlers that cannot be removed."""


def _table(*rows: tuple[str, bool]) -> RestrictionTable:
    return RestrictionTable(rows=tuple(Restriction(pattern=pattern, allow=allow) for pattern, allow in rows))


BUILT_IN: Mapping[type, Mapping[str, Any]] = {
    ClassOfService: {"default": ClassOfService()},
    PinRules: {"default": PinRules()},
    KeyMap: {STANDARD: KeyMap()},
    Aging: {"default": Aging()},
    Undeliverable: {"default": Undeliverable()},
    Schedule: {
        "always": Schedule(blocks=(Block(weekdays=tuple(range(7))),)),
        "weekdays": Schedule(blocks=(Block(weekdays=tuple(range(5)), start=time(8), end=time(17)),)),
    },
    RestrictionTable: {
        "default_transfer": _table(
            ("+*", False), ("9+*", False), ("91???????*", False), ("9011???????*", False),
            ("9???????????*", False), ("900", False), ("*", True),
        ),
        "default_dial_out": _table(("*", False)),
        "default_fax": _table(("*", False)),
        "default_system_transfer": _table(("*", False)),
        "default_alternate_extensions": _table(  # short ones are extensions, and the administrator's to give
            ("?", False), ("??", False), ("???", False), ("????", False), ("?????", False), ("*", True),
        ),
    },
    CallHandler: {
        OPENING: CallHandler(
            schedule="always",
            keys={
                "4": Action(go=Go.DIRECTORY),
                "0": Action(go=Go.HANDLER, target=OPERATOR, transfer=True),
                "#": Action(go=Go.HANDLER, target=OPERATOR, transfer=True),
                "*": Action(go=Go.SIGN_IN),
            },
            messages_to=("undeliverable",),
        ),
        OPERATOR: CallHandler(messages_to=("operator",)),
        GOODBYE: CallHandler(schedule="always", extensions_may_be_dialled=False),
    },
    RoutingRule: {
        "dialled-mailbox": RoutingRule(
            table=Table.DIRECT, order=8990, action=Action(go=Go.ATTEMPT_FORWARD)
        ),
        "attempt-sign-in": RoutingRule(
            table=Table.DIRECT, order=9000, action=Action(go=Go.ATTEMPT_SIGN_IN)
        ),
        "attempt-forward": RoutingRule(
            table=Table.FORWARDED, order=9000, action=Action(go=Go.ATTEMPT_FORWARD)
        ),
        "opening-greeting-direct": RoutingRule(
            table=Table.DIRECT, order=9999, action=Action(go=Go.HANDLER, target=OPENING)
        ),
        "opening-greeting-forwarded": RoutingRule(
            table=Table.FORWARDED, order=9999, action=Action(go=Go.HANDLER, target=OPENING)
        ),
    },
}  # fmt: skip
