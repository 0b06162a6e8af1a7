"""Which reply answers which request. No I/O."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from ..schemas.errors import MalformedRecord
from ..schemas.records import PredictionRequest, Reply

# Clocks that differ by fewer seconds take no deadline away.
NOTABLE_SKEW = 1.0


def answer_to(request: PredictionRequest, record: ConsumerRecord) -> Reply | None:
    """Return the reply in a record if it answers the request: nonce, model and reply partition fit. Else None.

    The caller's request id says nothing here: it is a label, which any number of requests may have.
    """
    try:
        reply = Reply.from_record(record.headers, record.value)
    except MalformedRecord:
        return None
    fits = (
        reply.nonce == request.nonce
        and reply.model == request.model
        and record.partition == request.reply_partition
        and record.topic == request.reply_topic
    )
    return reply if fits else None


def skew_of(record: ConsumerRecord, now: float, left: float) -> float:
    """Return by how many seconds a reply's writer is ahead of the clock here, `now`; 0: that took no deadline away.

    A deadline is a moment on the wall clock. How long a request has waited, its sender knows by its own timer: `left` are
    the seconds that it had left.
    """
    skew = record.timestamp / 1000 - now
    return skew if abs(skew) > NOTABLE_SKEW and left > 0 else 0.0


def clocks_differ(skew: float) -> str:
    """Say which clock is wrong by how much, and what to do."""
    return (
        f"no answer: the clock of the mesh is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the clock of the "
        "client (of the gateway, over HTTP), so that the deadline seemed to have passed; set both clocks by NTP"
    )
