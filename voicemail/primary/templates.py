"""What mails say: Jinja2 templates by language, shipped in `templates`, an administrator's own before them.

A template is up to three files: `<name>.subject`, `<name>.txt`, `<name>.html`, looked for in this order: in
the administrator's folder `<language>/<name>`, then `<name>`; then the shipped `<language>/<kind>`, then
`en/<kind>`. So a template of one's own may be a single file, and may extend a shipped one. Templates run in
a sandbox, and are given text and numbers only, never an object of ours; in HTML everything is escaped. A
template that fails is told of in the log, and the shipped one is used.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

log = structlog.get_logger()

SHIPPED = Path(__file__).parent / "templates"
DEFAULT = "en"
LONGEST = 200_000
"""Characters of a text or an HTML page; more is no notification."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")


@dataclass(frozen=True, slots=True)
class Page:
    """What a mail says. `html` is "" where none is wanted."""

    subject: str
    text: str
    html: str = ""


class Templates:
    """One for the process. `own` is the administrator's folder; None for none."""

    def __init__(self, own: Path | None = None) -> None:
        self._own = own
        self._shipped = _environment(SHIPPED)
        self._all = _environment(own, SHIPPED) if own else self._shipped

    def page(self, kind: str, name: str, language: str, facts: Mapping[str, Any], html: bool) -> Page:
        """`kind` is "message", "missed", "summary", "aging" or "trial"; `name` the template's, "" for the
        kind's."""
        parts = ["subject", "txt", *(["html"] if html else [])]
        spoken = language if NAME.fullmatch(language) else DEFAULT
        return Page(*(self._part(kind, name, spoken, part, facts) for part in parts))

    def _part(self, kind: str, name: str, language: str, part: str, facts: Mapping[str, Any]) -> str:
        shipped = [f"{language}/{kind}.{part}", f"{DEFAULT}/{kind}.{part}"]
        if own := self._found(name if NAME.fullmatch(name) else kind, language, part):
            try:
                return _rendered(self._all, [own], facts)
            except Exception as error:  # a template can raise anything, and must not keep a mail back
                log.error("ALARM template cannot be used", template=own, why=str(error))
        return _rendered(self._shipped, shipped, facts)

    def _found(self, name: str, language: str, part: str) -> str:
        """The administrator's own file; "" where there is none."""
        names = (f"{language}/{name}.{part}", f"{name}.{part}")
        return next((each for each in names if self._own and (self._own / each).is_file()), "")


def _environment(*folders: Path) -> Environment:
    return ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
    )


def _rendered(environment: Environment, names: list[str], facts: Mapping[str, Any]) -> str:
    text = environment.select_template(names).render(facts)
    if len(text) > LONGEST:
        raise TemplateError(f"more than {LONGEST} characters")
    return text
