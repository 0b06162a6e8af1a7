"""The AsyncAPI document matches the topics and headers."""

from modelmesh.schemas import records
from modelmesh.schemas.asyncapi import asyncapi_document
from modelmesh.schemas.records import PredictionRequest, Reply
from modelmesh.schemas.topics import Topics

DOCUMENT = asyncapi_document(Topics("mesh"), "broker:9092", "1.2.3")


def test_every_topic_is_a_channel_with_its_partitions():
    addresses = {channel["address"]: channel for channel in DOCUMENT["channels"].values()}
    for topic in [*Topics("mesh"), Topics("mesh").model("{model}")]:
        bindings = addresses[topic.name]["bindings"]["kafka"]
        assert bindings["partitions"] == topic.partitions
        assert ("retention.ms" in bindings["topicConfiguration"]) == (topic.kept is not None)
    assert len(addresses) == len(DOCUMENT["channels"])


def test_without_a_broker_address_only_the_servers_are_missing():
    without = asyncapi_document(Topics("mesh"), None, "1.2.3")
    assert without == {name: value for name, value in DOCUMENT.items() if name != "servers"}
    assert "broker:9092" in str(DOCUMENT["servers"])


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_each_reference_resolves():
    found = set(references(DOCUMENT))
    assert "#/channels/commands" in found
    assert "#/components/schemas/StartCanary" in found
    for reference in found:
        place = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_each_topic_has_a_schema_for_its_values():
    for channel in DOCUMENT["channels"].values():
        [(name, message)] = channel["messages"].items()
        assert message["name"] == name != "Record"
        assert message["payload"]
    schemas = DOCUMENT["components"]["schemas"]
    assert set(schemas["StepCanary"]["required"]) >= {"model", "percentage", "expires_at"}
    assert "name" in schemas["StopExperiment"]["properties"], "as it is written"
    assert set(schemas["CanaryShareData"]["required"]) >= {"candidate", "percentage", "id"}


def test_headers_and_required_headers_match_the_records():
    request = PredictionRequest(
        "r", "m", 1.0, "mesh.replies", 3, b"{}", routing_key="u", pinned_version="1.0.0", priority="batch"
    )
    described = DOCUMENT["channels"]["requests"]["messages"]["PredictionRequest"]["headers"]
    written = {name for name, _ in request.headers()}
    assert written <= set(described["properties"])
    assert set(described["required"]) <= written
    minimal = [(name, dict(request.headers())[name]) for name in described["required"]]
    assert PredictionRequest.from_record(minimal, b"{}").request_id == "r"
    reply = Reply("r", "m", 200, b"{}", version="1.0.0", variant="stable", batch_size=2, worker="w", cached=True)
    properties = DOCUMENT["channels"]["replies"]["messages"]["Reply"]["headers"]["properties"]
    assert {name for name, _ in reply.headers()} <= set(properties)
    assert records.STATUS in properties
