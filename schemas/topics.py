"""All topics: names, partitions, retention, contents, writers and readers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from .payloads.chaos import Fault
from .payloads.commands import Command
from .payloads.events import Event
from .payloads.keys import ApiKey
from .payloads.labels import Label
from .payloads.observations import Observation
from .payloads.raw import Prediction, Statistic, TableValue, UnreadRecord
from .payloads.releases import Release
from .payloads.replicas import Heartbeat

DAY = timedelta(days=1)
# The control plane's Faust tables; each has a changelog topic named after it.
CONTROL_TABLES = ("releases", "evidence", "latency", "drift")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: its name, number of partitions, retention (None: compacted), and a description.

    `message` names its records in the AsyncAPI document, `payload` is the type of their values for pydantic.
    """

    name: str
    partitions: int
    kept: timedelta | None
    key: str
    written_by: str
    read_by: str
    holds: str
    message: str = "Record"
    payload: Any = bytes
    config: dict[str, str] = field(default_factory=dict)

    def broker_config(self, max_record_bytes: int) -> dict[str, str]:
        """Return the topic's Kafka configuration."""
        config = {"max.message.bytes": str(max_record_bytes)}
        if self.kept is None:
            # Short segments and a low dirty ratio keep the log small: readers read it from the start.
            config |= {
                "cleanup.policy": "compact",
                "segment.ms": "600000",
                "min.cleanable.dirty.ratio": "0.1",
            }
        else:
            config |= {"retention.ms": str(int(self.kept.total_seconds() * 1000))}
        return config | self.config


# By attribute name in `Topics`. Names lack the prefix here, and numbers of partitions are defaults.
TOPICS: dict[str, Topic] = {
    "requests": Topic(
        "requests",
        8,
        7 * DAY,
        key="routing key, else request id",
        written_by="clients, gateway",
        read_by="router, replay",
        holds="prediction requests: headers for routing, the caller's bytes as value",
        message="PredictionRequest",
        payload=Prediction,
    ),
    "replies": Topic(
        "replies",
        32,
        7 * DAY,
        key="the request's nonce, else its id",
        written_by="workers, router",
        read_by="clients, gateway, inference log, shadow joiner",
        holds="answers and error answers, in the partition that the request names",
        message="Reply",
        payload=Prediction,
    ),
    "shadow_replies": Topic(
        "shadow-replies",
        32,
        7 * DAY,
        key="the request's nonce, else its id",
        written_by="workers",
        read_by="shadow joiner",
        holds="answers to shadow copies, under the same partition number as the primary's",
        message="ShadowReply",
        payload=Prediction,
    ),
    "observations": Topic(
        "observations",
        4,
        DAY,
        key="model",
        written_by="workers, recorder",
        read_by="control plane",
        holds="mergeable summaries per model, version and window; labelled answers; "
        "reports of compiled forms that differ from their models",
        message="Observation",
        payload=Observation,
    ),
    "commands": Topic(
        "commands",
        4,
        7 * DAY,
        key="model",
        written_by="HTTP API, control plane",
        read_by="control plane",
        holds="changes of a release, each with the generation that it is based on",
        message="Command",
        payload=Command,
    ),
    "deployments": Topic(
        "deployments",
        1,
        None,
        key="model",
        written_by="control plane",
        read_by="router, workers, gateway, dashboards",
        holds="one record per model: the whole release and all that a worker needs to serve it",
        message="Release",
        payload=Release,
    ),
    "events": Topic(
        "events",
        1,
        30 * DAY,
        key="model",
        written_by="everyone",
        read_by="HTTP API, history, dashboards, audit",
        holds="events, and the commands that they answer",
        message="Event",
        payload=Event,
    ),
    "statistics": Topic(
        "statistics",
        1,
        None,
        key="model and statistic",
        written_by="control plane (at most twice a second for each)",
        read_by="HTTP API, dashboards",
        holds="the judge's current figures: evidence, latency, drift, shadow differences, experiment results",
        message="Statistic",
        payload=Statistic,
        config={"segment.ms": "60000"},
    ),
    "replicas": Topic(
        "replicas",
        1,
        None,
        key="replica",
        written_by="router, workers, control plane (a few a second)",
        read_by="router, gateway, dashboards",
        holds="heartbeats: partitions held, versions loaded, queue, service time",
        message="Heartbeat",
        payload=Heartbeat,
        config={"segment.ms": "60000", "delete.retention.ms": "60000"},
    ),
    "dead_letters": Topic(
        "dead-letters",
        1,
        30 * DAY,
        key="request id",
        written_by="router, workers, control plane, recorder",
        read_by="people",
        holds="records that could not be processed, with the reason",
        message="DeadLetter",
        payload=UnreadRecord,
    ),
    "chaos": Topic(
        "chaos",
        1,
        None,
        key="fault",
        written_by="CLI",
        read_by="every role that has chaos switched on",
        holds="faults to inject, and until when",
        message="Fault",
        payload=Fault,
    ),
    "keys": Topic(
        "keys",
        1,
        None,
        key="key id",
        written_by="HTTP API, CLI",
        read_by="gateway",
        holds="API keys: scopes, models, limits, and the secret's hash",
        message="ApiKey",
        payload=ApiKey,
    ),
    "cache_fills": Topic(
        "cache-fills",
        8,
        timedelta(hours=1),
        key="the request's nonce, else its id",
        written_by="workers",
        read_by="the router that requested it (its own partition)",
        holds="copies of answers that a router keeps in the prediction cache",
        message="CacheFill",
        payload=Prediction,
    ),
    "labels": Topic(
        "labels",
        1,
        30 * DAY,
        key="request id",
        written_by="clients, gateway",
        read_by="recorder, replay",
        holds="true outcomes, by model, request id and caller",
        message="Label",
        payload=Label,
    ),
}


