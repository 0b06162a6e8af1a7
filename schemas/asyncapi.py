"""The AsyncAPI 3 document of the topics, made from the one place that says which there are."""

from __future__ import annotations

from typing import Any

from . import records
from .names import NONCE
from .payloads.chaos import Fault
from .payloads.commands import Command, Event
from .payloads.keys import ApiKey
from .payloads.labels import Label
from .payloads.observations import Summary
from .payloads.releases import Release
from .payloads.replicas import Heartbeat
from .topics import Topic, Topics

_TEXT = {"type": "string"}
_WHOLE = {"type": "string", "pattern": "^-?[0-9]+$"}
_NONCE = (
    "16 random bytes or more as text (32 hex digits, say): this request's alone, the same each time that it is sent again. "
    "The reply repeats it, in its headers and as its key. Producers that know no nonce leave it out"
)
# What the headers of requests and replies mean; all are UTF-8 text.
_REQUEST_HEADERS: dict[str, dict[str, Any]] = {
    records.ID: _TEXT
    | {
        "description": "request id, the caller's label for logs and labels: letters, digits, `._:-`; may be given again. "
        "Without a nonce it also says whose the reply is, and must then be a new one for each request"
    },
    records.NONCE: _TEXT | {"pattern": f"^{NONCE.pattern}$", "description": _NONCE},
    records.CALLER: _TEXT | {"description": "written by gateways: the name of the API key or token that asked"},
    records.MODEL: _TEXT,
    records.DEADLINE: _WHOLE | {"description": "milliseconds since the epoch"},
    records.REPLY_TOPIC: _TEXT | {"description": "the replies topic of this mesh"},
    records.REPLY_PARTITION: _WHOLE | {"description": "the partition that the caller reads"},
    records.ATTEMPT: _WHOLE | {"description": "1, and one more each time the request is sent again"},
    records.CONTENT_TYPE: _TEXT | {"description": f"{records.JSON}, or {records.V2_JSON}[;header=N]"},
    records.ROUTING_KEY: _TEXT | {"description": "keeps a user's variant; without it each request draws anew"},
    records.PRIORITY: {"type": "string", "enum": ["interactive", "batch"]},
    records.PIN: _TEXT | {"description": "the version that must answer, whatever the release says"},
    records.TRACEPARENT: _TEXT | {"description": "W3C trace context"},
}
_REQUIRED = [records.ID, records.MODEL, records.DEADLINE, records.REPLY_TOPIC, records.REPLY_PARTITION]
_REPLY_HEADERS: dict[str, dict[str, Any]] = {
    records.ID: _TEXT | {"description": "the request's"},
    records.NONCE: _TEXT
    | {"description": "the request's, where it had one: a reply counts only if nonce, model and partition fit"},
    records.CALLER: _TEXT | {"description": "the request's, where it had one"},
    records.MODEL: _TEXT,
    records.STATUS: _WHOLE | {"description": "200, or the HTTP status of the problem in the value"},
    records.ATTEMPT: _WHOLE,
    records.CONTENT_TYPE: _TEXT,
    records.VERSION: _TEXT,
    records.VARIANT: _TEXT,
    records.BATCH_SIZE: _WHOLE | {"description": "rows of the batch that it was served in"},
    records.WORKER: _TEXT,
    records.CACHED: _TEXT | {"description": "there where the prediction cache answered"},
    records.TRACEPARENT: _TEXT,
}
_PREDICTION = {
    "oneOf": [
        {"type": "object", "required": ["inputs"], "description": "a request: a row, rows or named features"},
        {"type": "object", "required": ["model", "version", "outputs"], "description": "an answer"},
        {"type": "object", "required": ["title", "status", "code", "detail"], "description": "a problem (RFC 9457)"},
    ]
}


def asyncapi_document(topics: Topics, kafka: str | None, version: str) -> dict[str, Any]:
    """Return the document of one mesh's topics; without `kafka` it does not say where they are."""
    kinds: dict[str, Any] = {
        topics.requests.name: ("PredictionRequest", _headers(_REQUEST_HEADERS, _REQUIRED), _PREDICTION),
        topics.replies.name: ("Reply", _headers(_REPLY_HEADERS, [records.ID, records.STATUS]), _PREDICTION),
        topics.shadow_replies.name: (
            "ShadowReply",
            _headers(_REPLY_HEADERS, [records.ID, records.STATUS]),
            _PREDICTION,
        ),
        topics.observations.name: ("Summary", None, Summary),
        topics.commands.name: ("Command", None, Command),
        topics.events.name: ("Event", None, Event),
        topics.deployments.name: ("Release", None, Release),
        topics.replicas.name: ("Heartbeat", None, Heartbeat),
        topics.chaos.name: ("Fault", None, Fault),
        topics.keys.name: ("ApiKey", None, ApiKey),
        topics.labels.name: ("Label", None, Label),
    }
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for topic in [*topics, topics.model("{model}")]:
        name, headers, payload = kinds.get(topic.name, (None, None, {}))
        key = topic.name.removeprefix(f"{topics.prefix}.").replace("{", "").replace("}", "").replace(".", "-")
        channels[key] = _channel(topic, name or key, headers, payload)
        for action, who in (("send", topic.written_by), ("receive", topic.read_by)):
            operations[f"{action}-{key}"] = {"action": action, "channel": {"$ref": f"#/channels/{key}"}, "summary": who}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "ModelMesh",
            "version": version,
            "description": "Machine-learning models served over a Kafka log: what travels on it, topic by topic.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    } | ({"servers": {"kafka": {"host": kafka, "protocol": "kafka"}}} if kafka is not None else {})


def _headers(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _channel(topic: Topic, name: str, headers: dict[str, Any] | None, payload: Any) -> dict[str, Any]:
    schema = payload if isinstance(payload, dict) else payload.model_json_schema(mode="serialization")
    message: dict[str, Any] = {"name": name, "payload": schema}
    if headers is not None:
        message["headers"] = headers
    message["bindings"] = {"kafka": {"key": {"type": "string", "description": topic.key}}}
    channel: dict[str, Any] = {
        "address": topic.name,
        "description": topic.holds,
        "messages": {name: message},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {"cleanup.policy": ["compact"]}
                if topic.kept is None
                else {"cleanup.policy": ["delete"], "retention.ms": int(topic.kept.total_seconds() * 1000)},
            }
        },
    }
    if "{model}" in topic.name:
        channel["parameters"] = {"model": {"description": "the model's name"}}
    return channel
