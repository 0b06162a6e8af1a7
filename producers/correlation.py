"""Matches replies with requests. No I/O."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from ..schemas.errors import MalformedRecord
from ..schemas.records import PredictionRequest, Reply

# Seconds; smaller clock skews are ignored.
NOTABLE_SKEW = 1.0


def answer_to(request: PredictionRequest, record: ConsumerRecord) -> Reply | None:
    """Return the reply in a record if its nonce, model and reply partition match the request, else None.

    The request id is not compared: it need not be unique.
    """
    try:
        reply = Reply.from_record(record.headers, record.value)
    except MalformedRecord:
        return None
    matches = (
        reply.nonce == request.nonce
        and reply.model == request.model
        and record.partition == request.reply_partition
        and record.topic == request.reply_topic
    )
    return reply if matches else None


def skew_of(record: ConsumerRecord, now: float, left: float) -> float:
    """Return how many seconds the clock of a reply's writer is ahead of `now`; 0 if that explains no missed deadline.

    A deadline is a wall clock time. `left` are the seconds until the deadline by the sender's own timer.
    """
    skew = record.timestamp / 1000 - now
    return skew if abs(skew) > NOTABLE_SKEW and left > 0 else 0.0


def clocks_differ(skew: float) -> str:
    """Return the error message for a clock skew."""
    return (
        f"no answer: the clock of the mesh is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the clock of the "
        "client (of the gateway, over HTTP), so that the deadline seemed to have passed; set both clocks by NTP"
    )
