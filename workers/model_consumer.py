"""The consumer of one model's topic, in the group of all workers that serve the model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..broker.kafka.connection import group_commits, make_consumer
from ..broker.kafka.consume_loop import ConsumeLoop
from ..broker.kafka.delivery import Handler
from ..runtime.replies import ReplyWriter
from ..schemas.settings.worker import WorkerSettings
from ..schemas.topics import Topic


def model_consumer(
    settings: WorkerSettings,
    model: str,
    topic: Topic,
    handler: Handler,
    reply_writer: ReplyWriter,
    alone: asyncio.Lock,
    *,
    on_change: Callable[[], None],
    on_fetch: Callable[[], None],
) -> ConsumeLoop:
    """Return the loop, with detection of poison records. `alone` is held while a record is tried alone."""
    group = f"{settings.prefix}.workers.{model}"
    return ConsumeLoop(
        make_consumer(settings, group=group),
        [topic.name],
        handler,
        dead_letter=reply_writer.dead_letter_and_reply,
        read_commits=group_commits(settings, group),
        alone=alone,
        queue_limit=settings.queue_limit,
        commit_interval=settings.commit_interval,
        drain_timeout=settings.drain_timeout,
        on_assignment=lambda _: on_change(),
        on_fetch=on_fetch,
    )
