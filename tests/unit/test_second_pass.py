"""The check that no test which uses the mesh's database or Redis is left out of the second pass."""

from types import SimpleNamespace

import pytest

from ..integration import second_pass


def item(name, *fixtures, marked=False, module=second_pass):
    """A collected test as pytest describes it."""
    return SimpleNamespace(
        nodeid=name,
        fixturenames=fixtures,
        module=module,
        get_closest_marker=lambda mark: mark if marked and mark == second_pass.MARK else None,
    )


@pytest.fixture(autouse=True)
def source(monkeypatch):
    sources = {second_pass: ""}
    monkeypatch.setattr(second_pass.inspect, "getsource", sources.__getitem__)
    return sources


@pytest.mark.parametrize("server", sorted(second_pass.SERVERS))
def test_a_server_beside_the_mesh_needs_the_mark_and_alone_it_does_not(server):
    assert second_pass.forgotten([item("t", "mesh", server)]) == ["t"]
    assert second_pass.forgotten([item("t", "mesh", server, marked=True)]) == []
    assert second_pass.forgotten([item("t", server)]) == []


@pytest.mark.parametrize("setting", second_pass.SETTINGS)
def test_a_module_that_reads_the_meshs_settings_has_a_marked_test(source, setting):
    source[second_pass] = f"if {setting}:"
    assert second_pass.forgotten([item("t", "mesh")]) == [second_pass.__name__]
    assert second_pass.forgotten([item("t", "mesh"), item("u", "mesh", marked=True)]) == []


def test_the_second_pass_has_the_marked_tests():
    one, other = item("one", marked=True), item("other")
    assert second_pass.split([one, other]) == ([one], [other])
