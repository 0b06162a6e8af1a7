"""Answers of the HTTP API: typed attributes, and the received JSON by key, also from another release of the service."""

import json
from datetime import UTC, datetime

import pytest
from modelmesh.cli.options import json_text
from modelmesh.schemas.documents.models import DeletedModel, ModelDocument
from modelmesh.schemas.documents.monitoring import Monitored
from modelmesh.schemas.documents.releases import Deployed, DeploymentList, EventDocument

MODEL = {
    "name": "fraud", "framework": "sklearn", "created_at": "2026-01-02T03:04:05Z", "live_version": None, "versions": ["1.0.0"]
}  # fmt: skip
EVENT = {"event_id": "1", "kind": "release.deployed", "model": "fraud", "at": 1.5}


def test_fields_are_attributes_with_their_types():
    model = ModelDocument.received(MODEL)
    assert model.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert model.versions == ["1.0.0"]
    deployed = Deployed.received({"event": EVENT, "deployment": None, "ready": True})
    assert (deployed.event.kind, deployed.event.generation) == ("release.deployed", 0)


def test_keys_give_the_json():
    model = ModelDocument.received(MODEL)
    assert model["created_at"] == "2026-01-02T03:04:05Z"
    assert (model.get("live_version", 1), model.get("nothing", 1)) == (None, 1)
    assert "name" in model
    assert "nothing" not in model
    assert dict(model) == dict(model.items()) == MODEL
    with pytest.raises(KeyError):
        model["nothing"]
    assert json.loads(json_text([model])) == [MODEL]


def test_keys_of_a_nested_document_give_the_json():
    assert Deployed.received({"event": EVENT, "deployment": None, "ready": True})["event"]["kind"] == (
        "release.deployed"
    )


def test_a_document_that_was_not_received_has_keys_too():
    event = EventDocument.model_validate(EVENT)
    assert event["kind"] == "release.deployed"
    assert "summary" in event
    assert DeploymentList(deployments=[])["deployments"] == []


def test_fields_of_a_newer_release_are_kept():
    model = ModelDocument.received(MODEL | {"owner": "risk"})
    assert model["owner"] == "risk"
    assert Monitored.received({"model": "fraud", "at": 1.0, "versions": {"1.0.0": {}}})["versions"] == {"1.0.0": {}}


def test_a_document_that_does_not_validate_keeps_its_fields():
    model = ModelDocument.received(MODEL | {"framework": "jax"})
    assert (model.framework, model.name, model["framework"]) == ("jax", "fraud", "jax")


def test_a_document_equals_its_json():
    answer = {"name": "fraud", "versions": {"1.0.0": "d"}}
    assert DeletedModel.received(answer) == answer == DeletedModel(**answer)
    assert DeletedModel.received(answer) != {**answer, "name": "other"}
