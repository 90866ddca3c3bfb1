"""Policies as administrators write and read them: `key=value`, one line each, also in CSV files.

Whatever `shown` gives, `changed` takes. Nested values have dotted keys: `quota.warn=20M`,
`transfer.enabled=yes`, `keys.5=user:4711`, `wait_for_digits_after.5=3`.
"""

import re
import types
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from voicemail.errors import VoicemailError
from voicemail.policy.base import Policy
from voicemail.policy.model import Action, Block, Go, Restriction

P = TypeVar("P", bound=Policy)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
NOTHING = "-"
"""Written for None, and for what is empty."""
KEYS = "0123456789*#"
_SIZES = {"k": 1_000, "M": 1_000_000, "G": 1_000_000_000}


def changed(kind: type[P], policy: P | None, pairs: Iterable[str]) -> P:
    """A policy with these `key=value` set; a new one for None. Raises VoicemailError naming the key."""
    data = policy.model_dump() if policy else {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise VoicemailError(f"{pair!r}: give key=value")
        _put(kind, data, key.strip(), key.strip(), text.strip())
    return _valid(kind, data)


def keys(kind: type[Policy], prefix: str = "") -> tuple[str, ...]:
    """All keys that `changed` knows, in the model's order; `keys.?` stands for one of each telephone key."""
    found: list[str] = []
    for name, field in kind.model_fields.items():
        inner = _bare(field.annotation)
        if _is_nested(inner):
            found += keys(inner, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}.?" if get_origin(inner) is dict else prefix + name)
    return tuple(found)


def shown(policy: Policy, prefix: str = "") -> dict[str, str]:
    """Every value as text, by key."""
    rows: dict[str, str] = {}
    for name, field in type(policy).model_fields.items():
        value, inner = getattr(policy, name), _bare(field.annotation)
        if _is_nested(inner):
            rows |= shown(value, f"{prefix}{name}.")
        elif get_origin(inner) is dict and value:
            rows |= {f"{prefix}{name}.{key}": written(each) for key, each in sorted(value.items())}
        else:
            rows[prefix + name] = written(value)
    return rows


def written(value: Any) -> str:
    """One value as text."""
    if value is None or value == () or value == {} or value == "":
        return NOTHING
    if isinstance(value, tuple) and not isinstance(value[0], date):
        return ", ".join(written(each) for each in value)
    for kind, write in _WRITERS.items():
        if isinstance(value, kind):
            return write(value)
    return str(value)


def read(annotation: Any, text: str) -> Any:
    """A value of a field of this type. What is not told here is left to the model. Raises ValueError."""
    inner = _bare(annotation)
    if text in (NOTHING, ""):
        return _nothing(annotation, inner)
    if inner in _READERS:
        return _READERS[inner](text)
    if get_origin(inner) is tuple:
        each = get_args(inner)[0]
        return tuple(read(each, part.strip()) for part in text.split(",") if part.strip())
    return text


def _put(kind: type[Policy], data: dict[str, Any], key: str, whole: str, text: str) -> None:
    name, _, rest = key.partition(".")
    if name not in kind.model_fields:
        raise VoicemailError(f"{whole}: there is no such key; known: {', '.join(keys(kind))}")
    annotation = kind.model_fields[name].annotation
    inner = _bare(annotation)
    if _is_nested(inner) and rest:
        data[name] = dict(data.get(name) or {})
        return _put(inner, data[name], rest, whole, text)
    if get_origin(inner) is dict and rest:
        data[name] = _with_key(get_args(inner)[1], data.get(name), rest, whole, text)
    elif rest or _is_nested(inner):
        raise VoicemailError(f"{whole}: there is no such key; known: {', '.join(keys(kind))}")
    else:
        data[name] = _read(annotation, whole, text)


def _with_key(
    annotation: Any, present: Mapping[str, Any] | None, key: str, whole: str, text: str
) -> dict[str, Any]:
    """What is said of each telephone key, with this said of one."""
    if len(key) != 1 or key not in KEYS:
        raise VoicemailError(f"{whole}: {key!r} is no key of a telephone")
    rest = {each: value for each, value in (present or {}).items() if each != key}
    return rest if text in (NOTHING, "") else rest | {key: _read(annotation, whole, text)}


def _read(annotation: Any, key: str, text: str) -> Any:
    try:
        return read(annotation, text)
    except ValueError as error:
        raise VoicemailError(f"{key}: {error}") from None


def _valid(kind: type[P], data: dict[str, Any]) -> P:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(each) for each in first["loc"])
        given = f" (not {first['input']!r})" if isinstance(first["input"], str | int | float) else ""
        raise VoicemailError(f"{key}: {first['msg'][:1].lower()}{first['msg'][1:]}{given}") from None


