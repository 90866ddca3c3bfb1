"""What all policies are: values that the store keeps as JSON."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

MEGABYTE = 1_000_000
DAY = 24 * 60


class Policy(BaseModel):
    """Base of all. `KIND` names its settings in the store."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    KIND: ClassVar[str] = ""
