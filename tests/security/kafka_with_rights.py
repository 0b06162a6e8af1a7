"""An embedded Kafka with its authorizer on, one user for each role, and a whole mesh on it whose roles log in as these."""

import shlex
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from modelmesh.broker.embedded import EmbeddedKafka, free_port
from modelmesh.broker.progress import no_progress
from modelmesh.cli.main import app
from modelmesh.cli.mesh import Mesh
from modelmesh.schemas.acls import ROLES
from modelmesh.schemas.settings import Settings
from typer.testing import CliRunner

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
    """Carry out what `modelmesh acls` prints, word by word as kafka-acls.sh would."""
    printed = CliRunner().invoke(app, ["acls", *arguments])
    assert printed.exit_code == 0, printed.output
    bindings = [binding for line in printed.output.splitlines() for binding in _bindings(line)]
    admin = AdminClient({"bootstrap.servers": bootstrap})  # it must outlive what it does
    for done in admin.create_acls(bindings).values():
        done.result(timeout=30)


def _bindings(line: str) -> list[AclBinding]:
    program, *words = shlex.split(line)
    assert program == "kafka-acls.sh"
    options = defaultdict(list)
    words.remove("--add")
    for name, value in zip(words[::2], words[1::2], strict=True):
        options[name].append(value)
    kind = "topic" if "--topic" in options else "group"
    (name,), (principal,), (pattern,) = (
        options[f"--{kind}"], options["--allow-principal"], options["--resource-pattern-type"]
    )  # fmt: skip
    return [
        AclBinding(
            ResourceType[kind.upper()],
            name,
            ResourcePatternType[pattern.upper()],
            principal,
            "*",
            AclOperation[operation.upper()],
            AclPermissionType.ALLOW,
        )
        for operation in options["--operation"]
    ]


@dataclass
class GuardedMesh:
    """The mesh, and the settings of its parts."""

    mesh: Mesh
    settings: Settings

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
