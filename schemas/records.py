"""Requests and replies as Kafka records: what routing needs is in the headers, the value is the caller's bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from .errors import MalformedRecord
from .names import NONCE as NONCE_PATTERN
from .names import REQUEST_ID

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
    return sum(len(name) + len(value or b"") for name, value in headers)


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


@dataclass(slots=True, frozen=True)
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
        found = dict(headers)
        name = ID
        try:
            request_id = found[name].decode()
            name = MODEL
            model = found[name].decode()
            name = DEADLINE
            deadline = int(found[name]) / 1000
            name = REPLY_TOPIC
            reply_topic = found[name].decode()
            name = REPLY_PARTITION
            reply_partition = int(found[name])
            name = ATTEMPT
            attempt = int(found.get(name, b"1"))
            name = TRIAL
            trial = int(found.get(name, b"0"))
            name = FILL
            fill = int(found.get(name, b"-1"))
            name = ROLE
            role = found.get(name, b"primary").decode()
            name = PRIORITY
            priority = found.get(name, b"interactive").decode()
            name = "text headers"
            routing_key = found.get(ROUTING_KEY, b"").decode()
            content_type = found.get(CONTENT_TYPE, b"application/json").decode()
            variant = found.get(VARIANT, b"").decode()
            version = found.get(VERSION, b"").decode()
            version_id = found.get(VERSION_ID, b"").decode()
            digest = found.get(DIGEST, b"").decode()
            shadow = found.get(SHADOW, b"").decode()
            pin = found.get(PIN, b"").decode()
            traceparent = found.get(TRACEPARENT, b"").decode()
            nonce = found.get(NONCE, b"").decode()
            caller = found.get(CALLER, b"").decode()
        except KeyError:
            raise MalformedRecord(f"header {name} is missing", field=name) from None
        except (ValueError, OverflowError, AttributeError, TypeError):
            raise _unreadable(name, found) from None
        if not REQUEST_ID.fullmatch(request_id):
            raise MalformedRecord(f"header {ID} is not a request id: {request_id[:140]!r}", field=ID)
        if nonce and not NONCE_PATTERN.fullmatch(nonce):
            raise MalformedRecord(
                f"header {NONCE} has 22 to 128 letters, digits, '.', '_', ':' or '-', not {nonce[:140]!r}", field=NONCE
            )
        if "\0" in f"{model}{routing_key}{content_type}{variant}{version}{digest}{shadow}{pin}{traceparent}{caller}":
            name = next(one for one in _TEXTS if b"\0" in found.get(one, b""))
            raise MalformedRecord(f"header {name} holds a NUL", field=name)
        if role not in get_args(Role):
            raise MalformedRecord(f"header {ROLE} is neither primary nor shadow: {role[:40]!r}", field=ROLE)
        if priority not in get_args(Priority):
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
            routing_key=routing_key,
            content_type=content_type,
            role=role,  # type: ignore[arg-type]
            priority=priority,  # type: ignore[arg-type]
            variant=variant,
            version=version,
            version_id=version_id,
            attempt=attempt,
            digest=digest,
            trial=trial,
            shadow=shadow,
            fill=fill,
            pin=pin,
            traceparent=traceparent,
            nonce=nonce,
            caller=caller,
        )


@dataclass(slots=True, frozen=True)
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
        found = dict(headers)
        name = ID
        try:
            request_id = found[name].decode()
            name = MODEL
            model = found[name].decode()
            name = STATUS
            status = int(found[name])
            name = ATTEMPT
            attempt = int(found.get(name, b"1"))
            name = BATCH_SIZE
            batch_size = int(found.get(name, b"0"))
            name = TRIAL
            trial = int(found.get(name, b"0"))
            name = SECONDS
            seconds = float(found.get(name, b"0"))
            name = "text headers"
            version = found.get(VERSION, b"").decode()
            variant = found.get(VARIANT, b"").decode()
            worker = found.get(WORKER, b"").decode()
            shadow = found.get(SHADOW, b"").decode()
            fallback = found.get(FALLBACK, b"").decode()
            content_type = found.get(CONTENT_TYPE, b"application/json").decode()
            traceparent = found.get(TRACEPARENT, b"").decode()
            nonce = found.get(NONCE, b"").decode()
            caller = found.get(CALLER, b"").decode()
        except KeyError:
            raise MalformedRecord(f"header {name} is missing", field=name) from None
        except (ValueError, AttributeError, TypeError):
            raise _unreadable(name, found) from None
        return cls(
            request_id=request_id,
            model=model,
            status=status,
            body=value or b"",
            version=version,
            variant=variant,
            attempt=attempt,
            batch_size=batch_size,
            worker=worker,
            trial=trial,
            shadow=shadow,
            fallback=fallback,
            seconds=seconds,
            cached=CACHED in found,
            content_type=content_type if status == 200 else JSON,
            traceparent=traceparent,
            nonce=nonce,
            caller=caller,
        )


def _unreadable(name: str, found: dict[str, bytes]) -> MalformedRecord:
    """Return the error for a header that is not what it must be; among the text headers, the first that is no UTF-8."""
    if name == "text headers":
        name = next((given for given, value in found.items() if not _is_text(value)), name)
    return MalformedRecord(f"header {name} cannot be read: {str(found.get(name))[:140]}", field=name)


def _is_text(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return value is not None


_TEXTS = (MODEL, ROUTING_KEY, CONTENT_TYPE, VARIANT, VERSION, DIGEST, SHADOW, PIN, TRACEPARENT, CALLER)