class Topics:
    """All topics of one mesh. Several meshes can share a broker under different prefixes."""

    requests: Topic
    replies: Topic
    shadow_replies: Topic
    observations: Topic
    commands: Topic
    deployments: Topic
    events: Topic
    statistics: Topic
    replicas: Topic
    dead_letters: Topic
    chaos: Topic
    keys: Topic
    cache_fills: Topic
    labels: Topic

    def __init__(
        self,
        prefix: str = "modelmesh",
        *,
        request_partitions: int = TOPICS["requests"].partitions,
        model_partitions: int = 8,
        reply_partitions: int = TOPICS["replies"].partitions,
    ) -> None:
        self.prefix = prefix
        self._model_partitions = model_partitions
        # Shadow replies pair with replies by partition.
        partitions = {"requests": request_partitions, "replies": reply_partitions, "shadow_replies": reply_partitions}
        for name, topic in TOPICS.items():
            count = partitions.get(name, topic.partitions)
            setattr(self, name, replace(topic, name=f"{prefix}.{topic.name}", partitions=count))
        # The control plane's tables have the keys and partitions of the commands.
        self.changelogs = tuple(
            Topic(
                f"{prefix}-control-{table}-changelog",
                self.commands.partitions,
                None,
                key="model",
                written_by="control plane",
                read_by="control plane, when it starts",
                holds=f"the control plane's table of {table}",
                message=f"{table.capitalize()}Value",
                payload=TableValue,
            )
            for table in CONTROL_TABLES
        )

    def model(self, name: str) -> Topic:
        """Return a model's own topic, which its workers consume."""
        return Topic(
            f"{self.prefix}.model.{name}",
            self._model_partitions,
            DAY,
            key="request id; the router picks the partition",
            written_by="router",
            read_by=f"workers that serve {name}",
            holds=f"requests for {name} with a version assigned",
            message="RoutedRequest",
            payload=Prediction,
        )

    def __iter__(self) -> Iterator[Topic]:
        """Iterate over the standing topics, without those of models."""
        yield from (getattr(self, name) for name in TOPICS)
        yield from self.changelogs
