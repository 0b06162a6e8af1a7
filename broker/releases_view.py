"""The releases as the `deployments` topic says they are."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from aiokafka import ConsumerRecord
from pydantic import ValidationError

from ..schemas.dead_letters import dead_letter
from ..schemas.errors import ModelNotFound
from ..schemas.releases import Release
from ..schemas.settings import Settings
from .outbox import Outbox
from .topic_follower import TopicFollower

log = structlog.get_logger(__name__)


class ReleasesView:
    """A table of releases by model. A record that is no release goes to the dead letters and changes nothing.

    `on_change` is called with a model's name and its release, or None when the model is gone.
    """

    def __init__(
        self, settings: Settings, outbox: Outbox | None, on_change: Callable[[str, Release | None], None] | None = None
    ) -> None:
        topics = settings.topics()
        self.releases: dict[str, Release] = {}
        self._outbox = outbox
        self._dead_letters = topics.dead_letters.name
        self._whole = settings.max_body_bytes
        self._on_change = on_change
        self._follower = TopicFollower(settings, topics.deployments, self._on_record)
        self.ready = self._follower.ready

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        await self._follower.run()

    def get(self, model: str, field: str = "model") -> Release:
        """Return a model's release. Raises ModelNotFound naming the field that the name came in."""
        release = self.releases.get(model)
        if release is None:
            raise ModelNotFound(f"there is no model named {model[:80]!r} with a release", field=field)
        return release

    def _on_record(self, record: ConsumerRecord) -> None:
        if record.value is None:
            model = (record.key or b"").decode(errors="replace")
            if self.releases.pop(model, None) is not None and self._on_change is not None:
                self._on_change(model, None)
            return
        try:
            release = Release.model_validate_json(record.value)
        except ValidationError as error:
            reason = f"not a release: {error.errors()[0]['msg']}"
            log.warning("record.malformed", topic=record.topic, offset=record.offset, reason=reason)
            if self._outbox is not None:
                source = f"{record.topic}/{record.partition}/{record.offset}"
                value, headers = dead_letter(
                    record.headers, record.value, whole=self._whole, reason=reason, source=source, key=record.key
                )
                self._outbox.send(self._dead_letters, value, key=source, headers=headers)
            return
        known = self.releases.get(release.model)
        if known is not None and known.generation > release.generation:
            return
        self.releases[release.model] = release
        if self._on_change is not None:
            self._on_change(release.model, release)
