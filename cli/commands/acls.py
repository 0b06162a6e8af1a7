"""`modelmesh acls`: what each role may do on Kafka, as commands for kafka-acls.sh."""

from __future__ import annotations

import asyncio
import json
import shlex
from dataclasses import asdict
from itertools import groupby
from typing import Annotated

import typer

from ...broker.kafka.rights import give_rights
from ...schemas.acls import ROLES, Acl, acls
from ...schemas.errors import InvalidInput
from ...schemas.settings.mesh import MeshSettings
from ..options import JsonOption, say


def print_acls(
    prefix: Annotated[
        str | None, typer.Option(help="The mesh's prefix; MODELMESH_PREFIX where it is left out.", show_default=False)
    ] = None,
    user: Annotated[
        list[str] | None, typer.Option(help="ROLE=NAME: the role's user in Kafka; may be given several times.")
    ] = None,
    user_prefix: Annotated[str, typer.Option(help="Of the names of all other roles' users.")] = "modelmesh-",
    role: Annotated[list[str] | None, typer.Option(help="This role alone; may be given several times.")] = None,
    bootstrap: Annotated[str | None, typer.Option(help="Kafka; MODELMESH_KAFKA where it is left out.")] = None,
    command_config: Annotated[str, typer.Option(help="The file by which kafka-acls.sh logs in.")] = "admin.properties",
    strimzi: Annotated[
        str | None, typer.Option(help="As KafkaUsers of the Strimzi cluster of this name.", show_default=False)
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Give these rights now, as MODELMESH_KAFKA_USER, and print none.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the Kafka rights that each role needs, as commands; without --apply nothing is asked and nothing changed."""
    if apply and strimzi is not None:
        raise InvalidInput("--apply gives rights, --strimzi prints them: take one of them", field="apply")
    settings = MeshSettings()
    if prefix is not None:
        settings = settings.model_copy(update={"prefix": prefix})
    users = _users(user or [], user_prefix)
    for word in role or ():
        _known(word, "role")
    chosen = [acl for acl in acls(settings.topics()) if not role or acl.role in role]
    if apply:
        update = {"kafka": bootstrap} if bootstrap else {}
        given = asyncio.run(give_rights(settings.model_copy(update=update), chosen, users))
        say(f"{given} rights given", {"given": given}, as_json=as_json)
        return
    if as_json:
        print(json.dumps([asdict(acl) | {"user": users[acl.role]} for acl in chosen]))
        return
    if strimzi is not None:
        for name in dict.fromkeys(acl.role for acl in chosen):
            print(kafka_user(users[name], strimzi, [acl for acl in chosen if acl.role == name]))
        return
    for alike in _alike(chosen):
        print(command(alike, users[alike[0].role], bootstrap or settings.kafka, command_config))


def _alike(rights: list[Acl]) -> list[list[Acl]]:
    """Group rights that differ in the name alone: one command gives them all, and each command starts a JVM."""

    def kind(acl: Acl) -> tuple[int, str, bool, tuple[str, ...]]:
        return ROLES.index(acl.role), acl.resource, acl.prefixed, acl.operations

    return [list(group) for _, group in groupby(sorted(rights, key=kind), key=kind)]


def command(rights: list[Acl], user: str, bootstrap: str, config: str) -> str:
    """Return the command that gives a user rights that differ in the name alone; repeated, it changes nothing."""
    first = rights[0]
    words = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--command-config", config, "--add"]
    words += ["--allow-principal", f"User:{user}"]
    words += [word for operation in first.operations for word in ("--operation", operation)]
    words += [word for acl in rights for word in (f"--{acl.resource}", acl.name)]
    words += ["--resource-pattern-type", "prefixed" if first.prefixed else "literal"]
    return shlex.join(words)


def kafka_user(user: str, cluster: str, rights: list[Acl]) -> str:
    """Return a YAML document: Strimzi makes the user, its password in a secret of the same name, and its rights."""
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
