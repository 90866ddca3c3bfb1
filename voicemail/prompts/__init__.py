"""The recordings of what callers hear: one folder for each language, and the texts they were made from.

`<language>/*.toml` list every prompt with its text, a file for each part of the telephone interface;
README.md says how the recordings are made.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent
NAME = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True)
class PromptBook:
    """Finds the recording of a prompt by its name. Reads the folders once, when made, so that `find`
    costs no disk access in a call.

    `folder` is a site's own: a file `<name>.wav` there replaces the shipped one, or adds one (any WAV
    that sip plays: 8 kHz mono, PCM16, mu-law or A-law; what `plays` denies is left out). A language or
    folder that does not exist is
    an empty book: a missing prompt must never end a call.
    """

    language: str = "en"
    folder: Path | None = None
    plays: Callable[[Path], bool] = lambda path: True
    _files: Mapping[str, Path] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        own = _recordings(self.folder) if self.folder else {}
        own = {name: path for name, path in own.items() if self.plays(path)}
        object.__setattr__(self, "_files", _shipped(self.language) | own)

    def find(self, name: str) -> Path | None:
        """The file of a prompt, None when there is none."""
        return self._files.get(name)

    def names(self) -> frozenset[str]:
        """The names of all prompts that have a recording."""
        return frozenset(self._files)


@cache
def _shipped(language: str) -> dict[str, Path]:
    """What is installed does not change under a running process."""
    return _recordings(SHIPPED / language)


def _recordings(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in folder.glob("*.wav") if NAME.fullmatch(path.stem)}


def catalogue(folder: Path) -> dict[str, dict[str, Any]]:
    """All of the folder's lists as one, by table ("tones", "speech") and name. ValueError when two lists
    have the same name, OSError when there is no list."""
    whole: dict[str, dict[str, Any]] = {"tones": {}, "speech": {}}
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise FileNotFoundError(f"{folder}: no list of prompts")
    for file in files:
        for table, entries in read(file).items():
            if twice := whole[table].keys() & entries.keys():
                raise ValueError(f"{file}: in another list, too: {', '.join(sorted(twice))}")
            whole[table].update(entries)
    return whole


def read(file: Path) -> dict[str, dict[str, Any]]:
    """One list. OSError, or ValueError when it is not TOML."""
    return tomllib.loads(file.read_text("utf-8"))


def texts(language: str = "en") -> dict[str, str]:
    """What each spoken prompt of a shipped language says, by name, for people to read.

    Errors: OSError when the language is not shipped.
    """
    entries = catalogue(SHIPPED / language)["speech"]
    return {name: entry if isinstance(entry, str) else entry["text"] for name, entry in entries.items()}
