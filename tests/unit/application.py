"""A gateway's real application, without a mesh."""

from unittest import mock

from modelmesh.gateway.service import Gateway
from modelmesh.schemas.settings import Settings


def real_application(folder, **settings):
    """Return the application that the gateway serves."""
    with (
        mock.patch("modelmesh.gateway.service.make_producer"),
        mock.patch("modelmesh.producers.client.make_producer"),
    ):
        return Gateway(Settings(data=folder, auth="keys", **settings))._application()
