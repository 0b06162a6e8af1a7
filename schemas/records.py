"""Requests and replies as Kafka records: the headers hold what routing needs, the value is the caller's body."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

from .errors import MalformedRecord
from .headers import DECIMAL, FLAG, MILLISECONDS, WHOLE, Header, HeaderTable
from .names import NONCE as NONCE_PATTERN
from .names import REQUEST_ID
from .value_class import value_class

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
GENERATION = "mm-generation"
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
ANSWER = "mm-answer"  # of a record on `deployments`: the event that answers its command

# Limits of a request's headers: they are copied from record to record, and an answer must fit beside them.
MAX_HEADERS = 128
MAX_HEADER_BYTES = 32 * 1024

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
# Open Inference Protocol bodies; `header` counts the bytes of JSON before the raw tensors.
V2_JSON = "application/vnd.open-inference.v2+json"


_ABOUT_ID = (
    "request id, the caller's name for the request in logs and labels: letters, digits, `._:-`; need not be unique. "
    "Without a nonce the reply is matched by it, and it must be unique"
)
_ABOUT_NONCE = (
    "16 or more random bytes as text (32 hex digits, say), unique to the request and the same in all its retries. "
    "The reply has it in its headers and as its key. Optional, for older producers"
)


def header_bytes(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """Return the size of headers in bytes."""
    total = 0
    for name, value in headers:  # twice as fast as sum() over a generator; runs for each record
        total += len(name) + (len(value) if value else 0)
    return total


def v2_content_type(header_bytes: int | None) -> str:
    """Return the content type of an Open Inference Protocol body."""
    return V2_JSON if header_bytes is None else f"{V2_JSON};header={header_bytes}"


def v2_header_bytes(content_type: str) -> int | None:
    """Return the bytes of JSON before the raw tensors; None if the body is all JSON. Raises MalformedRecord."""
    _, _, given = content_type.partition(";header=")
    if not given:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 12:
        raise MalformedRecord(
            f"the content type {content_type[:80]!r} has an invalid header length", field=CONTENT_TYPE
        )
    return int(given)


@value_class
class PredictionRequest:
    """A prediction request. `deadline` is in seconds since the epoch; routers do not parse `body` unless they cache its answer.

    `request_id` is the caller's name for the request and need not be unique. `nonce` is unique to the request, its retries
    included. Older producers send none, and the request id is used instead.
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
    trial: int = 0  # set by the router: the trial in which the version was assigned
    generation: int = 0  # set by the router: the release by whose shares it was assigned; 0 from an older router
    shadow: str = ""  # the version that gets a copy
    version_id: str = ""  # set by the router: the version's identity; empty from an older router
    pinned_version: str = ""  # the version that must answer; empty: the release decides
    fill: int | None = None  # the partition of cache-fills that a copy of the answer goes to
    traceparent: str = ""
    nonce: str = ""
    caller: str = ""  # the name of the API key or token that sent the request, if authentication is on

    @property
    def identity(self) -> str:
        """What identifies the request: the nonce, or the request id if there is none."""
        return self.nonce or self.request_id

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the record headers, without default values."""
        return REQUEST_HEADERS.write(self)

    @classmethod
    def from_record(cls, headers: Iterable[tuple[str, bytes]], value: bytes | None) -> PredictionRequest:
        """Read a request. Raises MalformedRecord naming the missing or unreadable header."""
        found = REQUEST_HEADERS.read(headers)
        request = REQUEST_HEADERS.make(found, value or b"")
        if not REQUEST_ID.fullmatch(request.request_id):
            raise MalformedRecord(f"header {ID} is not a request id: {request.request_id[:140]!r}", field=ID)
        if request.nonce and not NONCE_PATTERN.fullmatch(request.nonce):
            raise MalformedRecord(
                f"header {NONCE} has 22 to 128 letters, digits, '.', '_', ':' or '-', not {request.nonce[:140]!r}",
                field=NONCE,
            )
        if "\0" in "".join([text for text in found.values() if type(text) is str]):
            name = next(REQUEST_HEADERS.name_of(field) for field, text in found.items() if "\0" in str(text))
            raise MalformedRecord(f"header {name} contains a NUL", field=name)
        if request.role not in _ROLES:
            raise MalformedRecord(f"header {ROLE} is neither primary nor shadow: {request.role[:40]!r}", field=ROLE)
        if request.priority not in _PRIORITIES:
            raise MalformedRecord(
                f"header {PRIORITY} is neither interactive nor batch: {request.priority[:40]!r}", field=PRIORITY
            )
        if request.reply_partition < 0:
            raise MalformedRecord(f"header {REPLY_PARTITION} is negative", field=REPLY_PARTITION)
        if value is None:
            raise MalformedRecord("the record has no value")
        return request


_ROLES = frozenset(get_args(Role))
_PRIORITIES = frozenset(get_args(Priority))
REQUEST_HEADERS = HeaderTable(
    PredictionRequest,
    Header(ID, "request_id", always=True, about=_ABOUT_ID),
    Header(MODEL, "model", always=True),
    Header(DEADLINE, "deadline", MILLISECONDS, always=True, about="milliseconds since the epoch"),
    Header(REPLY_TOPIC, "reply_topic", always=True, about="the replies topic of this mesh"),
    Header(REPLY_PARTITION, "reply_partition", WHOLE, always=True, about="the partition that the caller reads"),
    Header(ATTEMPT, "attempt", WHOLE, always=True, about="1 for the first attempt, plus 1 for each retry"),
    Header(CONTENT_TYPE, "content_type", always=True, about=f"{JSON}, or {V2_JSON}[;header=N]"),
    Header(
        ROUTING_KEY,
        "routing_key",
        about="requests with the same key get the same variant; without it each request is assigned on its own",
    ),
    Header(ROLE, "role", internal=True),
    Header(PRIORITY, "priority", schema={"enum": list(get_args(Priority))}),
    Header(VARIANT, "variant", internal=True),
    Header(VERSION, "version", internal=True),
    Header(VERSION_ID, "version_id", internal=True),
    Header(DIGEST, "digest", internal=True),
    Header(TRIAL, "trial", WHOLE, internal=True),
    Header(GENERATION, "generation", WHOLE, internal=True),
    Header(SHADOW, "shadow", internal=True),
    Header(PIN, "pinned_version", about="the version that must answer, regardless of the release"),
    Header(FILL, "fill", WHOLE, internal=True),
    Header(TRACEPARENT, "traceparent", about="W3C trace context"),
    Header(NONCE, "nonce", about=_ABOUT_NONCE, schema={"pattern": f"^{NONCE_PATTERN.pattern}$"}),
    Header(CALLER, "caller", about="written by gateways: the name of the API key or token that sent the request"),
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
    trial: int = 0  # the request's, and so is the generation
    generation: int = 0
    shadow: str = ""  # the version that got a copy of the request
    fallback: str = ""  # the version that failed before stable answered
    seconds: float = 0.0  # in the worker
    cached: bool = False  # from the prediction cache
    content_type: str = JSON  # of an answer; an error is a problem document
    traceparent: str = ""
    nonce: str = ""  # the request's
    caller: str = ""  # the request's

    @property
    def identity(self) -> str:
        """What identifies the request: the nonce, or the request id if there is none."""
        return self.nonce or self.request_id

    @property
    def ok(self) -> bool:
        """Whether the model answered."""
        return self.status == 200

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the record headers, without default values."""
        return REPLY_HEADERS.write(self if self.ok else replace(self, content_type=PROBLEM_JSON))

    @classmethod
    def from_record(cls, headers: Iterable[tuple[str, bytes]], value: bytes | None) -> Reply:
        """Read a reply. Raises MalformedRecord naming the missing or unreadable header."""
        found = REPLY_HEADERS.read(headers)
        if found.get("status") != 200:
            found.pop("content_type", None)
        return REPLY_HEADERS.make(found, value or b"")


REPLY_HEADERS = HeaderTable(
    Reply,
    Header(ID, "request_id", always=True, about="the request's"),
    Header(MODEL, "model", always=True),
    Header(STATUS, "status", WHOLE, always=True, about="200, or the HTTP status of the problem in the value"),
    Header(ATTEMPT, "attempt", WHOLE, always=True),
    Header(CONTENT_TYPE, "content_type", always=True),
    Header(BATCH_SIZE, "batch_size", WHOLE, about="rows of its batch"),
    Header(VERSION, "version"),
    Header(VARIANT, "variant"),
    Header(WORKER, "worker"),
    Header(TRIAL, "trial", WHOLE, internal=True),
    Header(GENERATION, "generation", WHOLE, internal=True),
    Header(SHADOW, "shadow", internal=True),
    Header(FALLBACK, "fallback", internal=True),
    Header(SECONDS, "seconds", DECIMAL, internal=True),
    Header(CACHED, "cached", FLAG, about="present if the prediction cache answered"),
    Header(TRACEPARENT, "traceparent"),
    Header(
        NONCE,
        "nonce",
        about="the request's, if it had one; a reply is accepted only if nonce, model and partition match",
    ),
    Header(CALLER, "caller", about="the request's, if it had one"),
)
