"""The Faust app that holds each model's release in a table and is the one writer of `deployments`."""

from __future__ import annotations

import time
from typing import Any

import faust
import structlog
from pydantic import ValidationError

from ..schemas.commands import Command
from ..schemas.records import dead_letter_headers
from ..schemas.settings import Settings
from .release_machine import ReleaseState, step

log = structlog.get_logger(__name__)


def make_releases_app(settings: Settings) -> Any:
    """Return the app: an agent on `commands`, a table of ReleaseState by model.

    The table's changelog and the commands' offsets are not committed together, so a command may be seen twice after a
    crash: `step` answers it as the first time. What was published before the crash is then published again, the same.
    """
    topics = settings.topics()
    app = faust.App(
        f"{settings.prefix}-control",
        broker=f"kafka://{settings.kafka.replace(',', ';kafka://')}",
        store="memory://",
        datadir=str(settings.data / "faust"),
        topic_disable_leader=True,
        topic_replication_factor=settings.replication,
        web_enabled=False,
        producer_linger_ms=0,
        stream_wait_empty=False,
        consumer_group_instance_id=f"{settings.prefix}-control-0",
        broker_commit_interval=0.5,
        producer_acks=-1,
    )
    commands = app.topic(topics.commands.name, key_type=bytes, value_type=bytes, value_serializer="raw")
    deployments = app.topic(topics.deployments.name, key_type=bytes, value_type=bytes, value_serializer="raw")
    events = app.topic(topics.events.name, key_type=bytes, value_type=bytes, value_serializer="raw")
    dead_letters = app.topic(topics.dead_letters.name, key_type=bytes, value_type=bytes, value_serializer="raw")
    # The changelog's name carries the table's; JSON text keeps it readable with any Kafka tool.
    table = app.Table("releases", key_type=str, value_type=str, partitions=topics.commands.partitions)

    @app.agent(commands)  # type: ignore[untyped-decorator]
    async def carry_out(stream: Any) -> None:
        async for record in stream.events():
            message = record.message
            try:
                command = Command.model_validate_json(message.value or b"")
            except ValidationError as error:
                problem = error.errors()[0]
                source = f"{message.topic}/{message.partition}/{message.offset}"
                reason = f"not a command: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
                log.warning("record.dead_letter", source=source, reason=reason)
                kept = list((message.headers or {}).items())
                headers = dead_letter_headers(kept, reason=reason, source=source)
                await dead_letters.send(key=source.encode(), value=message.value or b"", headers=headers)
                continue
            held = table.get(command.model)
            state = ReleaseState.model_validate_json(held) if held else ReleaseState()
            after, event = step(state, command, time.time())
            key = command.model.encode()
            if after.release is not None and after.release != state.release:
                await (await deployments.send(key=key, value=after.release.model_dump_json().encode()))
            await (await events.send(key=key, value=event.model_dump_json().encode()))
            table[command.model] = after.model_dump_json()
            log.info("command.answered", model=command.model, kind=event.kind, generation=event.generation)

    return app
