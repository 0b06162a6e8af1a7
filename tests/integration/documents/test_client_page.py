"""The lines of docs/client.md are run, and say what the page says."""

import doctest
from pathlib import Path

import modelmesh.sdk
import pytest

PAGE = Path(__file__).parents[3] / "docs" / "client.md"


def test_the_page_tells_the_truth(mesh, monkeypatch):
    monkeypatch.setattr(modelmesh.sdk, "ModelMeshClient", lambda kind=modelmesh.sdk.ModelMeshClient: kind(mesh.url))
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert (failed, tried > 15) == (0, True)


@pytest.mark.parametrize("module", [modelmesh.sdk.prediction])
def test_the_examples_in_docstrings_are_true(module):
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)
