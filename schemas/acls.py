"""The Kafka ACLs of each role, topic by topic.

Read and Write imply Describe. Idempotent producers need no ACL of their own (Kafka 3.0 or newer), and transactions are not
used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from .topics import Topic, Topics

Role = Literal["gateway", "router", "worker", "control", "recorder", "client", "operator"]
Operation = Literal["Read", "Write", "Create", "Delete", "Describe"]
# The processes, clients that predict over Kafka, and operators: people who use the commands that talk to Kafka directly
# (keys, chaos, replay, ...).
ROLES: tuple[Role, ...] = get_args(Role)

# Writers and readers, by the topic's attribute in `Topics`.
_RIGHTS = {
    "requests": ("gateway client operator", "router recorder gateway operator"),
    "replies": ("worker router", "gateway client recorder operator"),
    "shadow_replies": ("worker router", "recorder gateway"),
    "observations": ("worker recorder operator", "control gateway"),
    "commands": ("gateway control", "control"),
    "deployments": ("control", "control router worker gateway recorder"),
    "events": ("gateway router worker control operator", "control gateway"),
    "statistics": ("control recorder", "control gateway"),
    "replicas": ("router worker control recorder", "gateway router client operator"),
    "dead_letters": ("gateway router worker control recorder operator", "gateway operator"),
    "chaos": ("operator", "gateway router worker client operator"),
    "keys": ("gateway operator", "gateway operator"),
    "cache_fills": ("worker", "router gateway"),
    "labels": ("gateway operator", "recorder gateway operator"),
    "changelogs": ("control", "control"),
    "models": ("router", "worker gateway"),
}
# Consumer groups. All other readers assign partitions and track offsets themselves.
_GROUPS: tuple[tuple[Role, str, bool], ...] = (
    ("router", "{prefix}.router", False),
    ("worker", "{prefix}.workers.", True),
    ("control", "{prefix}-control", False),
    ("control", "{prefix}.history", False),
)


@dataclass(frozen=True, slots=True)
class Acl:
    """`operations` that a role may do on one topic or group, or on all with that name prefix (`prefixed`)."""

    role: Role
    resource: Literal["topic", "group"]
    name: str
    operations: tuple[Operation, ...]
    prefixed: bool = False


def used_by(role: str, topics: Topics) -> list[Topic]:
    """Return the standing topics that a role reads or writes; for the control plane all, since it creates them."""
    return [topic for topic in topics if role == "control" or _operations(role, *_RIGHTS[_entry(topic, topics)])]


def acls(topics: Topics) -> Iterator[Acl]:
    """Yield the ACLs of one mesh, role by role. Raises KeyError for a topic without an entry."""
    for role in ROLES:
        for topic in topics:
            operations = _operations(role, *_RIGHTS[_entry(topic, topics)])
            if role == "control":
                operations = (*(operations or ("Describe",)), "Create")
            if operations:
                yield Acl(role, "topic", topic.name, operations)
        if operations := _operations(role, *_RIGHTS["models"]):
            if role == "gateway":  # a model's topic comes and goes with the model
                operations = (*operations, "Create", "Delete")
            yield Acl(role, "topic", topics.model("").name, operations, prefixed=True)
        for member, name, prefixed in _GROUPS:
            if member == role:
                yield Acl(role, "group", name.format(prefix=topics.prefix), ("Read",), prefixed)
        if role == "operator":  # `modelmesh status` shows the lag of the groups
            yield Acl(role, "topic", f"{topics.prefix}.", ("Describe",), prefixed=True)
            yield Acl(role, "group", f"{topics.prefix}.", ("Describe",), prefixed=True)
            yield Acl(role, "group", f"{topics.prefix}-control", ("Describe",))


def _entry(topic: Topic, topics: Topics) -> str:
    for name, held in vars(topics).items():
        if held == topic or (isinstance(held, tuple) and topic in held):
            return name
    raise KeyError(topic.name)


def _operations(role: str, writers: str, readers: str) -> tuple[Operation, ...]:
    found: list[Operation] = []
    if role in readers.split():
        found.append("Read")
    if role in writers.split():
        found.append("Write")
    return tuple(found)
