"""Creates ACLs on Kafka, for `modelmesh acls --apply`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import ClusterAuthorizationFailedError, KafkaError, SecurityDisabled, for_code
from aiokafka.protocol.admin import CreateAclsRequest

from ...schemas.acls import Acl
from ...schemas.errors import BrokerUnavailable, Forbidden, SetupError
from ...schemas.settings.mesh import MeshSettings
from .connection import wait_until_answers
from .security import security_options

# Kafka's protocol codes (org.apache.kafka.common.acl and .resource).
_RESOURCES = {"topic": 2, "group": 3}
_LITERAL, _PREFIXED, _ALLOW = 3, 4, 3
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Delete": 6, "Describe": 8}
ANSWER_TIMEOUT = 60.0


async def create_acls(settings: MeshSettings, acls: Iterable[Acl], users: Mapping[str, str]) -> int:
    """Create the ACLs for each role's user, from any host, and return the number of (user, resource, operation).

    Idempotent; removes no ACLs. Raises BrokerUnavailable, Forbidden if the user in `settings` may not alter ACLs, and
    SetupError if the brokers have no authorizer.
    """
    await wait_until_answers(settings, ANSWER_TIMEOUT)
    client = AIOKafkaClient(bootstrap_servers=settings.kafka, request_timeout_ms=10_000, **security_options(settings))
    created = 0
    try:
        await client.bootstrap()
        for acl in acls:
            for operation in acl.operations:
                request = CreateAclsRequest(
                    _RESOURCES[acl.resource],
                    acl.name,
                    _PREFIXED if acl.prefixed else _LITERAL,
                    f"User:{users[acl.role]}",
                    "*",
                    _OPERATIONS[operation],
                    _ALLOW,
                )
                response = await client.send(client.get_random_node(), request)
                ((code, message),) = response.creation_responses
                _check(code, message, settings)
                created += 1
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(f"Kafka at {settings.kafka} did not create all ACLs: {error}; try again") from error
    finally:
        await client.close()
    return created


def _check(code: int, message: str | None, settings: MeshSettings) -> None:
    error = for_code(code)
    if error is SecurityDisabled:
        raise SetupError(
            f"Kafka at {settings.kafka} has no authorizer: its brokers need "
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        )
    if error is ClusterAuthorizationFailedError:
        raise Forbidden(
            f"{settings.kafka_user or 'nobody'} may not create ACLs at {settings.kafka}: "
            "log in as one of super.users (MODELMESH_KAFKA_USER, MODELMESH_KAFKA_PASSWORD)"
        )
    if code:
        raise BrokerUnavailable(f"Kafka at {settings.kafka} refused an ACL: {message or error.__name__}")
