"""The latest statistics of each model, followed from the `statistics` topic."""

from __future__ import annotations

from typing import Any

import orjson
from aiokafka import ConsumerRecord

from ...schemas.errors import MalformedRecord
from ...schemas.payloads.releases import Release
from ...schemas.settings.mesh import MeshSettings
from ..kafka.dead_letter_writer import DeadLetterWriter
from ..kafka.topic_follower import TopicFollower


class StatisticsView:
    """Documents by model and kind: release, latency, drift, shadow. They stay readable while the control plane is down."""

    def __init__(self, settings: MeshSettings, dead_letters: DeadLetterWriter | None = None) -> None:
        self._documents: dict[tuple[str, str], dict[str, Any]] = {}
        self._follower = TopicFollower(
            settings, settings.topics().statistics, self._on_record, dead_letters=dead_letters
        )
        self.ready = self._follower.ready

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        await self._follower.run()

    def get(self, model: str, what: str) -> dict[str, Any] | None:
        """Return the newest document, or None."""
        return self._documents.get((model, what))

    def of_trial(self, release: Release, what: str) -> dict[str, Any] | None:
        """Return the newest document if it is about the release's trial, not an earlier one; else None."""
        document = self.get(release.model, what)
        return document if document is not None and document.get("trial") == release.trial else None

    def models(self, what: str) -> dict[str, dict[str, Any]]:
        """Return the newest documents of one kind by model."""
        return {model: document for (model, kind), document in sorted(self._documents.items()) if kind == what}

    def _on_record(self, record: ConsumerRecord) -> None:
        model, _, what = (record.key or b"").decode(errors="replace").partition("|")
        if record.value is None:
            self._documents.pop((model, what), None)
            return
        document = orjson.loads(record.value)
        if not isinstance(document, dict):
            raise MalformedRecord("a statistic is an object")
        self._documents[model, what] = document
