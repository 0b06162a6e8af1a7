"""The routing table: where requests for a model can go, built from releases and heartbeats."""

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
    serving: Release  # the last release that workers had loaded; used while the new one loads
    balancers: dict[str, RunBalancer] = field(default_factory=dict)  # by identity
    open: frozenset[str] = frozenset()  # identities that are loaded, but whose breakers are all open

    def loaded_by(self, load: ModelLoad) -> dict[str, str]:
        """Return the versions that a replica has loaded, by identity. An older replica sends only numbers; these are trusted."""
        return load.identities or {
            spec.identity: version
            for release in (self.serving, self.release)
            for version, spec in release.versions.items()
            if version in load.loaded
        }


@dataclass(slots=True)
class _ReplicaState:
    beat: Heartbeat
    backlog: ReplicaBacklog
    targets: dict[str, Target]  # by identity


class RoutingTable:
    """Answers `route` from memory. `warm_up` is how many seconds a version's share grows on a replica after loading.

    A replica whose breaker for a version is half open gets `probes` requests for it between two heartbeats.
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
        self._states: dict[tuple[str, str], _ReplicaState] = {}

    @property
    def models(self) -> list[str]:
        """The models that have a release."""
        return list(self._models)

    def identities(self, name: str) -> dict[str, str]:
        """Return the identities of the versions in a model's release, by number."""
        model = self._models.get(name)
        return model.release.identities if model is not None else {}

    def spec(self, name: str, version: str) -> VersionSpec | None:
        """Return the spec of a version, or None if the model's release does not contain it."""
        model = self._models.get(name)
        return model.release.versions.get(version) if model is not None else None

    def assigned(self, name: str, routing_key: str) -> tuple[Release, Variant] | None:
        """Return the release and variant that a request would get if all its versions had a worker; None: no such model."""
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
        """Return each model's loaded versions, even if their breakers are open: numbers by identity."""
        return {
            name: {
                spec.identity: version
                for version, spec in model.release.versions.items()
                if spec.identity in model.balancers or spec.identity in model.open
            }
            for name, model in self._models.items()
        }

    def set_release(self, name: str, release: Release | None) -> None:
        """Set a model's release; None removes the model. Until its versions are loaded, the previous release serves."""
        model = self._models.get(name)
        if release is None:
            self._models.pop(name, None)
        elif model is None:
            self._models[name] = _Model(self._topic_of(name), release, release)
        else:
            model.release = release
            self._switch_if_loaded(model)

    def set_replicas(self, live: Iterable[Heartbeat], recent: Iterable[Heartbeat] = (), now: float = 0.0) -> None:
        """Set which replicas are alive and what they have loaded.

        `recent` replicas missed their timeout only lately. They serve versions that no live replica has: if all fall silent
        at once, late heartbeats are likelier than dead replicas.
        """
        previous, self._states = self._states, {}
        alive, late = self._by_model(live), self._by_model(recent)
        for name, model in self._models.items():
            loaded: dict[str, list[Target]] = {}
            opened: set[str] = set()
            # A replica that has served nothing yet gets the others' average cost.
            costs = [load.request_ms for _, load in alive[name] if load.request_ms]
            mean_ms = sum(costs) / len(costs) if costs else 0.0
            for beats in (alive[name], late[name]):
                found: dict[str, list[Target]] = {}
                for beat, load in beats:
                    for identity, target in self._targets(previous, name, beat, load, mean_ms, now).items():
                        if load.breakers.get(identity) == "open":
                            opened.add(identity)
                        else:
                            found.setdefault(identity, []).append(target)
                loaded |= {identity: targets for identity, targets in found.items() if identity not in loaded}
            model.balancers = {identity: self._balancer(targets, now) for identity, targets in loaded.items()}
            model.open = frozenset(opened - loaded.keys())
            self._switch_if_loaded(model)

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
        previous: dict[tuple[str, str], _ReplicaState],
        name: str,
        beat: Heartbeat,
        load: ModelLoad,
        mean_ms: float,
        now: float,
    ) -> dict[str, Target]:
        """Return a replica's targets by identity. Its backlog estimate is kept until its next heartbeat."""
        key = name, beat.replica
        state = previous.get(key) or self._states.get(key)
        if state is None or state.beat is not beat:
            request_ms = load.request_ms or mean_ms
            backlog = ReplicaBacklog((load.queued + load.in_service) * request_ms, load.service_ms, request_ms, now)
            state = _ReplicaState(
                beat,
                backlog,
                {
                    # One partition is enough to reach a replica, and makes larger fetches.
                    identity: Target(
                        beat.replica,
                        load.partitions[0],
                        backlog,
                        warmth=min(1.0, load.ages.get(identity, self._warm_up) / self._warm_up)
                        if self._warm_up
                        else 1.0,
                        probes=self._probes if load.breakers.get(identity) == "half_open" else None,
                    )
                    for identity in self._models[name].loaded_by(load)
                },
            )
        self._states[key] = state
        return state.targets

    def _balancer(self, targets: list[Target], now: float) -> RunBalancer:
        # If every breaker is open, the fault is probably elsewhere, and there is no other replica.
        trusted = [target for target in targets if self._breakers.allows(target.replica, now)]
        return RunBalancer(trusted or targets, self._draw, self._balance)

    def route(
        self,
        model_name: str,
        routing_key: str,
        now: float,
        request: str = "",
        avoid: Collection[str] = (),
        pinned_version: str = "",
    ) -> Route:
        """Return the route of the request and of its shadow copy. Replicas in `avoid` are used only if there are no others.

        A pinned version must answer; its answers are no evidence for a trial, and no copy is made.
        Raises ModelNotFound, VersionNotFound, NoWorker or CircuitOpen.
        """
        model = self._models.get(model_name)
        if model is None:
            raise ModelNotFound(f"there is no model named {model_name[:80]!r}", field="model")
        if pinned_version:
            return self._pinned(model, pinned_version, now, avoid)
        release, variant, target = self._reachable(model, routing_key, now, avoid)
        # Only the first attempt gets a copy, so that a request has at most one.
        copied = shadow_of(release, request) if not avoid else None
        shadow = None
        if (
            copied is not None
            and (copies := model.balancers.get(release.versions[copied.version].identity)) is not None
        ):
            copy_target = _same_replica(target, copies.targets) or copies.choose(now)
            if copy_target is not None:
                shadow = _route(model, copy_target, copied, release, now)
        return _route(model, target, variant, release, now, shadow)

    def _pinned(self, model: _Model, version: str, now: float, avoid: Collection[str]) -> Route:
        name = model.release.model
        if version not in model.release.versions:
            others = ", ".join(model.release.versions)
            raise VersionNotFound(
                f"version {version[:40]!r} is not part of the release of {name}, which has {others}", field="version"
            )
        identity = model.release.versions[version].identity
        balancer = model.balancers.get(identity)
        target = balancer.choose(now, avoid) if balancer is not None else None
        if target is None:
            if identity in model.open or balancer is not None:
                raise CircuitOpen(f"{version} of {name} fails too often: its circuit breaker is open")
            raise NoWorker(f"no live worker has {version} of {name} loaded")
        variant = Variant(name="pinned", version=version, weight=0.0, role="arm")
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
            raise CircuitOpen(f"{stable} of {model.release.model} fails too often: its circuit breaker is open")
        if model.balancers:
            raise NoWorker(f"no live worker has {stable} of {model.release.model} loaded")
        raise NoWorker(f"no live worker serves {model.release.model}")

    def _switch_if_loaded(self, model: _Model) -> None:
        loaded = model.balancers.keys() | model.open
        if all(model.release.versions[variant.version].identity in loaded for variant in model.release.variants):
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
        release.generation,
        target.backlog.remaining_ms(now),
        shadow,
    )


def _same_replica(target: Target, others: Sequence[Target]) -> Target | None:
    """Return the target of the same replica: it gets request and copy in one fetch, and no other is woken for the copy."""
    return next((other for other in others if other.replica == target.replica), None)
