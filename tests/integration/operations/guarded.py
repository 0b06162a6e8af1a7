"""A gateway with API keys, a certificate, and tokens of an OpenID provider."""

import os
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from modelmesh.sdk import AsyncModelMeshClient


def command_of(mesh, *arguments, **settings):
    environment = os.environ | {"MODELMESH_KAFKA": mesh.settings.kafka, "MODELMESH_PREFIX": mesh.settings.prefix}
    environment |= {f"MODELMESH_{name.upper()}": str(value) for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "modelmesh", *arguments], env=environment, capture_output=True, text=True, check=False
    )


async def make_key(guarded, name, *scopes, **options):
    async with (
        guarded.session(guarded.admin) as session,
        session.post("/keys", json={"name": name, "scopes": scopes, **options}) as answer,
    ):
        assert answer.status == 201, await answer.text()
        return await answer.json()


@dataclass
class Guarded:
    """A gateway with keys, tokens and TLS."""

    url: str
    cert: Path
    log: Path
    grpc: str
    admin: str  # a key with all scopes

    def client(self, key):
        return AsyncModelMeshClient(self.url, api_key=key, ca=self.cert)

    def session(self, key=""):
        trust = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=self.cert))
        return aiohttp.ClientSession(self.url, connector=trust, headers={"X-API-Key": key} if key else {})
