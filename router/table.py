"""Where requests for a model can go now: releases and heartbeats, put together whenever one of them changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..schemas.errors import CircuitOpen, ModelNotFound, NoWorker, VersionNotFound
from ..schemas.payloads.releases import Release, Variant, VersionSpec
from ..schemas.payloads.replicas import Heartbeat, ModelLoad
from .assignment import assign, shadow_of
from .balancer import Balancer, ReplicaBacklog, RunBalancer, Target, choose
from .replica_breakers import ReplicaBreakers
from .route import Route


@dataclass(slots=True)
class _Model:
    topic: str
    release: Release
    serving: Release  # the last release that workers had loaded: the road while the new one is being loaded
    balancers: dict[str, RunBalancer] = field(default_factory=dict)  # by identity
    open: frozenset[str] = frozenset()  # identities that are loaded, but every breaker is open

    def loaded_by(self, load: ModelLoad) -> dict[str, str]:
        """Return the versions that a replica has loaded, by identity; of an older replica's its numbers are believed."""
        return load.identities or {
            spec.identity: version
            for release in (self.serving, self.release)
            for version, spec in release.versions.items()
            if version in load.loaded
        }


@dataclass(slots=True)
class _Known:
    beat: Heartbeat
    work: ReplicaBacklog
    targets: dict[str, Target]  # by identity


