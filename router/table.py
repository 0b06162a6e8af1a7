"""Where requests for a model can go now: releases and heartbeats, put together whenever one of them changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ..schemas.errors import ModelNotFound, NoWorker
from ..schemas.releases import Release, Variant
from ..schemas.replicas import Heartbeat
from .assignment import assign, shadow_of
from .balancer import RunBalancer, Target


@dataclass(slots=True, frozen=True)
class Route:
    """Where one request goes."""

    topic: str
    partition: int
    variant: str
    version: str
    trial: int
    shadow: Route | None = None


@dataclass(slots=True)
class _Model:
    topic: str
    release: Release
    serving: Release  # the last release that workers had loaded: the road while the new one is being loaded
    balancers: dict[str, RunBalancer] = field(default_factory=dict)  # by version


class RoutingTable:
    """Answers `route` from memory."""

    def __init__(self, topic_of: Callable[[str], str], draw: Callable[[int], int]) -> None:
        self._topic_of = topic_of
        self._draw = draw
        self._models: dict[str, _Model] = {}

    @property
    def models(self) -> list[str]:
        """The models that have a release."""
        return list(self._models)

    def reachable(self) -> dict[str, tuple[str, ...]]:
        """Return the versions of each model's release that requests can be sent to now."""
        return {
            name: tuple(version for version in model.release.versions if version in model.balancers)
            for name, model in self._models.items()
        }

    def set_release(self, name: str, release: Release | None) -> None:
        """Take over a release; until its versions are loaded somewhere, requests go on to the one before.

        None: the model is gone.
        """
        model = self._models.get(name)
        if release is None:
            self._models.pop(name, None)
        elif model is None:
            self._models[name] = _Model(self._topic_of(name), release, release)
        else:
            model.release = release
            self._settle(model)

    def set_replicas(self, live: Iterable[Heartbeat], recent: Iterable[Heartbeat] = ()) -> None:
        """Take over which replicas are alive and what they have loaded.

        `recent` are those heard of not so long ago. They serve where nobody is alive: when all fall silent at once, it is
        far likelier that the news is late than that all are dead, and a request that waits a moment beats one refused.
        """
        found, late = self._targets(live), self._targets(recent)
        for name, model in self._models.items():
            targets = late[name] | found[name]
            model.balancers = {version: RunBalancer(those, self._draw) for version, those in targets.items()}
            self._settle(model)

    def _targets(self, beats: Iterable[Heartbeat]) -> dict[str, dict[str, list[Target]]]:
        """Return the targets by model and version."""
        found: dict[str, dict[str, list[Target]]] = {name: {} for name in self._models}
        for beat in beats:
            if beat.role != "worker":
                continue
            for name, load in beat.models.items():
                if name not in found or not load.partitions:
                    continue
                # One partition is enough to reach a replica; fewer partitions make larger fetches.
                target = Target(beat.replica, load.partitions[0], load.queued + load.in_service, load.service_ms)
                for version in load.loaded:
                    found[name].setdefault(version, []).append(target)
        return found

    def route(self, model_name: str, routing_key: str, now: float, request_id: str = "") -> Route:
        """Return where the request goes, and where its shadow copy. Raises ModelNotFound or NoWorker."""
        model = self._models.get(model_name)
        if model is None:
            raise ModelNotFound(f"there is no model named {model_name[:80]!r}", field="model")
        release, variant, balancer = self._reachable(model, routing_key)
        target = balancer.choose(now)
        copied = shadow_of(release, request_id)
        copies = model.balancers.get(copied.version) if copied is not None else None
        shadow = None
        if copied is not None and copies is not None:
            goes_to = _beside(target, copies.targets) or copies.choose(now)
            shadow = Route(model.topic, goes_to.partition, copied.name, copied.version, release.trial)
        return Route(model.topic, target.partition, variant.name, variant.version, release.trial, shadow)

    def _reachable(self, model: _Model, routing_key: str) -> tuple[Release, Variant, RunBalancer]:
        for release in (model.release, model.serving):
            for variant in (assign(release, routing_key), release.stable):
                if balancer := model.balancers.get(variant.version):
                    return release, variant, balancer
        if model.balancers:
            raise NoWorker(f"no live worker has {model.release.stable.version} of {model.release.model} loaded")
        raise NoWorker(f"no live worker serves {model.release.model}")

    def _settle(self, model: _Model) -> None:
        if all(variant.version in model.balancers for variant in model.release.variants):
            model.serving = model.release


def _beside(target: Target, others: Sequence[Target]) -> Target | None:
    """Return the same replica among others: it gets request and copy in one fetch, and nobody is woken for the copy alone."""
    return next((other for other in others if other.replica == target.replica), None)
