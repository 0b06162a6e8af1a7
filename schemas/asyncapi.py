"""The AsyncAPI 3 document of the topics, generated from `topics`."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from .records import REPLY_HEADERS, REQUEST_HEADERS
from .topics import Topic, Topics


def asyncapi_document(topics: Topics, kafka: str | None, version: str) -> dict[str, Any]:
    """Return the document of one mesh's topics. Without `kafka` it names no server."""
    replies = REPLY_HEADERS.document()
    headers = {
        topics.requests.name: REQUEST_HEADERS.document(),
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


def _schema_of(topic: Topic, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a topic's values, and add the schemas that it refers to to `schemas`."""
    schema = TypeAdapter(topic.payload).json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas |= schema.pop("$defs", {})
    if "discriminator" in schema:
        # An object in OpenAPI, only the name in AsyncAPI.
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
