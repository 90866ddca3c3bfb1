"""Every prompt in the lists is said somewhere, and everything that is said is in the lists."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import voicemail
from voicemail import words
from voicemail.conversation.setup.devices import MENUS
from voicemail.policy.key_map import KeyMap
from voicemail.policy.model import GreetingKind, UserOptions
from voicemail.policy.transfers import RuleKind, Transfer
from voicemail.prompts import SHIPPED, catalogue, read

SOURCE = Path(voicemail.__file__).parent
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")
MADE = {
    *(f"{kind.value}_greeting" for kind in GreetingKind),
    *(f"device_{kind.value}" for kind in MENUS),
    *(f"{kind.value}_transfer" for kind in RuleKind if kind is not RuleKind.STANDARD),
    *(f"language_{language}" for language in words.LANGUAGES),
    *("address_name_brief", "address_number_brief"),
}
"""Names that are put together: setup/greetings.py, setup/devices.py, setup/transfer.py,
setup/messages.py, address.py."""
NO_PROMPTS = {
    *UserOptions.model_fields,
    *Transfer.model_fields,
    *(row for part in KeyMap().parts().values() for row in part.rows()),
    "default_transfer",
    "default_system_transfer",
}
"""Other names with an underscore in the conversations."""


@cache
def texts(folder: str) -> frozenset[str]:
    """All text constants of the files below a folder of the package, but docstrings of more than a word."""
    return frozenset(text for file in (SOURCE / folder).rglob("*.py") for text in constants(file))


def constants(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def listed() -> set[str]:
    """Names of the lists, but for those that only numbers and dates are made of."""
    folder = SHIPPED / "en"
    whole = {name for table in catalogue(folder).values() for name in table}
    return whole - read(folder / "words.toml")["speech"].keys()


def test_every_prompt_in_the_lists_is_said_somewhere() -> None:
    said = texts(".") | MADE
    nouns = {f"{name}s" for name in said}  # `words.count` adds the s
    assert listed() - said - nouns == set()


def test_everything_that_is_said_is_in_the_lists() -> None:
    said = {text for text in texts("conversation") if NAME.fullmatch(text)} | MADE
    assert said - listed() - NO_PROMPTS == set()