class RoutingTable:
    """Answers `route` from memory. `warm_up` is how many seconds a version's share grows on a replica that loaded it.

    A replica whose breaker for a version is half open gets `probes` requests for it until it speaks again.
    """

    def __init__(
        self,
        topic_of: Callable[[str], str],
        draw: Callable[[int], int],
        *,
        breakers: ReplicaBreakers,
        balance: Balancer = choose,
        warm_up: float = 0.0,
        probes: int = 3,
    ) -> None:
        self._balance = balance
        self._topic_of = topic_of
        self._draw = draw
        self._breakers = breakers
        self._warm_up = warm_up
        self._probes = probes
        self._models: dict[str, _Model] = {}
        self._known: dict[tuple[str, str], _Known] = {}

    @property
    def models(self) -> list[str]:
        """The models that have a release."""
        return list(self._models)

    def identities(self, name: str) -> dict[str, str]:
        """Return the versions that a model's release names: identities by number."""
        model = self._models.get(name)
        return model.release.identities if model is not None else {}

    def spec(self, name: str, version: str) -> VersionSpec | None:
        """Return what is known of a version of a model's release; None: the release does not name it."""
        model = self._models.get(name)
        return model.release.versions.get(version) if model is not None else None

    def assigned(self, name: str, routing_key: str) -> tuple[Release, Variant] | None:
        """Return the release and the variant that a request would get now, were there workers enough; None: no model."""
        model = self._models.get(name)
        if model is None:
            return None
        release = model.release
        variant = assign(release, routing_key)
        if release.versions[variant.version].identity not in model.balancers:
            release = model.serving  # the new one is being loaded
            variant = assign(release, routing_key)
        return release, variant

    def reachable(self) -> dict[str, dict[str, str]]:
        """Return the versions of each model's release that are loaded somewhere, even if their breaker is open.

        Numbers by identity.
        """
        return {
            name: {
                spec.identity: version
                for version, spec in model.release.versions.items()
                if spec.identity in model.balancers or spec.identity in model.open
            }
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

    def set_replicas(self, live: Iterable[Heartbeat], recent: Iterable[Heartbeat] = (), now: float = 0.0) -> None:
        """Take over which replicas are alive and what they have loaded.

        `recent` are those heard of not so long ago. They serve where nobody is alive: when all fall silent at once, it is
        far likelier that the news is late than that all are dead, and a request that waits a moment beats one refused.
        """
        before, self._known = self._known, {}
        alive, late = self._by_model(live), self._by_model(recent)
        for name, model in self._models.items():
            loaded: dict[str, list[Target]] = {}
            opened: set[str] = set()
            # A replica that has served nothing yet is taken to be like the others.
            costs = [load.request_ms for _, load in alive[name] if load.request_ms]
            usual_ms = sum(costs) / len(costs) if costs else 0.0
            for beats in (alive[name], late[name]):
                found: dict[str, list[Target]] = {}
                for beat, load in beats:
                    for identity, target in self._targets(before, name, beat, load, usual_ms, now).items():
                        if load.breakers.get(identity) == "open":
                            opened.add(identity)
                        else:
                            found.setdefault(identity, []).append(target)
                loaded |= {identity: targets for identity, targets in found.items() if identity not in loaded}
            model.balancers = {identity: self._balancer(targets, now) for identity, targets in loaded.items()}
            model.open = frozenset(opened - loaded.keys())
            self._settle(model)

    def _by_model(self, beats: Iterable[Heartbeat]) -> dict[str, list[tuple[Heartbeat, ModelLoad]]]:
        found: dict[str, list[tuple[Heartbeat, ModelLoad]]] = {name: [] for name in self._models}
        for beat in beats:
            if beat.role == "worker":
                for name, load in beat.models.items():
                    if name in found and load.partitions:
                        found[name].append((beat, load))
        return found

    def _targets(
        self,
        before: dict[tuple[str, str], _Known],
        name: str,
        beat: Heartbeat,
        load: ModelLoad,
        usual_ms: float,
        now: float,
    ) -> dict[str, Target]:
        """Return a replica's targets by identity; until it speaks again, what was sent to it since it last did counts on."""
        key = name, beat.replica
        known = before.get(key) or self._known.get(key)
        if known is None or known.beat is not beat:
            request_ms = load.request_ms or usual_ms
            work = ReplicaBacklog((load.queued + load.in_service) * request_ms, load.service_ms, request_ms, now)
            known = _Known(
                beat,
                work,
                {
                    # One partition is enough to reach a replica; fewer partitions make larger fetches.
                    identity: Target(
                        beat.replica,
                        load.partitions[0],
                        work,
                        warmth=min(1.0, load.ages.get(identity, self._warm_up) / self._warm_up)
                        if self._warm_up
                        else 1.0,
                        probes=self._probes if load.breakers.get(identity) == "half_open" else None,
                    )
                    for identity in self._models[name].loaded_by(load)
                },
            )
        self._known[key] = known
        return known.targets

    def _balancer(self, targets: list[Target], now: float) -> RunBalancer:
        # If every replica's breaker is open, the fault is hardly theirs, and there is nobody else to ask.
        trusted = [target for target in targets if self._breakers.allows(target.replica, now)]
        return RunBalancer(trusted or targets, self._draw, self._balance)

    def route(
        self,
        model_name: str,
        routing_key: str,
        now: float,
        request: str = "",
        avoid: Collection[str] = (),
        pin: str = "",
    ) -> Route:
        """Return where the request goes, and where its shadow copy; not to the replicas in `avoid`, if there are others.

        With a `pin` that version must answer; what it does is no evidence for a trial, and no copy is made.
        Raises ModelNotFound, VersionNotFound, NoWorker or CircuitOpen.
        """
        model = self._models.get(model_name)
        if model is None:
            raise ModelNotFound(f"there is no model named {model_name[:80]!r}", field="model")
        if pin:
            return self._pinned(model, pin, now, avoid)
        release, variant, target = self._reachable(model, routing_key, now, avoid)
        # A copy is made of a first attempt alone: a retry's would be a second one.
        copied = shadow_of(release, request) if not avoid else None
        shadow = None
        if (
            copied is not None
            and (copies := model.balancers.get(release.versions[copied.version].identity)) is not None
        ):
            goes_to = _beside(target, copies.targets) or copies.choose(now)
            if goes_to is not None:
                shadow = _route(model, goes_to, copied, release, now)
        return _route(model, target, variant, release, now, shadow)

    def _pinned(self, model: _Model, pin: str, now: float, avoid: Collection[str]) -> Route:
        name = model.release.model
        if pin not in model.release.versions:
            there = ", ".join(model.release.versions)
            raise VersionNotFound(
                f"version {pin[:40]!r} is not part of the release of {name}, which has {there}", field="version"
            )
        identity = model.release.versions[pin].identity
        balancer = model.balancers.get(identity)
        target = balancer.choose(now, avoid) if balancer is not None else None
        if target is None:
            if identity in model.open or balancer is not None:
                raise CircuitOpen(f"{pin} of {name} fails too often and is left alone for a moment")
            raise NoWorker(f"no live worker has {pin} of {name} loaded")
        variant = Variant(name="pinned", version=pin, weight=0.0, role="arm")
        return replace(_route(model, target, variant, model.release, now), trial=0)

    def _reachable(
        self, model: _Model, routing_key: str, now: float, avoid: Collection[str]
    ) -> tuple[Release, Variant, Target]:
        for release in (model.release, model.serving):
            for variant in (assign(release, routing_key), release.stable):
                balancer = model.balancers.get(release.versions[variant.version].identity)
                target = balancer.choose(now, avoid) if balancer is not None else None
                if target is not None:
                    return release, variant, target
        stable = model.release.stable.version
        identity = model.release.versions[stable].identity
        if identity in model.open or identity in model.balancers:
            raise CircuitOpen(f"{stable} of {model.release.model} fails too often and is left alone for a moment")
        if model.balancers:
            raise NoWorker(f"no live worker has {stable} of {model.release.model} loaded")
        raise NoWorker(f"no live worker serves {model.release.model}")

    def _settle(self, model: _Model) -> None:
        there = model.balancers.keys() | model.open
        if all(model.release.versions[variant.version].identity in there for variant in model.release.variants):
            model.serving = model.release


def _route(
    model: _Model, target: Target, variant: Variant, release: Release, now: float, shadow: Route | None = None
) -> Route:
    return Route(
        model.topic,
        target.partition,
        target.replica,
        variant.name,
        variant.version,
        release.versions[variant.version].identity,
        release.trial,
        target.work.left(now),
        shadow,
    )


def _beside(target: Target, others: Sequence[Target]) -> Target | None:
    """Return the same replica among others: it gets request and copy in one fetch, and nobody is woken for the copy alone."""
    return next((other for other in others if other.replica == target.replica), None)
