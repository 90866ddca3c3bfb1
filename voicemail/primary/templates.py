"""What mails say: Jinja2 templates by language, shipped in `templates`, an administrator's own before them.

A template is up to three files: `<name>.subject`, `<name>.txt`, `<name>.html`, looked for in this order:
`<language>/<name>`, `<name>` (any language), `<language>/<kind>`, `en/<kind>`. So a template of one's own
may be a single file. Templates run in a sandbox, and are given text and numbers only, never an object of
ours; in HTML everything is escaped. A template that fails is told of in the log, and the shipped one is used.
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
        self._shipped = _environment(SHIPPED)
        self._all = _environment(own, SHIPPED) if own else self._shipped

    def page(self, kind: str, name: str, language: str, facts: Mapping[str, Any], html: bool) -> Page:
        """`kind` is "message", "missed", "summary" or "trial"; `name` the template's, "" for the kind's."""
        parts = ["subject", "txt", *(["html"] if html else [])]
        said = [self._part(kind, name, language, part, facts) for part in parts]
        return Page(*said)

    def _part(self, kind: str, name: str, language: str, part: str, facts: Mapping[str, Any]) -> str:
        shipped = [f"{language}/{kind}.{part}", f"{DEFAULT}/{kind}.{part}"]
        wanted = name if NAME.fullmatch(name) else kind
        own = [f"{language}/{wanted}.{part}", f"{wanted}.{part}"]
        try:
            return _rendered(self._all, [*own, *shipped], facts)
        except Exception as error:  # a template can raise anything, and must not keep a mail back
            if self._all is self._shipped:
                raise
            log.error("ALARM template cannot be used", template=f"{wanted}.{part}", why=str(error))
            return _rendered(self._shipped, shipped, facts)


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
