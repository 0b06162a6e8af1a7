"""A second gateway, which requires keys."""

import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
import time

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from modelmesh.broker.embedded.server import free_port

from ...certificates import certificate
from ..waiting import until
from .guarded import Guarded, command_of


@pytest.fixture(scope="module")
async def issuer():
    """An OpenID provider: its published keys, and tokens signed by them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "one", "use": "sig"}
    app = web.Application()
    app.router.add_get("/jwks", lambda request: asyncio.sleep(0, web.json_response({"keys": [public]})))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    def token(signed_by=key, **claims):
        standard = {"sub": "ada", "iss": url, "aud": "modelmesh", "exp": time.time() + 300, "scope": "predict"}
        return jwt.encode(standard | claims, signed_by, algorithm="RS256", headers={"kid": "one"})

    yield url, token
    await runner.cleanup()


@pytest.fixture(scope="module")
async def guarded(mesh, forest, issuer, tmp_path_factory):
    """The address of a gateway with keys, tokens and TLS, the certificate to trust, and its log."""
    folder = tmp_path_factory.mktemp("guarded")
    cert, key = certificate(folder, "gateway")
    port, grpc_port = free_port(), free_port()
    settings = {
        "kafka": mesh.settings.kafka,
        "prefix": mesh.settings.prefix,
        "data": mesh.settings.data,
        "database": mesh.settings.database,
        "redis": mesh.settings.redis,
        "auth": "keys",
        "port": port,
        "grpc_port": grpc_port,
        "name": "guarded",
        "tls_cert": cert,
        "tls_key": key,
        "jwt_jwks_url": f"{issuer[0]}/jwks",
        "jwt_issuer": issuer[0],
        "jwt_audience": "modelmesh",
    }
    log = folder / "log"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "modelmesh",
        "gateway",
        env=os.environ | {f"MODELMESH_{name.upper()}": str(value) for name, value in settings.items()},
        stderr=log.open("wb"),
    )
    url = f"https://127.0.0.1:{port}"
    trust = ssl.create_default_context(cafile=cert)

    async def ready():
        with contextlib.suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session,
                session.get(f"{url}/health/ready") as answer,
            ):
                return answer.status == 200
        return False

    await until(ready, "the guarded gateway is ready")
    first = command_of(mesh, "keys", "create", "root", "--scope", "admin", "--json")
    assert first.returncode == 0, first.stderr
    yield Guarded(url, cert, log, f"127.0.0.1:{grpc_port}", json.loads(first.stdout)["key"])
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
