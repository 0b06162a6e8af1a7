"""An embedded Kafka with its authorizer on, one user for each role, and a whole mesh on it whose roles log in as these."""

import logging
import shlex
from dataclasses import dataclass
from pathlib import Path

import jgo
import pytest
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from modelmesh.broker.embedded.jars import KAFKA, cache_folder
from modelmesh.broker.embedded.java import find_java
from modelmesh.broker.embedded.progress import no_progress
from modelmesh.broker.embedded.server import EmbeddedKafka, free_port
from modelmesh.cli.local.mesh import Mesh
from modelmesh.schemas.acls import ROLES
from modelmesh.schemas.settings import Settings

from ..shell import run

PASSWORDS = {f"modelmesh-{role}": f"the {role}'s password" for role in ROLES}


def broker(folder: Path, port: int) -> EmbeddedKafka:
    """Return a Kafka, not started; `port` asks who is there, the other one is its owner's."""
    inner, controller = free_port(), free_port()
    users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
    return EmbeddedKafka(
        folder,
        port=inner,
        extra={
            "listeners": f"USERS://127.0.0.1:{port},PLAINTEXT://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"USERS://127.0.0.1:{port},PLAINTEXT://127.0.0.1:{inner}",
            "listener.security.protocol.map": "USERS:SASL_PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.name.users.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.users.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule "
            f"required {users};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        },
    )


def give_rights(bootstrap: str, *arguments: str) -> None:
    """Give the roles what `modelmesh acls` says."""
    given = run("acls", "--apply", "--bootstrap", bootstrap, *arguments)
    assert given.exit_code == 0, given.output


def rights_of(bootstrap: str, user_prefix: str) -> set[tuple[str, ...]]:
    """Return (role, resource, name, pattern, operation, host, permission) of all users whose names begin so."""
    admin = AdminClient({"bootstrap.servers": bootstrap})  # it must outlive what it does
    anything = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    principal = f"User:{user_prefix}"
    return {
        (
            acl.principal.removeprefix(principal),
            acl.restype.name.lower(),
            acl.name,
            acl.resource_pattern_type.name.lower(),
            acl.operation.name.lower(),
            acl.host,
            acl.permission_type.name.lower(),
        )
        for acl in admin.describe_acls(anything).result(timeout=30)
        if acl.principal.startswith(principal)
    }


def kafka_acls(folder: Path) -> Path:
    """Return a kafka-acls.sh, which starts what the one of Kafka's own distribution starts; skip where it cannot be had."""
    logging.getLogger("jgo").setLevel(logging.ERROR)
    coordinates = KAFKA.replace(":kafka_2.13:", ":kafka-tools:")
    try:
        tool = Path(jgo.build(coordinates, cache_dir=cache_folder() / "jgo").path)
    except Exception as error:  # jgo lets through whatever requests, Maven or the disk raise
        pytest.skip(f"{coordinates} cannot be fetched from Maven Central here: {error}")
    # The first compiler alone: each command lives for a second.
    java = (
        f"{shlex.quote(str(find_java()))} -XX:TieredStopAtLevel=1 -cp {shlex.quote(f'{tool}/jars/*:{tool}/modules/*')}"
    )
    script = folder / "kafka-acls.sh"
    script.write_text(f'#!/bin/sh\nexec {java} org.apache.kafka.tools.AclCommand "$@"\n')
    script.chmod(0o755)
    return script


@dataclass
class GuardedMesh:
    """The mesh, the settings of its parts, and the address of Kafka where its owner needs no password."""

    mesh: Mesh
    settings: Settings
    owners: str

    def as_role(self, role: str) -> Settings:
        """Return settings that log in as a role."""
        user = f"modelmesh-{role}"
        return self.settings.model_copy(update=login(user) | {"name": f"test-{role}"})


def login(user: str) -> dict[str, object]:
    """Return the settings by which a user logs in."""
    return {"kafka_user": user, "kafka_password": Settings(kafka_password=PASSWORDS[user]).kafka_password}


def mesh_on(port: int, folder: Path) -> Mesh:
    """Return a mesh, not started, each of whose roles has its own user."""
    settings = Settings(
        kafka=f"127.0.0.1:{port}",
        kafka_security="SASL_PLAINTEXT",
        kafka_sasl_mechanism="PLAIN",
        data=folder,
        port=0,
        auth="keys",
        chaos=True,
        **login("modelmesh-control"),
    )
    mesh = Mesh(settings, workers=1, external_kafka=True, progress=no_progress, on_restart=lambda member, code: None)
    start = mesh.supervisor.start

    async def start_as(role, name, **own):
        user = f"modelmesh-{role}"
        return await start(role, name, kafka_user=user, kafka_password=PASSWORDS[user], **own)

    mesh.supervisor.start = start_as
    return mesh
