"""Common fields of the events that answer commands."""

from __future__ import annotations

from typing import Any, TypedDict

from ...schemas.payloads.commands import CommandBase, JudgedCommand
from ...schemas.payloads.releases import Release, Strategy


class AnswerFields(TypedDict):
    """The command that an event answers, and the time."""

    event_id: str
    model: str
    at: float
    generation: int
    command_id: str
    repeat_key: str
    actor: str


class CommandOrigin(TypedDict, total=False):
    """Reason, evidence and source address of a command; all but the reason are absent if not given."""

    reason: str
    evidence: dict[str, Any]
    source: str


class ReleaseFields(TypedDict):
    """A release after a command."""

    strategy: Strategy
    version: str
    digest: str
    identity: str
    trial: int


def answer_fields(command: CommandBase, generation: int, now: float) -> AnswerFields:
    """Return the fields that make an event the answer to a command; `generation` is the release's after it."""
    return {
        "event_id": f"{command.command_id}.answer",
        "model": command.model,
        "at": now,
        "generation": generation,
        "command_id": command.command_id,
        "repeat_key": command.repeat_key,
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


def release_fields(release: Release) -> ReleaseFields:
    """Return a release's fields, of its stable version."""
    stable = release.versions[release.stable.version]
    return {
        "strategy": release.strategy,
        "version": stable.version,
        "digest": stable.digest,
        "identity": stable.identity,
        "trial": release.trial,
    }