def _bare(annotation: Any) -> Any:
    """Without `| None`."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(each for each in get_args(annotation) if each is not type(None))
    return annotation


def _is_nested(inner: Any) -> bool:
    return isinstance(inner, type) and issubclass(inner, BaseModel) and inner not in _READERS


def _nothing(annotation: Any, inner: Any) -> Any:
    if inner is not annotation:
        return None
    empty: dict[Any, Any] = {tuple: (), dict: {}}
    return empty.get(get_origin(inner), "")


def _action(text: str) -> Action:
    """`hang-up`, `user:4711`, `handler:operator+transfer`, `transfer:4711`."""
    go, _, target = text.partition(":")
    if go not in tuple(Go):
        raise ValueError(f"{go!r} is no action; known: {', '.join(Go)}")
    bare = target.removesuffix("+transfer")
    if (go in (Go.HANDLER, Go.USER, Go.INTERVIEW, Go.TRANSFER)) != bool(bare):
        raise ValueError(f"{go} {'needs a target: ' + go + ':…' if not bare else 'has no target'}")
    return Action(go=Go(go), target=bare, transfer=bare != target)


def _action_text(action: Action) -> str:
    target = f":{action.target}" if action.target else ""
    return f"{action.go}{target}{'+transfer' if action.transfer else ''}"


def _block(text: str) -> Block:
    """`mon-fri 08:00-17:00`, `sat 00:00-00:00` (the whole day), `mon+wed 22:00-06:00`."""
    if not (found := re.fullmatch(r"([a-z+-]+)\s+(\d\d?:\d\d)-(\d\d?:\d\d)", text.lower())):
        raise ValueError(f"{text!r}: write it as mon-fri 08:00-17:00 or sat+sun 00:00-24:00")
    days = sorted({day for part in found[1].split("+") for day in _weekdays(part)})
    return Block(weekdays=tuple(days), start=_time(found[2]), end=_time(found[3].replace("24:00", "00:00")))


def _time(text: str) -> time:
    hours, minutes = text.split(":")
    try:
        return time(int(hours), int(minutes))
    except ValueError:
        raise ValueError(f"{text!r} is no time of day") from None


def _weekdays(text: str) -> list[int]:
    first, _, last = text.partition("-")
    if first not in DAYS or (last and last not in DAYS):
        raise ValueError(f"{text!r}: days are {', '.join(DAYS)}")
    start, end = DAYS.index(first), DAYS.index(last or first)
    return [day % 7 for day in range(start, (end if end >= start else end + 7) + 1)]


def _block_text(block: Block) -> str:
    days = "+".join(DAYS[day] for day in block.weekdays)
    if block.weekdays == tuple(range(block.weekdays[0], block.weekdays[-1] + 1)) and len(block.weekdays) > 1:
        days = f"{DAYS[block.weekdays[0]]}-{DAYS[block.weekdays[-1]]}"
    end = f"{block.end:%H:%M}" if block.end != time() else "24:00"
    return f"{days} {block.start:%H:%M}-{end}"


def _days(text: str) -> tuple[date, date]:
    """`2026-12-24` or `2026-12-24..2026-12-26`."""
    first, _, last = text.partition("..")
    try:
        begin, end = date.fromisoformat(first.strip()), date.fromisoformat((last or first).strip())
    except ValueError:
        raise ValueError(f"{text!r}: write it as 2026-12-24 or 2026-12-24..2026-12-26") from None
    if end < begin:
        raise ValueError(f"{text!r} ends before it begins")
    return begin, end


def _row(text: str) -> Restriction:
    """`allow 4*`, `refuse *`."""
    word, _, pattern = text.partition(" ")
    if word not in ("allow", "refuse") or not re.fullmatch(r"[0-9+*?]+", pattern.strip()):
        raise ValueError(f"{text!r}: write allow or refuse, and a pattern of digits, +, * and ?")
    return Restriction(pattern=pattern.strip(), allow=word == "allow")


def _moment(text: str) -> datetime:
    """Local to this server when no time zone is written."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r}: write it as 2026-12-24 or 2026-12-24T18:00") from None
    return moment if moment.tzinfo else moment.astimezone()


def _whole(text: str) -> str:
    """`20M` is 20,000,000."""
    found = re.fullmatch(r"(\d+)([kMG])B?", text)
    return str(int(found[1]) * _SIZES[found[2]]) if found else text


_READERS: dict[Any, Callable[[str], Any]] = {
    Action: _action,
    Block: _block,
    Restriction: _row,
    tuple[date, date]: _days,
    datetime: _moment,
    int: _whole,
}
_WRITERS: dict[type, Callable[[Any], str]] = {
    bool: lambda value: "yes" if value else "no",
    float: lambda value: f"{value:g}",
    Action: _action_text,
    Block: _block_text,
    Restriction: lambda row: f"{'allow' if row.allow else 'refuse'} {row.pattern}",
    datetime: lambda value: value.isoformat(sep=" "),
    time: lambda value: f"{value:%H:%M}",
    tuple: lambda days: f"{days[0]}" if days[0] == days[1] else f"{days[0]}..{days[1]}",
}
