"""The real gateway's application over HTTP, with nothing behind it: a producer that answers predictions as a test says."""

import asyncio
import contextlib
from types import SimpleNamespace
from unittest import mock

from aiohttp import web
from aiokafka.errors import KafkaConnectionError
from modelmesh.access.api_keys import make_key
from modelmesh.broker.kafka.outbox import Outbox
from modelmesh.gateway.service import Gateway
from modelmesh.registry.storage.migrate import upgrade
from modelmesh.schemas.records import PredictionRequest, Reply
from modelmesh.schemas.settings import Settings
from modelmesh.telemetry.timely_site import TimelySite

from ..unit.releases import full


class Producer:
    """In Kafka's place. `answers`: how a prediction ends: answered, never, refused (by the log) or failed (by the model)."""

    def __init__(self):
        self.answers = "answered"
        self.sent = []
        self.client = self.keys = None

    async def start(self):
        pass

    stop = start

    async def send(self, topic, value, key=None, partition=None, headers=()):
        sent = asyncio.get_running_loop().create_future()
        if self.answers == "refused":
            sent.set_exception(KafkaConnectionError("not today"))
            return sent
        sent.set_result(None)
        self.sent.append((topic, value, dict(headers)))
        if topic.endswith(".keys"):
            self.keys._on_record(SimpleNamespace(value=value))
        if topic.endswith(".requests") and self.answers != "never":
            self._answer(PredictionRequest.from_record(headers, value))
        return sent

    def _answer(self, request):
        status, body = (
            (200, b'{"outputs": {}}') if self.answers == "answered" else (500, b'{"status": 500, "detail": "no"}')
        )
        reply = Reply(request.request_id, request.model, status, body, version="1.0.0", nonce=request.nonce)
        record = SimpleNamespace(
            key=request.nonce.encode(),
            value=reply.body,
            headers=reply.headers(),
            topic=request.reply_topic,
            partition=request.reply_partition,
            timestamp=0,
        )
        asyncio.get_running_loop().call_soon(self.client._on_record, record)


class Alone:
    """A gateway that listens; `url` says where. Keys are made without a log."""

    def __init__(self, gateway, producer, port, app):
        self.gateway, self.producer, self.port, self.app = gateway, producer, port, app
        self.url = f"http://127.0.0.1:{port}"

    @property
    def taken(self):
        """What requests hold in the gateway, by kind."""
        return self.gateway._client.in_use

    def key(self, *scopes, **options):
        key, shown = make_key("somebody", scopes, now=0.0, **options)
        self.gateway._keys.keys[key.id] = key
        return shown

    async def raw(self, request):
        """Send bytes as they are; return the status and all that came back. 0: the connection was closed without a word."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            answer = b""
            while chunk := await reader.read(65536):
                answer += chunk
                if b"text/event-stream" in answer:
                    break  # it goes on for ever
        except ConnectionError:
            pass
        finally:
            writer.close()
        return (int(answer.split(maxsplit=2)[1]) if answer else 0), answer

    async def ask(self, method, target, *headers, body=b"", host="127.0.0.1"):
        """Send a request written by hand, since clients refuse to send what attackers do; headers are bytes."""
        head = b"%s %s HTTP/1.1\r\n" % (method.encode(), target if isinstance(target, bytes) else target.encode())
        lines = [*([b"Host: " + host.encode()] if host else []), b"Connection: close", *headers]
        if body:
            lines.append(b"Content-Length: %d" % len(body))
        return await self.raw(head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body)


@contextlib.asynccontextmanager
async def gateway_alone(folder, **settings):
    """Serve for as long as the block lasts, with a model `m` in a release."""
    settings = Settings(data=folder, command_timeout=0.05, **settings)
    producer = Producer()
    with (
        mock.patch("modelmesh.gateway.service.make_producer", return_value=producer),
        mock.patch("modelmesh.producers.client.make_producer", return_value=producer),
    ):
        gateway = Gateway(settings)
    await upgrade(settings.database_url)
    client = producer.client = gateway._client
    producer.keys = gateway._keys
    client._outbox, client._replicas = Outbox(producer), gateway._replicas
    gateway._releases.releases["m"] = full("1.0.0")
    tasks = [asyncio.create_task(outbox.run()) for outbox in (client._outbox, gateway._outbox)]
    app = gateway._application()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = TimelySite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield Alone(gateway, producer, site._server.sockets[0].getsockname()[1], app)
    finally:
        await runner.cleanup()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await gateway._engine.dispose()
