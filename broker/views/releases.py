"""The releases, followed from the `deployments` topic."""

from __future__ import annotations

from collections.abc import Callable

from aiokafka import ConsumerRecord

from ...schemas.errors import ModelNotFound
from ...schemas.names import check_model_name
from ...schemas.payloads.releases import Release
from ...schemas.settings.mesh import MeshSettings
from ..kafka.dead_letter_writer import DeadLetterWriter
from ..kafka.outbox import Outbox
from ..kafka.topic_follower import TopicFollower


class ReleasesView:
    """A table of releases by model. A poison record goes to the dead letters and changes nothing.

    `on_change` is called with a model's name and its release, or None when the model is gone.
    """

    def __init__(
        self,
        settings: MeshSettings,
        outbox: Outbox | None,
        on_change: Callable[[str, Release | None], None] | None = None,
    ) -> None:
        topics = settings.topics()
        self.releases: dict[str, Release] = {}
        self._on_change = on_change
        self._follower = TopicFollower(
            settings,
            topics.deployments,
            self._on_record,
            dead_letters=DeadLetterWriter(settings, outbox) if outbox is not None else None,
        )
        self.ready = self._follower.ready

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        await self._follower.run()

    def get(self, model: str, field: str = "model") -> Release:
        """Return a model's release. Raises ModelNotFound with `field`, the input that held the name."""
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
        release = Release.model_validate_json(record.value)
        check_model_name(release.model)  # it becomes part of a topic's name
        known = self.releases.get(release.model)
        if known is not None and known.generation > release.generation:
            return
        self.releases[release.model] = release
        if self._on_change is not None:
            self._on_change(release.model, release)
