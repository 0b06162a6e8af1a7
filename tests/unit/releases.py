"""Releases, versions and commands for unit tests."""

from typing import get_args

from modelmesh.schemas.payloads.commands import Command
from modelmesh.schemas.payloads.releases import Batching, CanaryPlan, Release, Variant, VersionSpec
from modelmesh.schemas.payloads.rules import Rules, Step
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec

SIGNATURE = Signature(inputs=(TensorSpec(name="x", dtype="float64"),))


def spec(version, **options):
    options = {"signature": SIGNATURE, "batching": Batching()} | options
    options = {"artifact": "a", "digest": "d"} | options
    return VersionSpec(version=version, framework="onnx", served_as="onnx", **options)


COMMANDS = {kind.model_fields["kind"].default: kind for kind in get_args(get_args(Command)[0])}


def command(kind, command_id="c", *, expires_at=100.0, **fields):
    return COMMANDS[kind](model="m", command_id=command_id, issued_at=0.0, expires_at=expires_at, **fields)


def full(version="1.0.0", generation=1):
    return Release(
        model="m", generation=generation, trial=generation, strategy="full",
        variants=(Variant(name="stable", version=version, weight=1.0, role="stable"),),
        versions={version: spec(version)}, salt="m", updated_at=0.0,
    )  # fmt: skip


def canary(share=0.1, *, steps=(), generation=2, step=0, **rules):
    plan = CanaryPlan(
        steps=tuple(Step(percentage=percentage, hold_seconds=hold) for percentage, hold in steps),
        step=step,
        rules=Rules(**rules),
    )
    return Release(
        model="m", generation=generation, trial=2, strategy="canary", canary=plan,
        variants=(
            Variant(name="stable", version="1.0.0", weight=1 - share, role="stable"),
            Variant(name="candidate", version="2.0.0", weight=share, role="candidate"),
        ),
        versions={"1.0.0": spec("1.0.0"), "2.0.0": spec("2.0.0")}, salt="m.2", updated_at=0.0,
    )  # fmt: skip
