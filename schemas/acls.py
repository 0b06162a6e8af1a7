"""Who may do what on Kafka: the access rights (ACLs) of each role, topic by topic.

A role that reads or writes a topic may describe it too; Kafka implies that. Idempotent producers need no right of their own
(Kafka 3.0 or newer), and nobody uses transactions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from .topics import Topic, Topics

Role = Literal["gateway", "router", "worker", "control", "recorder", "client", "operator"]
Operation = Literal["Read", "Write", "Create", "Delete", "Describe"]
# The processes; a client predicts over Kafka, an operator uses the commands that go straight to Kafka (keys, chaos, replay, ...).
ROLES: tuple[Role, ...] = get_args(Role)

# By the topic's name in `Topics`: who writes it, and who reads it.
_RIGHTS = {
    "requests": ("gateway client operator", "router recorder gateway operator"),
    "replies": ("worker router", "gateway client recorder operator"),
    "shadow_replies": ("worker router", "recorder gateway"),
    "observations": ("worker operator", "control gateway"),
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
# Consumer groups. All other readers are in none, and know by themselves how far they are.
_GROUPS: tuple[tuple[Role, str, bool], ...] = (
    ("router", "{prefix}.router", False),
    ("worker", "{prefix}.workers.", True),
    ("control", "{prefix}-control", False),
    ("control", "{prefix}.history", False),
)


@dataclass(frozen=True, slots=True)
class Acl:
    """A role may do `operations` on one topic or group, or on all whose names begin so (`prefixed`)."""

    role: Role
    resource: Literal["topic", "group"]
    name: str
    operations: tuple[Operation, ...]
    prefixed: bool = False


def used_by(role: str, topics: Topics) -> list[Topic]:
    """Return the standing topics that a role reads or writes; for the control plane all of them, since it makes them."""
    return [topic for topic in topics if role == "control" or _operations(role, *_RIGHTS[_entry(topic, topics)])]


def acls(topics: Topics) -> Iterator[Acl]:
    """Iterate over all that the roles of one mesh need, role by role. Raises KeyError for a topic without an entry."""
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
        if role == "operator":  # `modelmesh status` says how far behind the groups are
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
