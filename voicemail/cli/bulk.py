"""`voicemail user import` and `export`: many users as a CSV file."""

import asyncio
import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from store.api import Store
from store.errors import Conflict, NotFound, Unavailable
from voicemail import pins
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show, with_store
from voicemail.cli.people import known, save
from voicemail.config import Config
from voicemail.errors import VoicemailError
from voicemail.localtime import local_time
from voicemail.policy import people
from voicemail.policy.bulk import REASON, Change, Line, Plan, Wrong, check_head, plan, rules_of
from voicemail.policy.house import House, look
from voicemail.policy.text import NOTHING

SHOWN = 20
"""Lines of each sort that a preview tells in words."""
AT_ONCE = 4
"""Users written at the same time."""
TOLD = 1000
"""Users between two words about how far it is: a large file takes minutes."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A CSV file: its header row, its lines, what stands between its cells."""

    head: tuple[str, ...]
    lines: tuple[Line, ...]
    delimiter: str


def register(app: typer.Typer) -> None:
    """Add the commands to `voicemail user`."""
    app.command("import")(import_users)
    app.command("export")(export_users)


def import_users(
    file: Annotated[Path, typer.Argument(help="CSV; its first row names the columns (`user export`).")],
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without, it is only told.")] = False,
    errors: Annotated[Path | None, typer.Option(help="For wrong lines [FILE.wrong.csv].")] = None,
    pin_file: Annotated[
        Path | None, typer.Option("--pins", help="For PINs that are made up [FILE.pins.csv].")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of the file; cp1252 for many of Excel's.")] = "utf-8",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Make and change users by a CSV file: first tell what would be done, then with --apply do it.

    An empty cell leaves what is, "-" empties. Wrong lines are left out and written to a file of their own,
    with the reason; put right, that file can be read again. A column "pin" is for new users; without it
    they get random ones, and change them at the first sign-in."""
    sheet = read(file, encoding)
    check_head(sheet.head)
    wrong_file = errors or file.with_name(file.name + ".wrong.csv")
    made_file = pin_file or file.with_name(file.name + ".pins.csv")
    if file.resolve() in (wrong_file.resolve(), made_file.resolve()):
        raise VoicemailError(f"{file}: cannot be read and written at once")

    async def work(loaded: Config, store: Store) -> tuple[Plan, list[Wrong]]:
        house = await look(store)
        planned = plan(house, known(loaded), sheet.head, sheet.lines)
        if not apply:
            return planned, []
        return planned, await _apply(store, house, planned, made_file)

    planned, late = with_store(config, work)
    wrong = sorted((*planned.wrong, *late), key=lambda each: each.line.number)
    if wrong and (apply or errors):
        write_wrong(wrong_file, sheet, wrong)
    _tell(planned, wrong, sheet.head.index("extension"), apply, as_json)
    if planned.pins_not_read:
        sys.stderr.write(
            f"voicemail: {planned.pins_not_read} PINs are of users who are there already, and were not read; "
            "`user set-pin` changes them\n"
        )
    if wrong:
        told = f"; see {wrong_file}" if apply or errors else ""
        sys.stderr.write(f"voicemail: {len(wrong)} lines are wrong{told}\n")
        raise typer.Exit(1)


def export_users(
    file: Annotated[str, typer.Argument(help="- for stdout.")] = "-", config: ConfigPath = DEFAULT_CONFIG
) -> None:
    """Write all users to a CSV file that `import` reads. PINs are not in it."""

    async def work(_: Config, store: Store) -> House:
        return await look(store)

    everybody = people.people(with_store(config, work))
    rows = [people.columns(everybody[each]) for each in sorted(everybody)]
    head = [*people.COLUMNS, *sorted({key for row in rows for key in row} - set(people.COLUMNS))]
    with ExitStack() as stack:
        out = (
            sys.stdout if file == "-" else stack.enter_context(open(file, "x", encoding="utf-8", newline=""))
        )
        table = csv.writer(out, lineterminator="\n")
        table.writerow(head)
        table.writerows([[row.get(key, NOTHING) for key in head] for row in rows])


def read(file: Path, encoding: str = "utf-8") -> Sheet:
    """Raises OSError; VoicemailError for what is no CSV file in this encoding. A mark of UTF-8 at its
    beginning (Excel's) is skipped."""
    raw = file.read_bytes()
    try:
        text = raw.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise VoicemailError(f"--encoding: {encoding!r} is none (such as utf-8 or cp1252)") from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise VoicemailError(
            f"{file}, line {line}: not {encoding} (write it as UTF-8, or name its --encoding, often cp1252)"
        ) from None
    source = io.StringIO(text, newline="")
    first = source.readline()
    source.seek(0)
    return _sheet(file, source, max(",;\t", key=first.count))


def _sheet(file: Path, source: Iterable[str], delimiter: str) -> Sheet:
    rows = csv.reader(source, delimiter=delimiter, strict=True)
    lines: list[Line] = []
    start = 1
    try:
        for cells in rows:
            if any(cell.strip() for cell in cells):
                lines.append(Line(start, tuple(cells)))
            start = rows.line_num + 1
    except csv.Error as error:
        raise VoicemailError(f"{file}, line {start}: {error}") from None
    if not lines:
        raise VoicemailError(f"{file}: is empty")
    return Sheet(tuple(cell.strip().lower() for cell in lines[0].cells), tuple(lines[1:]), delimiter)


def write_wrong(file: Path, sheet: Sheet, wrong: Sequence[Wrong]) -> None:
    """The wrong lines as they stood in the file, and why. PINs may be in it: readable by its owner only."""
    reason = sheet.head.index(REASON) if REASON in sheet.head else None
    head = [name for name in sheet.head if name != REASON]
    with _private(file, os.O_TRUNC) as out:
        table = csv.writer(out, delimiter=sheet.delimiter, lineterminator="\n")
        table.writerow([REASON, *head])
        for each in wrong:
            cells = [cell for place, cell in enumerate(each.line.cells) if place != reason]
            table.writerow([f"line {each.line.number}: {each.why}", *cells])


def _private(file: Path, how: int) -> TextIO:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | how, 0o600)
    os.fchmod(descriptor, 0o600)
    return open(descriptor, "w", encoding="utf-8", newline="")


async def _apply(store: Store, house: House, planned: Plan, made_file: Path) -> list[Wrong]:
    """Do it, a few users at a time. A user whose number somebody else took meanwhile is a wrong line."""
    work = _counted((*planned.adds, *planned.changes))
    late: list[Wrong] = []
    with ExitStack() as stack:
        made = None
        if any(not change.pin for change in planned.adds):
            made = stack.enter_context(_private(made_file, os.O_APPEND))
            if not made_file.stat().st_size:
                made.write("extension,pin\n")
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(_worker(store, house, work, made, pool, late))
        except* Unavailable as errors:
            why = errors.exceptions[0]
            raise VoicemailError(f"stopped, the store is away ({why}): do the same again later") from None
    return late


def _counted(work: Sequence[Change]) -> Iterator[Change]:
    """Each, with a word on stderr now and then."""
    for number, change in enumerate(work):
        if number and not number % TOLD:
            sys.stderr.write(f"… {number} of {len(work)}\n")
        yield change


async def _worker(
    store: Store,
    house: House,
    work: Iterator[Change],
    made: TextIO | None,
    pool: ThreadPoolExecutor,
    late: list[Wrong],
) -> None:
    for change in work:
        try:
            after = change.after if change.before else await _with_pin(house, change, made, pool)
            await save(store, change.before, after)
        except (Conflict, NotFound) as error:
            late.append(Wrong(change.line, str(error)))


async def _with_pin(
    house: House, change: Change, made: TextIO | None, pool: ThreadPoolExecutor
) -> people.Person:
    """A new user's PIN is in the file of made-up ones before he has it. Where this broke off and was done
    again, a user may stand there twice: the last line counts."""
    after, pin = change.after, change.pin
    if not pin:
        pin = pins.made_up(after.user.extension, rules_of(house, after.options).shortest)
        assert made
        made.write(f"{after.user.extension},{pin}\n")
        made.flush()
    hashed = await asyncio.get_running_loop().run_in_executor(pool, pins.hashed, pin)
    options = after.options.model_copy(update={"must_change_pin": True, "pin_changed": local_time()})
    return replace(after, user=replace(after.user, pin_hash=hashed), options=options)


def _tell(planned: Plan, wrong: Sequence[Wrong], place: int, applied: bool, as_json: bool) -> None:
    rows = list(_rows(planned, wrong, place))
    if as_json:
        return show(rows, True)
    for what in ("add", "change", "wrong"):
        some = [row for row in rows if row["Do"] == what]
        show(some[:SHOWN], False)
        if len(some) > SHOWN:
            say(f"… and {len(some) - SHOWN} more ({what})")
        if some:
            say("")
    done = "done" if applied else "nothing done yet: --apply does it"
    say(
        f"{len(planned.adds)} to add, {len(planned.changes)} to change, "
        f"{len(planned.unchanged)} as they are, {len(wrong)} wrong; {done}"
    )


def _rows(planned: Plan, wrong: Iterable[Wrong], place: int) -> Iterator[dict[str, Any]]:
    """`place` is the column of the extension."""
    for add in planned.adds:
        user = add.after.user
        yield {"Line": add.line.number, "Do": "add", "Extension": user.extension, "What": user.name}
    for change in planned.changes:
        assert change.before
        what = people.differences(change.before, change.after)
        text = ", ".join(f"{key}: {was} -> {will}" for key, (was, will) in what.items())
        extension = change.after.user.extension
        yield {"Line": change.line.number, "Do": "change", "Extension": extension, "What": text}
    for each in wrong:
        extension = each.line.cells[place] if place < len(each.line.cells) else ""
        yield {"Line": each.line.number, "Do": "wrong", "Extension": extension, "What": each.why}
