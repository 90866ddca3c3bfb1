"""All policies that are settings of their own."""

from voicemail.policy.base import Policy
from voicemail.policy.devices import Device
from voicemail.policy.interview import Interview
from voicemail.policy.keeping import Aging
from voicemail.policy.key_map import KeyMap
from voicemail.policy.locations import Contact, Location
from voicemail.policy.model import (
    CallHandler,
    ClassOfService,
    GreetingSwitch,
    Holidays,
    Members,
    PinRules,
    PrivateList,
    RestrictionTable,
    RoutingRule,
    Schedule,
    Undeliverable,
    UserOptions,
)

KINDS: tuple[type[Policy], ...] = (
    Schedule, Holidays, GreetingSwitch, CallHandler, Interview, RoutingRule, RestrictionTable, PinRules,
    ClassOfService, UserOptions, Members, PrivateList, Device, Aging, Undeliverable, Location, Contact,
    KeyMap,
)  # fmt: skip
