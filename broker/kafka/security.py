"""TLS and SASL options for Kafka."""

from __future__ import annotations

import ssl
from typing import Any

from ...schemas.errors import SetupError
from ...schemas.settings.kafka import KafkaSettings


def security_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the security options of a Kafka client. Raises SetupError for missing or invalid files."""
    options: dict[str, Any] = {"security_protocol": settings.kafka_security}
    if "SSL" in settings.kafka_security:
        options["ssl_context"] = tls_to_kafka(settings)
    if settings.kafka_security.startswith("SASL"):
        if not settings.kafka_user or settings.kafka_password is None:
            raise SetupError(
                f"MODELMESH_KAFKA_SECURITY is {settings.kafka_security}: "
                "set MODELMESH_KAFKA_USER and MODELMESH_KAFKA_PASSWORD too"
            )
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_user,
            "sasl_plain_password": settings.kafka_password.get_secret_value(),
        }
    return options


def tls_to_kafka(settings: KafkaSettings) -> ssl.SSLContext:
    """Return a context with the settings' CA and client certificate, if set. Raises SetupError."""
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca)
        if settings.kafka_cert is not None:
            context.load_cert_chain(settings.kafka_cert, settings.kafka_key)
    except FileNotFoundError as error:
        raise SetupError(
            f"one of MODELMESH_KAFKA_CA, _CERT and _KEY cannot be read ({settings.kafka_ca}, {settings.kafka_cert}, "
            f"{settings.kafka_key}): {error.strerror}"
        ) from None
    except ssl.SSLError as error:
        raise SetupError(
            f"one of MODELMESH_KAFKA_CA, _CERT and _KEY is not a PEM file, or they do not match: {error.reason or error}"
        ) from None
    return context
