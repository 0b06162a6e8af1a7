"""Requests and replies as Kafka records: what routing needs is in the headers, the value is the caller's bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias, get_args

from .errors import MalformedRecord
from .names import NONCE as NONCE_PATTERN
from .names import REQUEST_ID
from .value_class import value_class

Headers: TypeAlias = Sequence[tuple[str, bytes]]
Role: TypeAlias = Literal["primary", "shadow"]
Priority: TypeAlias = Literal["interactive", "batch"]

ID = "mm-id"
NONCE = "mm-nonce"
CALLER = "mm-caller"
MODEL = "mm-model"
ROUTING_KEY = "mm-key"
DEADLINE = "mm-deadline"
REPLY_TOPIC = "mm-reply-topic"
REPLY_PARTITION = "mm-reply-partition"
ROLE = "mm-role"
VARIANT = "mm-variant"
VERSION = "mm-version"
ATTEMPT = "mm-attempt"
PRIORITY = "mm-priority"
TRIAL = "mm-trial"
SHADOW = "mm-shadow"
FALLBACK = "mm-fallback"
SECONDS = "mm-seconds"
CONTENT_TYPE = "content-type"
DIGEST = "mm-digest"
TRACEPARENT = "traceparent"
STATUS = "mm-status"
BATCH_SIZE = "mm-batch-size"
WORKER = "mm-worker"
REASON = "mm-reason"
SOURCE = "mm-source"
STACK = "mm-stack"
SOURCE_KEY = "mm-source-key"
REDRIVES = "mm-redrives"
UNREADABLE = "mm-unreadable"
CUT_BYTES = "mm-cut-bytes"
CUT_SHA256 = "mm-cut-sha256"
CUT_HEADERS = "mm-cut-headers"
FILL = "mm-fill"
PIN = "mm-pin"
ASKED_VERSION = "mm-asked-version"
CACHED = "mm-cached"
VERSION_ID = "mm-version-id"

# What a request may bring in its headers: many are copied from record to record, and an answer must fit beside them.
MOST_HEADERS = 128
MOST_HEADER_BYTES = 32 * 1024

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
# Open Inference Protocol bodies; `header` counts the bytes of JSON before the raw tensors.
V2_JSON = "application/vnd.open-inference.v2+json"


def header_bytes(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """Return how many bytes headers take."""
    total = 0
    for name, value in headers:  # twice as fast as sum() over a generator, and done for each record
        total += len(name) + (len(value) if value else 0)
    return total


def v2_content_type(header_bytes: int | None) -> str:
    """Return the content type of an Open Inference Protocol body."""
    return V2_JSON if header_bytes is None else f"{V2_JSON};header={header_bytes}"


def v2_header_bytes(content_type: str) -> int | None:
    """Return how many bytes of JSON stand before the raw tensors; None where all of it is JSON. Raises MalformedRecord."""
    _, _, given = content_type.partition(";header=")
    if not given:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 12:
        raise MalformedRecord(f"the content type {content_type[:80]!r} counts its header wrongly", field=CONTENT_TYPE)
    return int(given)


@value_class
class PredictionRequest:
    """One prediction asked for. `deadline` is in seconds since the epoch; `body` is never opened on the way.

    `request_id` is the caller's label, which may be given to many requests. `nonce` is what is this request's alone, its
    retries included; records of producers that know no nonce have none, and their request id stands for it.
    """

    request_id: str
    model: str
    deadline: float
    reply_topic: str
    reply_partition: int
    body: bytes
    routing_key: str = ""
    content_type: str = JSON
    role: Role = "primary"
    priority: Priority = "interactive"
    variant: str = ""
    version: str = ""
    attempt: int = 1
    digest: str = ""
    trial: int = 0  # the router's: the trial in which the version was assigned
    shadow: str = ""  # the version that a copy went to
    version_id: str = ""  # the router's: the version's identity; empty: an older router's, that knows the number alone
    pin: str = ""  # the version that must answer, whatever the release says; empty: the release decides
    fill: int = -1  # the partition of cache-fills that a copy of the answer goes to; -1: none
    traceparent: str = ""
    nonce: str = ""
    caller: str = ""  # the name of the API key or token that asked, where they are asked for

    @property
    def identity(self) -> str:
        """What is this request's alone: the nonce, and without one the request id."""
        return self.nonce or self.request_id

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the record headers; what is empty is left out."""
        headers = [
            (ID, self.request_id.encode()),
            (MODEL, self.model.encode()),
            (DEADLINE, b"%d" % round(self.deadline * 1000)),
            (REPLY_TOPIC, self.reply_topic.encode()),
            (REPLY_PARTITION, b"%d" % self.reply_partition),
            (ATTEMPT, b"%d" % self.attempt),
            (CONTENT_TYPE, self.content_type.encode()),
        ]
        for name, text in (
            (ROUTING_KEY, self.routing_key),
            (ROLE, self.role if self.role != "primary" else ""),
            (PRIORITY, self.priority if self.priority != "interactive" else ""),
            (VARIANT, self.variant),
            (VERSION, self.version),
            (VERSION_ID, self.version_id),
            (DIGEST, self.digest),
            (TRIAL, str(self.trial) if self.trial else ""),
            (SHADOW, self.shadow),
            (PIN, self.pin),
            (FILL, str(self.fill) if self.fill >= 0 else ""),
            (TRACEPARENT, self.traceparent),
            (NONCE, self.nonce),
            (CALLER, self.caller),
        ):
            if text:
                headers.append((name, text.encode()))
        return headers

    @classmethod
    def from_record(cls, headers: Iterable[tuple[str, bytes]], value: bytes | None) -> PredictionRequest:
        """Read a request back. Raises MalformedRecord naming the header that is missing or unreadable."""
        found = _texts(headers)
        get = found.get
        try:
            request_id, model, reply_topic = found[ID], found[MODEL], found[REPLY_TOPIC]
            deadline = int(found[DEADLINE]) / 1000
            reply_partition = int(found[REPLY_PARTITION])
            attempt, trial, fill = int(get(ATTEMPT, 1)), int(get(TRIAL, 0)), int(get(FILL, -1))
        except KeyError as missing:
            raise MalformedRecord(f"header {missing.args[0]} is missing", field=missing.args[0]) from None
        except (ValueError, OverflowError):
            raise _no_number(found, (DEADLINE, REPLY_PARTITION, ATTEMPT, TRIAL, FILL)) from None
        role, priority, nonce = get(ROLE, "primary"), get(PRIORITY, "interactive"), get(NONCE, "")
        if not REQUEST_ID.fullmatch(request_id):
            raise MalformedRecord(f"header {ID} is not a request id: {request_id[:140]!r}", field=ID)
        if nonce and not NONCE_PATTERN.fullmatch(nonce):
            raise MalformedRecord(
                f"header {NONCE} has 22 to 128 letters, digits, '.', '_', ':' or '-', not {nonce[:140]!r}", field=NONCE
            )
        if "\0" in "".join(found.values()):
            name = next(name for name, text in found.items() if "\0" in text)
            raise MalformedRecord(f"header {name} holds a NUL", field=name)
        if role not in _ROLES:
            raise MalformedRecord(f"header {ROLE} is neither primary nor shadow: {role[:40]!r}", field=ROLE)
        if priority not in _PRIORITIES:
            raise MalformedRecord(
                f"header {PRIORITY} is neither interactive nor batch: {priority[:40]!r}", field=PRIORITY
            )
        if reply_partition < 0:
            raise MalformedRecord(f"header {REPLY_PARTITION} is negative", field=REPLY_PARTITION)
        if value is None:
            raise MalformedRecord("the record has no value")
        return cls(
            request_id=request_id,
            model=model,
            deadline=deadline,
            reply_topic=reply_topic,
            reply_partition=reply_partition,
            body=value,
            routing_key=get(ROUTING_KEY, ""),
            content_type=get(CONTENT_TYPE, JSON),
            role=role,  # type: ignore[arg-type]
            priority=priority,  # type: ignore[arg-type]
            variant=get(VARIANT, ""),
            version=get(VERSION, ""),
            version_id=get(VERSION_ID, ""),
            attempt=attempt,
            digest=get(DIGEST, ""),
            trial=trial,
            shadow=get(SHADOW, ""),
            fill=fill,
            pin=get(PIN, ""),
            traceparent=get(TRACEPARENT, ""),
            nonce=nonce,
            caller=get(CALLER, ""),
        )


@value_class
class Reply:
    """The answer to one request: status 200 and a JSON body, or the status and problem document of an error."""

    request_id: str
    model: str
    status: int
    body: bytes
    version: str = ""
    variant: str = ""
    attempt: int = 1
    batch_size: int = 0
    worker: str = ""
    trial: int = 0
    shadow: str = ""  # the version that a copy of the request went to
    fallback: str = ""  # the version that failed on it before stable answered
    seconds: float = 0.0  # in the worker
    cached: bool = False  # given again from the prediction cache
    content_type: str = JSON  # of an answer; an error is always a problem document
    traceparent: str = ""
    nonce: str = ""  # the request's
    caller: str = ""  # the request's

    @property
    def identity(self) -> str:
        """What is this reply's request's alone: the nonce, and without one the request id."""
        return self.nonce or self.request_id

    @property
    def ok(self) -> bool:
        """Whether the model answered."""
        return self.status == 200

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the record headers; what is empty is left out."""
        headers = [
            (ID, self.request_id.encode()),
            (MODEL, self.model.encode()),
            (STATUS, b"%d" % self.status),
            (ATTEMPT, b"%d" % self.attempt),
            (CONTENT_TYPE, (self.content_type if self.ok else PROBLEM_JSON).encode()),
        ]
        if self.batch_size:
            headers.append((BATCH_SIZE, b"%d" % self.batch_size))
        for name, text in (
            (VERSION, self.version),
            (VARIANT, self.variant),
            (WORKER, self.worker),
            (TRIAL, str(self.trial) if self.trial else ""),
            (SHADOW, self.shadow),
            (FALLBACK, self.fallback),
            (SECONDS, f"{self.seconds:.6f}" if self.seconds else ""),
            (CACHED, "1" if self.cached else ""),
            (TRACEPARENT, self.traceparent),
            (NONCE, self.nonce),
            (CALLER, self.caller),
        ):
            if text:
                headers.append((name, text.encode()))
        return headers

    @classmethod
    def from_record(cls, headers: Iterable[tuple[str, bytes]], value: bytes | None) -> Reply:
        """Read a reply back. Raises MalformedRecord naming the header that is missing or unreadable."""
        found = _texts(headers)
        get = found.get
        try:
            request_id, model, status = found[ID], found[MODEL], int(found[STATUS])
            attempt, batch_size, trial = int(get(ATTEMPT, 1)), int(get(BATCH_SIZE, 0)), int(get(TRIAL, 0))
            seconds = float(get(SECONDS, 0))
        except KeyError as missing:
            raise MalformedRecord(f"header {missing.args[0]} is missing", field=missing.args[0]) from None
        except ValueError:
            raise _no_number(found, (STATUS, ATTEMPT, BATCH_SIZE, TRIAL, SECONDS)) from None
        return cls(
            request_id=request_id,
            model=model,
            status=status,
            body=value or b"",
            version=get(VERSION, ""),
            variant=get(VARIANT, ""),
            attempt=attempt,
            batch_size=batch_size,
            worker=get(WORKER, ""),
            trial=trial,
            shadow=get(SHADOW, ""),
            fallback=get(FALLBACK, ""),
            seconds=seconds,
            cached=CACHED in found,
            content_type=get(CONTENT_TYPE, JSON) if status == 200 else JSON,
            traceparent=get(TRACEPARENT, ""),
            nonce=get(NONCE, ""),
            caller=get(CALLER, ""),
        )


