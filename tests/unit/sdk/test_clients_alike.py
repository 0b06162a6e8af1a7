"""The synchronous client has the methods of the async one, with the same parameters and results, and help() shows them."""

import inspect
import pydoc

import pytest
from modelmesh.sdk import AsyncModelMeshClient, ModelMeshClient

METHODS = sorted(name for name in dir(AsyncModelMeshClient) if not name.startswith("_"))


def parameters(client, name):
    return inspect.signature(getattr(client, name)).parameters


def test_neither_has_a_method_that_the_other_lacks():
    assert {name for name in dir(ModelMeshClient) if not name.startswith("_")} - {"close"} == set(METHODS)
    assert {"register_model", "predict", "watch", "replays"} <= set(METHODS)


@pytest.mark.parametrize("name", [*METHODS, "__init__"])
def test_parameters_are_the_same(name):
    found = dict(parameters(ModelMeshClient, name))
    if name == "predict_stream":
        assert found.pop("progress").default is False  # a bar is for those who wait
    assert found == dict(parameters(AsyncModelMeshClient, name))


@pytest.mark.parametrize("name", METHODS)
def test_it_waits_and_answers_the_same(name):
    method, twin = getattr(ModelMeshClient, name), getattr(AsyncModelMeshClient, name)
    assert not inspect.iscoroutinefunction(method)
    if not inspect.isasyncgenfunction(twin):
        assert inspect.signature(method).return_annotation == inspect.signature(twin).return_annotation
        assert inspect.getdoc(method) == inspect.getdoc(twin)


def test_help_shows_the_parameters():
    shown = pydoc.render_doc(ModelMeshClient.register_model, renderer=pydoc.plaintext)
    assert "cache_ttl_seconds: 'float' = 0.0" in shown
    assert "Registered" in shown
    assert "Raises RegistrationRefused" in shown
