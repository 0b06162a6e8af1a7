"""The AsyncAPI 3 document of the topics, made from the one place that says which there are."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from . import records
from .names import NONCE
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


def asyncapi_document(topics: Topics, kafka: str | None, version: str) -> dict[str, Any]:
    """Return the document of one mesh's topics; without `kafka` it does not say where they are."""
    replies = _headers(_REPLY_HEADERS, [records.ID, records.STATUS])
    headers = {
        topics.requests.name: _headers(_REQUEST_HEADERS, _REQUIRED),
        topics.replies.name: replies,
        topics.shadow_replies.name: replies,
    }
    schemas: dict[str, Any] = {}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for topic in [*topics, topics.model("{model}")]:
        key = topic.name.removeprefix(f"{topics.prefix}.").replace("{", "").replace("}", "").replace(".", "-")
        channels[key] = _channel(topic, headers.get(topic.name), _schema_of(topic, schemas))
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
        "components": {"schemas": schemas},
    } | ({"servers": {"kafka": {"host": kafka, "protocol": "kafka"}}} if kafka is not None else {})


def _headers(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _schema_of(topic: Topic, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a topic's values; the schemas that it refers to are added to those of all topics."""
    schema = TypeAdapter(topic.payload).json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas |= schema.pop("$defs", {})
    if "discriminator" in schema:
        # OpenAPI has an object here, AsyncAPI the name alone.
        schema["discriminator"] = schema["discriminator"]["propertyName"]
    return schema


def _channel(topic: Topic, headers: dict[str, Any] | None, payload: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"name": topic.message, "payload": payload}
    if headers is not None:
        message["headers"] = headers
    message["bindings"] = {"kafka": {"key": {"type": "string", "description": topic.key}}}
    channel: dict[str, Any] = {
        "address": topic.name,
        "description": topic.holds,
        "messages": {topic.message: message},
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
