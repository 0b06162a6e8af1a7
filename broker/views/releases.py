"""The releases, followed from the `deployments` topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import structlog
from aiokafka import ConsumerRecord
from pydantic import ValidationError

from ...schemas.errors import ModelNotFound
from ...schemas.names import check_model_name
from ...schemas.payloads.releases import Release
from ...schemas.payloads.understood_releases import not_understood, stable_alone
from ...schemas.settings.mesh import MeshSettings
from ..kafka.dead_letter_writer import DeadLetterWriter
from ..kafka.outbox import Outbox
from ..kafka.topic_follower import TopicFollower

log = structlog.get_logger(__name__)


class ReleasesView:
    """A table of releases by model. A poison record goes to the dead letters and changes nothing.

    A release with unknown values, of another release of ModelMesh, changes nothing either, and is noted in `not_understood`:
    the model's last understood release goes on or, if there is none, its stable version answers everything.

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
        # Models whose newest release is of another release of ModelMesh, and what is unknown in it.
        self.not_understood: dict[str, str] = {}
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

    def not_understood_values(self) -> Iterator[tuple[tuple[str], float]]:
        """Iterate over the values of the metric: 1 for each model whose newest release is not understood."""
        yield from (((model,), 1.0) for model in self.not_understood)

    def _read(self, record: ConsumerRecord) -> Release:
        try:
            release = Release.model_validate_json(record.value or b"")
        except ValidationError as error:
            model = (record.key or b"").decode(errors="replace")
            if model in self.releases:
                self.not_understood[model] = f"cannot be read: {error.errors(include_url=False)[0]['msg']}"[:500]
            raise
        check_model_name(release.model)  # it becomes part of a topic's name
        return release

    def _on_record(self, record: ConsumerRecord) -> None:
        if record.value is None:
            model = (record.key or b"").decode(errors="replace")
            self.not_understood.pop(model, None)
            if self.releases.pop(model, None) is not None and self._on_change is not None:
                self._on_change(model, None)
            return
        release = self._read(record)
        known = self.releases.get(release.model)
        if known is not None and known.generation > release.generation:
            return
        if unknown := not_understood(release):
            kept = known or stable_alone(release)
            if self.not_understood.get(release.model) != unknown:
                generation = kept.generation if kept is not None else None
                log.warning("release.not_understood", model=release.model, unknown=unknown[:500], kept=generation)
            self.not_understood[release.model] = unknown
            if kept is None or kept is known:
                return
            release = kept
        else:
            self.not_understood.pop(release.model, None)
        self.releases[release.model] = release
        if self._on_change is not None:
            self._on_change(release.model, release)
