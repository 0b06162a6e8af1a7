"""The gateway's TLS context."""

from __future__ import annotations

import ssl

from ..schemas.errors import SetupError
from ..schemas.settings.access import AccessSettings


def tls_context(settings: AccessSettings) -> ssl.SSLContext | None:
    """Return the TLS context of the settings, or None for plain HTTP. Raises SetupError if files are missing or do not match."""
    if settings.tls_cert is None:
        if settings.tls_key is not None:
            raise SetupError("MODELMESH_TLS_KEY is set without MODELMESH_TLS_CERT: give both, or neither")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except FileNotFoundError as error:
        raise SetupError(
            f"the certificate {settings.tls_cert} or its key {settings.tls_key} cannot be read: {error.strerror}"
        ) from None
    except ssl.SSLError as error:
        raise SetupError(
            f"the certificate {settings.tls_cert} and the key {settings.tls_key} do not fit: {error.reason or error}"
        ) from None
    return context
