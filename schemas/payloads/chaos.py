"""A fault to inject: where, how often and until when."""

from __future__ import annotations

from typing import Literal, get_args
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from .unknown_values import OrUnknown

FaultKind = Literal["error", "latency", "drop-replies", "crash"]
FAULT_KINDS: tuple[str, ...] = get_args(FaultKind)


class Fault(BaseModel):
    """A fault hits requests that match model, version, routing key, replica and topic; an empty field matches everything.

    `error` makes the model fail, `latency` adds `milliseconds` to each of its batches, or to each record on its way to
    `topic` if that is given; `drop-replies` discards answers; `crash` kills the worker that has the request in hand.
    """

    model_config = ConfigDict(frozen=True)

    fault_id: str = Field(default_factory=lambda: uuid4().hex[:12])
    kind: OrUnknown[FaultKind]
    model: str = ""
    version: str = ""
    routing_key: str = ""
    replica: str = ""
    topic: str = ""
    share: float = Field(default=1.0, gt=0, le=1, description="of the requests that match")
    milliseconds: float = Field(default=0.0, ge=0, le=60_000)
    until: float = Field(description="seconds since the epoch")
    actor: str = ""

    def hits(self, replica: str, now: float, **where: str) -> bool:
        """Whether the fault applies here and now, regardless of `share`; `where` gives model, version and so on."""
        if now >= self.until or (self.replica and self.replica != replica):
            return False
        conditions = {
            "model": self.model,
            "version": self.version,
            "routing_key": self.routing_key,
            "topic": self.topic,
        }
        return all(not value or where.get(name) == value for name, value in conditions.items())
