"""`modelmesh acls`: the Kafka ACLs that each role needs, as kafka-acls.sh commands or Strimzi KafkaUsers."""

from __future__ import annotations

import asyncio
import json
import shlex
from dataclasses import asdict
from itertools import groupby
from typing import Annotated

import typer

from ...broker.kafka.acls import create_acls
from ...schemas.acls import ROLES, Acl, acls
from ...schemas.errors import InvalidInput
from ...schemas.settings.mesh import MeshSettings
from ..options import JsonOption, say


def print_acls(
    prefix: Annotated[
        str | None, typer.Option(help="The mesh's prefix; default: MODELMESH_PREFIX.", show_default=False)
    ] = None,
    user: Annotated[list[str] | None, typer.Option(help="ROLE=NAME: the role's Kafka user; can be repeated.")] = None,
    user_prefix: Annotated[str, typer.Option(help="Prefix of the other roles' Kafka users.")] = "modelmesh-",
    role: Annotated[list[str] | None, typer.Option(help="Only this role; can be repeated.")] = None,
    bootstrap: Annotated[str | None, typer.Option(help="Kafka's address; default: MODELMESH_KAFKA.")] = None,
    command_config: Annotated[
        str, typer.Option(help="The client configuration file for kafka-acls.sh.")
    ] = "admin.properties",
    strimzi: Annotated[
        str | None, typer.Option(help="Print KafkaUsers for the Strimzi cluster with this name.", show_default=False)
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Create the ACLs now, as MODELMESH_KAFKA_USER, instead of printing them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the Kafka ACLs that each role needs, as commands. Kafka is only contacted with --apply."""
    if apply and strimzi is not None:
        raise InvalidInput("--apply and --strimzi cannot be combined", field="apply")
    settings = MeshSettings()
    if prefix is not None:
        settings = settings.model_copy(update={"prefix": prefix})
    users = _users(user or [], user_prefix)
    for word in role or ():
        _known(word, "role")
    chosen = [acl for acl in acls(settings.topics()) if not role or acl.role in role]
    if apply:
        update = {"kafka": bootstrap} if bootstrap else {}
        given = asyncio.run(create_acls(settings.model_copy(update=update), chosen, users))
        say(f"{given} rights given", {"given": given}, as_json=as_json)
        return
    if as_json:
        print(json.dumps([asdict(acl) | {"user": users[acl.role]} for acl in chosen]))
        return
    if strimzi is not None:
        for name in dict.fromkeys(acl.role for acl in chosen):
            print(kafka_user(users[name], strimzi, [acl for acl in chosen if acl.role == name]))
        return
    for group in _groups(chosen):
        print(command(group, users[group[0].role], bootstrap or settings.kafka, command_config))


def _groups(rights: list[Acl]) -> list[list[Acl]]:
    """Group ACLs that differ only in the name, for one command each, since every command starts a JVM."""

    def kind(acl: Acl) -> tuple[int, str, bool, tuple[str, ...]]:
        return ROLES.index(acl.role), acl.resource, acl.prefixed, acl.operations

    return [list(group) for _, group in groupby(sorted(rights, key=kind), key=kind)]


def command(rights: list[Acl], user: str, bootstrap: str, config: str) -> str:
    """Return the idempotent command that adds ACLs of a user which differ only in the name."""
    first = rights[0]
    words = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--command-config", config, "--add"]
    words += ["--allow-principal", f"User:{user}"]
    words += [word for operation in first.operations for word in ("--operation", operation)]
    words += [word for acl in rights for word in (f"--{acl.resource}", acl.name)]
    words += ["--resource-pattern-type", "prefixed" if first.prefixed else "literal"]
    return shlex.join(words)


def kafka_user(user: str, cluster: str, rights: list[Acl]) -> str:
    """Return a YAML document from which Strimzi creates the user, a secret of the same name with its password, and its ACLs."""
    lines = [
        "---",
        "apiVersion: kafka.strimzi.io/v1beta2",
        "kind: KafkaUser",
        "metadata:",
        f"  name: {user}",
        f"  labels: {{strimzi.io/cluster: {cluster}}}",
        "spec:",
        "  authentication: {type: scram-sha-512}",
        "  authorization:",
        "    type: simple",
        "    acls:",
    ]
    for acl in rights:
        pattern = "prefix" if acl.prefixed else "literal"
        resource = f"{{type: {acl.resource}, name: {acl.name}, patternType: {pattern}}}"
        lines.append(f"      - {{resource: {resource}, operations: [{', '.join(acl.operations)}]}}")
    return "\n".join(lines)


def _users(given: list[str], prefix: str) -> dict[str, str]:
    users: dict[str, str] = {role: f"{prefix}{role}" for role in ROLES}
    for pair in given:
        role, equals, name = pair.partition("=")
        _known(role, "user")
        if not equals or not name:
            raise InvalidInput(f"--user takes ROLE=NAME, not {pair[:80]!r}", field="user")
        users[role] = name
    return users


def _known(role: str, field: str) -> None:
    if role not in ROLES:
        raise InvalidInput(f"there is no role {role[:80]!r}: {', '.join(ROLES)}", field=field)


def add_to(parent: typer.Typer) -> None:
    """Register the command."""
    parent.command("acls")(print_acls)
