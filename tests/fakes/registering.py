"""A phone in plain text that answers challenges (RFC 2617 with qop=auth)."""

import hashlib
import re

from sip.digest import ha1
from tests.fakes.sip import SDP, Headers, Message, Party, Where


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def proof(challenge: str, method: str, uri: str, user: str, password: str) -> str:
    """What an Authorization header says."""
    said = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    a1, a2 = ha1(user, password, said["realm"]), md5(f"{method}:{uri}")
    response = md5(f"{a1}:{said['nonce']}:00000001:c0ffee:auth:{a2}")
    return (
        f'Digest username="{user}", realm="{said["realm"]}", nonce="{said["nonce"]}", uri="{uri}", '
        f'response="{response}", qop=auth, nc=00000001, cnonce="c0ffee", algorithm=MD5'
    )


class RegisteringPhone:
    """The phone of an extension; `party` is its socket."""

    def __init__(self, party: Party, extension: str, password: str) -> None:
        self.party, self.extension, self.password = party, extension, password
        party.user = extension

    async def register(
        self, where: Where, expires: int = 300, at: Where | None = None, headers: Headers = ()
    ) -> Message:
        """The last answer. With `at`, the challenge of `where` is answered at another edge."""
        uri = "sip:{}:{}".format(*where)
        asked = await self._send("REGISTER", uri, where, (("Expires", str(expires)), *headers))
        if asked.code != 401:
            return asked
        shown = proof(asked.get("WWW-Authenticate"), "REGISTER", uri, self.extension, self.password)
        more = (("Authorization", shown), ("Expires", str(expires)), *headers)
        return await self._send("REGISTER", uri, at or where, more)

    async def call(self, number: str, where: Where, headers: Headers = ()) -> tuple[Message, Message | None]:
        """INVITE: the last answer, and the challenge if there was one."""
        uri = f"sip:{number}@{where[0]}:{where[1]}"
        typed = (("Content-Type", "application/sdp"), *headers)
        asked = await self._send("INVITE", uri, where, typed, SDP)
        if asked.code != 407:
            return asked, None
        shown = proof(asked.get("Proxy-Authenticate"), "INVITE", uri, self.extension, self.password)
        return await self._send("INVITE", uri, where, (("Proxy-Authorization", shown), *typed), SDP), asked

    async def _send(self, method: str, uri: str, where: Where, headers: Headers, body: str = "") -> Message:
        ours = f"<sip:{self.extension}@{where[0]}>"
        to = ours if method == "REGISTER" else f"<{uri}>"
        chosen = (("From", f"{ours};tag=f{self.extension}"), ("To", to), *headers)
        kept = tuple(dict(chosen).items())
        return await self.party.request(method, uri, where, kept, body)
