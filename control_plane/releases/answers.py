"""What the events that answer commands have in common."""

from __future__ import annotations

from typing import Any, TypedDict

from ...schemas.payloads.commands import CommandBase, JudgedCommand
from ...schemas.payloads.releases import Release, Strategy


class Answer(TypedDict):
    """Which command an event answers, and when."""

    event_id: str
    model: str
    at: float
    generation: int
    command_id: str
    actor: str


class CommandOrigin(TypedDict, total=False):
    """Reason, evidence and source address of a command; all but the reason are absent if not given."""

    reason: str
    evidence: dict[str, Any]
    source: str


class Standing(TypedDict):
    """How a release stands."""

    strategy: Strategy
    version: str
    digest: str
    identity: str
    trial: int


def answer(command: CommandBase, generation: int, now: float) -> Answer:
    """Return what makes an event the answer to a command; `generation` is the release's after it."""
    return {
        "event_id": f"{command.command_id}.answer",
        "model": command.model,
        "at": now,
        "generation": generation,
        "command_id": command.command_id,
        "actor": command.actor,
    }


def origin_of(command: CommandBase) -> CommandOrigin:
    """Return a command's reason, evidence and source."""
    found: CommandOrigin = {"reason": command.reason}
    if isinstance(command, JudgedCommand) and command.evidence:
        found["evidence"] = command.evidence
    if command.source:
        found["source"] = command.source
    return found


def standing(release: Release) -> Standing:
    """Return how a release stands, by its stable version."""
    stable = release.versions[release.stable.version]
    return {
        "strategy": release.strategy,
        "version": stable.version,
        "digest": stable.digest,
        "identity": stable.identity,
        "trial": release.trial,
    }
