"""Merge summaries into the state of a model's trial, and derive commands and events. No I/O: tables are mappings."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import partial
from typing import Any, TypedDict

from ...schemas.payloads.commands import Command, Promote, ReadCommand, ResumeJudge, Rollback, SetProfile, StepCanary
from ...schemas.payloads.event_data import DriftData
from ...schemas.payloads.events import DriftDetected, Event
from ...schemas.payloads.label_reports import LabelReport
from ...schemas.payloads.observations import Summary
from ...schemas.payloads.releases import Release, VersionSpec
from ...schemas.settings.control import ControlSettings
from . import decision, drift_watch, evidence, latency_windows
from .canary_warnings import new_warnings
from .closing_evidence import with_closing_evidence
from .decision import decide, figures, version_figures
from .drift_watch import DriftWatch
from .evidence import Evidence
from .experiment_results import results
from .latency_windows import LatencyBucket, bucket_of, key_of
from .stream_variation import StreamVariation

ACTOR = "judge"
COMMAND_LIFE = 60.0
# Seconds after which a decision that has not changed the release is sent again.
RESEND_AFTER = 5.0
SHOWN_FEATURES = 50
SHOWN_DRIFT = 1000  # characters
Tables = MutableMapping[str, str]


class _Common(TypedDict):
    """Fields that all of the judge's commands about a canary have."""

    model: str
    command_id: str
    trial: int
    actor: str
    reason: str
    evidence: dict[str, Any]
    judged_generation: int
    issued_at: float
    expires_at: float


