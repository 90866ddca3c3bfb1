"""Users who are told of messages by telephone: as an administrator sets them up."""

from datetime import UTC, datetime

from store.model import Setting
from tests.acceptance.scene import Scene
from voicemail.policy.devices import Device, DeviceKind, Events
from voicemail.policy.model import ClassOfService, Restriction, RestrictionTable, UserOptions
from voicemail.tour.tour import Person


async def may_be_called(two: Scene, person: Person) -> None:
    """At numbers that begin with 0171."""
    settings = two.tour.stores[0].settings
    table = RestrictionTable(rows=(Restriction(pattern="0171*", allow=True),))
    await settings.put(Setting(RestrictionTable.KIND, "mobiles", table.model_dump_json()))
    called = ClassOfService(dial_out_table="mobiles")
    await settings.put(Setting(ClassOfService.KIND, "called", called.model_dump_json()))
    options = UserOptions(cos="called", enrolled=True, pin_changed=datetime.now(UTC))
    await settings.put(Setting(UserOptions.KIND, "options", options.model_dump_json(), person.id))


async def telephones(two: Scene, person: Person, *numbers: str) -> None:
    """Each called once; the next one when nobody can be reached there."""
    for place, number in enumerate(numbers):
        device = Device(
            kind=DeviceKind.PHONE,
            enabled=True,
            address=number,
            events=Events.NONE if place else Events.ALL,
            on_failure=f"phone{place + 1}" if place + 1 < len(numbers) else "",
            busy_retries=0,
            no_answer_retries=0,
        )
        body = device.model_dump_json()
        await two.tour.stores[0].settings.put(Setting(Device.KIND, f"phone{place}", body, person.id))
