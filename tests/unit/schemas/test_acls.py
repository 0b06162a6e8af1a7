import json

import pytest
from modelmesh.cli.main import app
from modelmesh.schemas.acls import ROLES, acls, used_by
from modelmesh.schemas.topics import Topics
from typer.testing import CliRunner


def writers(topics):
    found = {}
    for acl in acls(topics):
        if acl.resource == "topic" and "Write" in acl.operations:
            found.setdefault(acl.name, set()).add(acl.role)
    return found


def test_every_topic_has_writers_and_readers():
    topics = Topics("mine")
    read = {acl.name for acl in acls(topics) if "Read" in acl.operations and acl.resource == "topic"}
    everything = {topic.name for topic in topics} | {topics.model("").name}
    assert set(writers(topics)) == read == everything


def test_a_topic_without_an_entry_raises():
    class More(Topics):
        def __init__(self):
            super().__init__("mine")
            self.surprise = Topics("other").labels

        def __iter__(self):
            yield from (*super().__iter__(), self.surprise)

    with pytest.raises(KeyError, match="surprise"):
        list(acls(More()))


def test_topics_that_control_the_mesh_have_few_writers():
    topics, found = Topics(), writers(Topics())
    assert found[topics.deployments.name] == {"control"}
    assert found[topics.commands.name] == {"gateway", "control"}
    assert found[topics.keys.name] == {"gateway", "operator"}
    assert all(found[changelog.name] == {"control"} for changelog in topics.changelogs)


def test_only_the_control_plane_creates_standing_topics_and_only_the_gateway_those_of_models():
    topics = Topics()
    created = {(acl.role, acl.name) for acl in acls(topics) if "Create" in acl.operations}
    assert created == {("control", topic.name) for topic in topics} | {("gateway", topics.model("").name)}
    assert {acl.role for acl in acls(topics) if "Delete" in acl.operations} == {"gateway"}
    assert used_by("control", topics) == list(topics)
    assert topics.keys not in used_by("worker", topics)


def test_no_acl_covers_another_mesh():
    """The prefix of another mesh may start with this one's."""
    for acl in acls(Topics("shop")):
        assert acl.name.endswith(".") if acl.prefixed else acl.name.startswith(("shop.", "shop-control")), acl


def test_the_command_uses_the_given_users():
    def run(*words):
        return CliRunner().invoke(app, ["acls", *words])

    shown = run("--prefix", "shop", "--user", "router=alice", "--role", "router", "--json")
    assert {(each["user"], each["role"]) for each in json.loads(shown.output)} == {("alice", "router")}
    lines = run("--user-prefix", "m-", "--bootstrap", "k:1").output.splitlines()
    assert len(lines) < len(list(acls(Topics()))), "each command starts a JVM"
    assert {line.split("User:")[1].split()[0] for line in lines} == {f"m-{role}" for role in ROLES}
    for wrong in (["--user", "nobody=x"], ["--user", "router"], ["--role", "nobody"], ["--apply", "--strimzi", "c"]):
        assert run(*wrong).exit_code != 0
