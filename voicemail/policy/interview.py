"""What callers are asked, one question after the other (functions.md section 2.3)."""

from typing import Annotated, ClassVar

from pydantic import Field

from voicemail.policy.base import Policy
from voicemail.policy.model import Action, Go

Seconds = Annotated[float, Field(gt=0, le=300)]


class Interview(Policy):
    """Asks callers questions; what they answer is one message. A question's recording lies in the store's
    greetings under `question_kind`, owned by `store.model.setting_id("interview", name)`."""

    KIND: ClassVar[str] = "interview"
    extension: str = ""
    """A number that leads here when dialled; "" for none."""
    display_name: str = ""
    language: str = ""
    questions: tuple[Seconds, ...] = Field((), max_length=20)
    """For each question how long its answer may be."""
    messages_to: tuple[str, ...] = ()
    """Extensions or "list:<name>"."""
    dispatch: bool = False
    """The message is for whoever of those accepts it first."""
    urgent: bool = False
    after_message: Action = Action(go=Go.HANDLER, target="goodbye")


def question_kind(number: int) -> str:
    """Of a question (from 1): the kind of its recording."""
    return f"question {number}"