class Judge:
    """Takes in summaries. Each table holds JSON by key: evidence by model, drift and latency by the version's identity.

    Send what `take_in` returns before the tables are stored: after a crash it is then derived again, with the same ids.
    """

    def __init__(self, settings: ControlSettings, evidence_of: Tables, latency: Tables, drift: Tables) -> None:
        self._window = settings.drift_window
        self._alarm = settings.drift_alarm
        self._evidence = evidence_of
        self._latency = latency
        self._drift = drift
        self._sent: dict[str, tuple[float, int]] = {}  # by command: when it was sent last, and how often
        # Cache by model: the buckets of its last latency document, with the JSON they were parsed from.
        self._read: dict[str, dict[str, tuple[str, LatencyBucket]]] = {}

    def take_in(self, summary: Summary | LabelReport, release: Release, now: float) -> list[Command | Event]:
        """Merge a summary, or labelled answers, of the release's model; return the commands and events that follow."""
        if isinstance(summary, LabelReport):
            return self._judge(summary, release, now)
        self._take_in_latency(summary, release)
        drifted, news = self._take_in_drift(summary, release, now)
        return news + self._judge(summary, release, now, drifted)

    def _judge(
        self, observed: Summary | LabelReport, release: Release, now: float, drifted: str = ""
    ) -> list[Command | Event]:
        known, canary = self.evidence(release), release.running_canary
        if not evidence.take_in(known, observed, canary):
            return []
        news: list[Command | Event] = []
        if canary is not None:
            known.drifted = drifted[:SHOWN_DRIFT] or known.drifted
            news += self._commands(decide(known, canary, now), release, now)
            news += new_warnings(known, canary, release.generation, ACTOR, now)
        self._evidence[release.model] = known.model_dump_json()
        return news

    def evidence(self, release: Release) -> Evidence:
        """Return the evidence of the release's trial; empty if the table still holds an earlier trial's."""
        held = self._evidence.get(release.model)
        known = Evidence.model_validate_json(held) if held else None
        return known if known is not None and known.trial == release.trial else Evidence(trial=release.trial)

    def release_document(self, release: Release, now: float) -> dict[str, Any]:
        """Return the trial's document: figures by version and, for a canary, the comparisons and the current decision."""
        known = self.evidence(release)
        document: dict[str, Any] = {
            "id": str(release.id),
            "generation": release.generation,
            "trial": release.trial,
            "strategy": release.strategy,
            "at": now,
            "versions": {variant.version: version_figures(known, variant.version) for variant in release.variants},
            "outputs": {version: counts.outputs for version, counts in known.totals.items()},
        }
        if release.strategy == "ab":
            document["results"] = results(release.variants, known.totals)
        if (canary := release.running_canary) is not None:
            found = figures(known, canary)
            document["comparisons"], document["pairs"] = found["comparisons"], found["pairs"]
            document["history"] = known.history.document()
            document["decision"] = decision.shown(decide(known, canary, now))
            if canary.plan.overrides.is_paused(now):
                document["unpaused_decision"] = decision.shown(decide(known, canary.unpaused(), now))
        return document

    def closing(self, command: ReadCommand, release: Release | None) -> ReadCommand:
        """Return a command that ends the release's canary with the evidence for the event; others as they are."""
        if release is None or (canary := release.running_canary) is None:
            return command
        if not isinstance(command, Promote | Rollback) or command.trial not in (None, release.trial):
            return command
        return with_closing_evidence(command, self.evidence(release), canary)

    def forget(self, model: str) -> None:
        """Drop all state of a removed model, so that a later model of the same name starts empty."""
        self._evidence.pop(model, None)
        self._read.pop(model, None)
        for table in (self._latency, self._drift):
            for key in [key for key in table if key.startswith(f"{model}|")]:
                table.pop(key, None)

    def latency_document(self, release: Release, now: float) -> dict[str, Any]:
        """Return the latency windows of each of the release's versions."""
        before = self._read.get(release.model, {})
        read: dict[str, tuple[str, LatencyBucket]] = {}

        def bucket(identity: str, number: int) -> LatencyBucket | None:
            """Return a version's bucket, from the cache if its JSON has not changed."""
            key = key_of(release.model, identity, number)
            held = self._latency.get(key)
            if not held:
                return None
            text, found = before.get(key, ("", None))
            if found is None or text != held:
                found = LatencyBucket.model_validate_json(held)
            read[key] = (held, found)
            return found if found.number == number else None

        document = {
            version: latency_windows.windows(partial(bucket, identity), now)
            for version, identity in release.identities.items()
        }
        self._read[release.model] = read  # drops versions that are gone
        return document

    def drift_document(self, release: Release) -> dict[str, Any]:
        """Return each version's drift figures by feature."""
        document: dict[str, Any] = {}
        for version, spec in release.versions.items():
            watch = self._watch(release.model, spec)
            document[version] = {
                "reference": {"rows": spec.profile.rows, "source": spec.profile.source} if spec.profile else None,
                "learned_rows": watch.learning.rows,
                "left_out": spec.profile.left_out if spec.profile else {},
                "rows": watch.rows,
                "window_rows": watch.window_rows,
                "windows_judged": watch.windows,
                "level": watch.level,
                "alarm_level": 1 / self._alarm,
                "drifting": watch.drifting,
                "features": [
                    # Histograms only for as many features as the dashboard shows.
                    feature | ({"reference": reference, "window": window} if number < SHOWN_FEATURES else {})
                    for number, (feature, (reference, window)) in enumerate(
                        zip(watch.features, drift_watch.histograms(watch, spec.profile), strict=False)
                    )
                ],
            }
        return document

    def _commands(self, decided: decision.Decision, release: Release, now: float) -> list[Command]:
        if isinstance(decided, decision.Hold):
            return []
        name = f"judge.{release.id}.{release.generation}.{decided.kind}"
        sent_at, tries = self._sent.get(name, (-RESEND_AFTER, 0))
        if now - sent_at < RESEND_AFTER:
            return []
        self._sent = {known: at for known, at in self._sent.items() if now - at[0] < COMMAND_LIFE}
        self._sent[name] = (now, tries + 1)
        common: _Common = {
            "model": release.model,
            "command_id": f"{name}.{tries}",
            "trial": release.trial,
            "actor": ACTOR,
            "reason": decided.reason,
            "evidence": decided.evidence,
            "judged_generation": release.generation,
            "issued_at": now,
            "expires_at": now + COMMAND_LIFE,
        }
        # A rollback holds whatever the release became meanwhile, unless a person overruled the judge; a promotion or step only
        # for the generation it was based on.
        if isinstance(decided, decision.Rollback):
            return [Rollback(**common)]
        if isinstance(decided, decision.Resume):
            return [ResumeJudge(**common, based_on=release.generation)]
        if isinstance(decided, decision.Promote):
            return [Promote(**common, based_on=release.generation)]
        return [StepCanary(**common, based_on=release.generation, percentage=decided.percentage)]

    def _take_in_latency(self, summary: Summary, release: Release) -> None:
        number = bucket_of(summary.at)
        for version in summary.versions:
            identity = _identity(summary, release, version)
            if identity is None:
                continue
            key = key_of(summary.model, identity, number)
            held = self._latency.get(key)
            bucket = LatencyBucket.model_validate_json(held) if held else LatencyBucket(number=number)
            if bucket.number > number:
                continue  # the summary is more than an hour old
            if bucket.number < number:
                bucket = LatencyBucket(number=number)
            latency_windows.take_in(bucket, summary, version)
            self._latency[key] = bucket.model_dump_json()

    def _watch(self, model: str, spec: VersionSpec) -> DriftWatch:
        """Return a version's drift state. How its stream varies is stored by itself: it is larger, and changes less often."""
        held = self._drift.get(f"{model}|{spec.identity}")
        watch = DriftWatch.model_validate_json(held) if held else DriftWatch()
        if variation := self._drift.get(f"{model}|{spec.identity}|variation"):
            watch.variation = StreamVariation.model_validate_json(variation)
        return watch

    def _store(self, model: str, spec: VersionSpec, watch: DriftWatch, *, varied: bool) -> None:
        self._drift[f"{model}|{spec.identity}"] = watch.model_dump_json(exclude={"variation"})
        if varied:
            self._drift[f"{model}|{spec.identity}|variation"] = watch.variation.model_dump_json()

    def _take_in_drift(self, summary: Summary, release: Release, now: float) -> tuple[str, list[Command | Event]]:
        """Return the drifted features as text (empty: none), and the commands and events that follow."""
        news: list[Command | Event] = []
        drifted = ""
        for version in summary.features:
            spec = release.versions.get(version)
            if spec is None or _identity(summary, release, version) != spec.identity:
                continue  # the version is gone, or its number was registered again
            watch = self._watch(release.model, spec)
            found = drift_watch.take_in(watch, summary, version, spec.profile, window=self._window, alarm=self._alarm)
            if found.profile is not None:
                news.append(
                    SetProfile(
                        model=release.model,
                        # One that was refused or has expired is tried again, when a reference has been learned again.
                        command_id=f"judge.{release.model}.{version}.{spec.identity}.profile.{summary.epoch}.{summary.seq}",
                        repeat_key=f"judge.{release.model}.{version}.{spec.identity}.profile",
                        version=spec,
                        profile=found.profile,
                        actor=ACTOR,
                        issued_at=now,
                        expires_at=now + COMMAND_LIFE,
                    )
                )
            if found.alarm:
                drifted = ", ".join(
                    f"{drift['feature']} ({drift['what']}, PSI {drift['psi']:.3f})" for drift in found.alarm
                )
                news.append(
                    DriftDetected(
                        event_id=f"drift.{release.model}.{version}.{spec.identity}.{watch.windows}",
                        model=release.model,
                        at=now,
                        generation=release.generation,
                        actor=ACTOR,
                        summary=f"the inputs of {release.model} {version} drifted: {drifted}",
                        data=DriftData(version=version, features=found.alarm, rows=watch.window_rows),
                    )
                )
            self._store(release.model, spec, watch, varied=found.block_ended)
        return drifted, news


def _identity(summary: Summary, release: Release, version: str) -> str | None:
    """Return the identity of a summary's version, from the release if an older worker sent none; None if unknown."""
    return summary.identities.get(version) or release.identities.get(version)
