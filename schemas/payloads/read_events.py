"""Events as they are read: one may be of a kind that this release of ModelMesh does not know."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from .event_data import EventData
from .events import Event, EventOf

EVENT_KINDS = frozenset(kind.model_fields["kind"].default for kind in get_args(get_args(Event)[0]))


class UnknownEvent(EventOf[EventData]):
    """An event of a kind that this release does not know. Nothing is done about it; all its fields are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str = Field(min_length=1)
    data: EventData = EventData()


def _whether_known(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "unknown" if isinstance(value, UnknownEvent) else "known"
    kind = value.get("kind") if isinstance(value, dict) else None
    return "unknown" if isinstance(kind, str) and kind and kind not in EVENT_KINDS else "known"


# An event as it is read: it may be of another release.
ReadEvent: TypeAlias = Annotated[
    Annotated[Event, Tag("known")] | Annotated[UnknownEvent, Tag("unknown")], Discriminator(_whether_known)
]
_EVENT: TypeAdapter[ReadEvent] = TypeAdapter(ReadEvent)


def _or_opaque(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        known = value if isinstance(value, dict) else {"data": {"value": value}}
        try:
            return UnknownEvent.model_validate(known)
        except ValidationError:
            return UnknownEvent(event_id="", kind="unreadable", model="", at=0.0, data=EventData.model_validate(known))


# An event in a stored state: one that cannot be read is kept as it is, since it must not block all else in the state.
StoredEvent: TypeAlias = Annotated[ReadEvent, WrapValidator(_or_opaque)]


def read_event(value: bytes | str) -> ReadEvent:
    """Return the event in a record's value. Raises ValidationError."""
    return _EVENT.validate_json(value)