# The headers that are read here; a record may have any others beside them.
_KNOWN = frozenset(
    {
        ID,
        NONCE,
        CALLER,
        MODEL,
        ROUTING_KEY,
        DEADLINE,
        REPLY_TOPIC,
        REPLY_PARTITION,
        ROLE,
        VARIANT,
        VERSION,
        ATTEMPT,
        PRIORITY,
        TRIAL,
        SHADOW,
        FALLBACK,
        SECONDS,
        CONTENT_TYPE,
        DIGEST,
        TRACEPARENT,
        STATUS,
        BATCH_SIZE,
        WORKER,
        FILL,
        PIN,
        CACHED,
        VERSION_ID,
    }
)
_ROLES = frozenset(get_args(Role))
_PRIORITIES = frozenset(get_args(Priority))


def _texts(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Return the known headers as text, by name. Raises MalformedRecord naming one that is no UTF-8."""
    found: dict[str, str] = {}
    name = ""
    try:
        for name, value in headers:
            if name in _KNOWN:
                found[name] = value.decode()
    except (UnicodeDecodeError, AttributeError):
        raise MalformedRecord(f"header {name} cannot be read: {str(value)[:140]}", field=name) from None
    return found


def _no_number(found: dict[str, str], names: Iterable[str]) -> MalformedRecord:
    """Return the error for the first of these headers that is not a number."""
    name = next(name for name in names if name in found and not _is_number(found[name]))
    return MalformedRecord(f"header {name} cannot be read: {found[name][:140]!r}", field=name)


def _is_number(text: str) -> bool:
    """Whether a text is a whole number of a size that a deadline may have. A header of fractions is asked about last."""
    try:
        int(text) / 1000
    except (ValueError, OverflowError):
        return False
    return True
