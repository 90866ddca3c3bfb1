"""Calls that a worker makes of its own accord, to run a conversation with whom answers."""

from typing import TYPE_CHECKING

from sip.call import HungUp, Prompts, Transferred
from sip.invite import Invite
from sip.pjcall import PjCall
from sip.transfer import Out, outcome

if TYPE_CHECKING:
    from sip.endpoint import Engine


class OutCall(PjCall):
    """A call to somebody; it has no number before it is dialled."""

    def __init__(self, engine: "Engine", number: str, prompts: Prompts, out: Out) -> None:
        super().__init__(engine, 0, Invite("", number, ""), prompts, out)
        self._answered = True  # by the other side: there is nothing for us to answer
        self.trunk = out.trunk

    async def answered(self, seconds: float) -> Transferred:
        """Wait until it is; DONE then. It is over when this returns anything else."""
        try:
            await self.until(lambda: self.talks, seconds)
        except HungUp:
            return outcome(self.code) if self.code >= 300 else Transferred.NO_ANSWER
        if self.talks:
            return Transferred.DONE
        await self.hang_up()
        return Transferred.NO_ANSWER
