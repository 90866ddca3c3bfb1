"""People and their greetings: settings rows, of which the newest over both nodes wins."""

from collections.abc import Sequence
from uuid import UUID, uuid5

from psycopg import AsyncConnection

from store.connections import Connections, Row
from store.errors import Conflict, NotFound
from store.ids import HybridClock
from store.model import ALTERNATE_EXTENSION, Greeting, User, setting_id

COLUMNS = "id, extension, name, mail, attach, pin_hash, language, lamps"
GET = "select id, extension, name, mail, attach, pin_hash, language, lamps from public.user_account"
# Of two users with one extension (both made in a split) the lower id owns it.
# A number that is somebody's extension is nobody's alternate one.
BY_EXTENSION = (
    GET
    + """ where not deleted and (extension = %s or id =
        (select (body->>'user')::uuid from public.setting where id = %s and not deleted))
  order by extension <> %s, id limit 1"""
)
ADD = """
insert into public.user_account
  (id, extension, name, mail, attach, pin_hash, language, lamps, deleted, hlc, node)
values (%s, %s, %s, %s, %s, %s, %s, %s, false, %s, %s) on conflict (id) do nothing returning hlc"""
# One more than what is there: a change made after reading a row is newer than it, whatever the clocks say.
CHANGE = """
update public.user_account set extension = %s, name = %s, mail = %s, attach = %s, pin_hash = %s,
  language = %s, lamps = %s, hlc = greatest(%s, hlc + 1), node = %s
 where id = %s and not deleted returning hlc"""
REMOVE = """
update public.user_account set deleted = true, hlc = greatest(%s, hlc + 1), node = %s
 where id = %s and not deleted returning hlc"""
IN_USE = "select 1 from public.user_account where extension = %s and id <> %s and not deleted"
SET_GREETING = """
insert into public.greeting as g (id, user_id, kind, audio, deleted, hlc, node)
values (%s, %s, %s, %b, %s, %s, %s)
on conflict (id) do update set audio = excluded.audio, deleted = excluded.deleted,
  hlc = greatest(excluded.hlc, g.hlc + 1), node = excluded.node
returning hlc"""
# The audio lies apart from its row, and is not touched when it is not wanted.
GREETING_UNLESS = """
select version, case when version <> %s then audio end
  from (select hlc || '-' || node as version, audio from public.greeting where id = %s and not deleted) g"""
LOCK = "select pg_advisory_xact_lock(0x766d7578)"  # any constant: "vmux"


class PostgresUsers:
    """The `Users` of store.api."""

    def __init__(self, connections: Connections, clock: HybridClock, node: int) -> None:
        self._connections, self._clock, self._node = connections, clock, node

    async def by_extension(self, extension: str) -> User | None:
        number = extension.replace("\0", "")
        values = (number, setting_id(ALTERNATE_EXTENSION, number), number)
        rows = await self._connections.query(BY_EXTENSION, values)
        return user_of(rows[0]) if rows else None

    async def get(self, user_id: UUID) -> User | None:
        rows = await self._connections.query(GET + " where id = %s and not deleted", (user_id,))
        return user_of(rows[0]) if rows else None

    async def all(self) -> Sequence[User]:
        rows = await self._connections.query(GET + " where not deleted order by extension, id")
        return [user_of(row) for row in rows]

    async def add(self, user: User) -> None:
        values = (*_values(user), self._clock.now(), self._node)

        async def work(connection: AsyncConnection[Row]) -> None:
            async with connection.transaction():
                await self._require_free(connection, user)
                cursor = await connection.execute(ADD, (user.id, *values))
                if not await cursor.fetchone():
                    raise Conflict(f"user {user.id} is there already")

        await self._connections.run(work)
        await self._tell("user_account")

    async def change(self, user: User) -> None:
        values = (*_values(user), self._clock.now(), self._node, user.id)

        async def work(connection: AsyncConnection[Row]) -> int:
            async with connection.transaction():
                await self._require_free(connection, user)
                cursor = await connection.execute(CHANGE, values)
                return _written(await cursor.fetchone(), user.id)

        self._clock.observe(await self._connections.run(work))
        await self._tell("user_account")

    async def remove(self, user_id: UUID) -> None:
        rows = await self._connections.query(REMOVE, (self._clock.now(), self._node, user_id))
        self._clock.observe(_written(rows[0] if rows else None, user_id))
        await self._tell("user_account")

    async def greeting(self, user_id: UUID, kind: str = "standard") -> bytes | None:
        rows = await self._connections.query(
            "select audio from public.greeting where id = %s and not deleted",
            (greeting_id(user_id, kind),),
            binary=True,
        )
        return bytes(rows[0][0]) if rows else None

    async def greeting_unless(self, user_id: UUID, version: str, kind: str = "standard") -> Greeting | None:
        values = (version, greeting_id(user_id, kind))
        rows = await self._connections.query(GREETING_UNLESS, values, binary=True)
        if not rows:
            return None
        current, audio = rows[0]
        return Greeting(current, None if audio is None else bytes(audio))

    async def set_greeting(self, user_id: UUID, audio: bytes | None, kind: str = "standard") -> None:
        identifier = greeting_id(user_id, kind)
        values = (identifier, user_id, kind, audio or b"", audio is None, self._clock.now(), self._node)
        rows = await self._connections.query(SET_GREETING, values)
        self._clock.observe(_written(rows[0] if rows else None, user_id))
        await self._tell("greeting")

    async def _require_free(self, connection: AsyncConnection[Row], user: User) -> None:
        """Nobody else on this node may be taking the same extension now."""
        await connection.execute(LOCK)
        cursor = await connection.execute(IN_USE, (user.extension, user.id))
        if await cursor.fetchone():
            raise Conflict(f"extension {user.extension} is in use")

    async def _tell(self, table: str) -> None:
        await self._connections.query("select pg_notify('vm', %s)", (table,))


def greeting_id(user_id: UUID, kind: str) -> UUID:
    """The same on both nodes, so that two greetings recorded apart are one row."""
    return uuid5(user_id, kind)


def _values(user: User) -> tuple[object, ...]:
    mail, language = user.mail, user.language
    return (user.extension, user.name, mail, user.attach, user.pin_hash, language, list(user.lamps))


def user_of(row: Row) -> User:
    return User(*(*row[:7], tuple(row[7])))


def _written(row: Row | None, user_id: UUID) -> int:
    if row is None:
        raise NotFound(f"no user {user_id}")
    return int(row[0])
