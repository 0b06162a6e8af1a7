"""A real mesh with API keys, one for the whole run."""

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import dataclass

import aiohttp
import pytest
from modelmesh.broker.embedded.progress import no_progress
from modelmesh.broker.embedded.server import free_port
from modelmesh.cli.local.mesh import Mesh
from modelmesh.schemas.settings import Settings


@dataclass
class Keyed:
    """The mesh, and a key with all scopes."""

    mesh: Mesh
    root: str

    @contextlib.asynccontextmanager
    async def session(self, key, address="127.0.0.1"):
        """A session with a key, from an address of this machine."""
        connector = aiohttp.TCPConnector(local_addr=(address, 0), limit=0)
        async with aiohttp.ClientSession(self.mesh.url, connector=connector, headers={"X-API-Key": key}) as session:
            yield session

    async def make_key(self, session, name, *scopes, **options):
        """Create a key with a session's key; return its document."""
        async with session.post("/keys", json={"name": name, "scopes": scopes, **options}) as answer:
            assert answer.status == 201, await answer.text()
            return await answer.json()


@contextlib.asynccontextmanager
async def keyed_mesh(settings):
    """Run a separate mesh with API keys during the block."""
    mesh = Mesh(settings, workers=1, external_kafka=False, progress=no_progress, on_restart=lambda member, code: None)
    async with mesh:
        environment = os.environ | {
            "MODELMESH_KAFKA": mesh.settings.kafka,
            "MODELMESH_DATA": str(mesh.settings.data),
        }
        made = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "modelmesh", "keys", "create", "root", "--scope", "admin", "--json",
            env=environment, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        shown, _ = await made.communicate()
        assert made.returncode == 0
        yield Keyed(mesh, json.loads(shown)["key"])


@pytest.fixture(scope="session")
async def keyed(tmp_path_factory):
    settings = Settings(data=tmp_path_factory.mktemp("keyed"), port=0, grpc_port=free_port(), auth="keys")
    async with keyed_mesh(settings) as running:
        yield running
