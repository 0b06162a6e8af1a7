"""A release's legal transitions; all other commands change nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from modelmesh.control_plane.releases.machine import step
from modelmesh.control_plane.releases.state import ReleaseState
from modelmesh.models.proof.profile import build_profile
from modelmesh.schemas.payloads.releases import CanaryPlan, Original, Variant
from modelmesh.schemas.payloads.rules import Step
from modelmesh.schemas.payloads.signatures import Signature, TensorSpec

from ..releases import command, spec


def deploy(version, based_on=None, command_id="c", **fields):
    return command("deploy", command_id, version=spec(version), based_on=based_on, **fields)


def arms(*shares):
    return tuple(
        Variant(name=f"arm{number}", version=f"{number}.0.0", weight=share, role="arm")
        for number, share in enumerate(shares, 1)
    )


def run(*commands):
    """Apply commands in order; return the last state and event."""
    state, event = ReleaseState(), None
    for number, one in enumerate(commands):
        state, event = step(state, one.model_copy(update={"command_id": f"c{number}"}), now=1.0)
    return state, event


def test_a_deployment_raises_the_generation():
    state, event = step(ReleaseState(), deploy("1.0.0", 0), now=1.0)
    assert (state.generation, state.release.stable.version) == (1, "1.0.0")
    assert (event.kind, event.generation, event.data.previous) == ("release.deployed", 1, None)


def test_a_command_based_on_an_old_generation_changes_nothing():
    state, _ = step(ReleaseState(), deploy("1.0.0", 0, "a"), now=1.0)
    after, event = step(state, deploy("2.0.0", 0, "b"), now=2.0)
    assert after.release == state.release
    assert (event.kind, event.problem["status"], event.problem["field"]) == ("command.refused", 409, "generation")


def test_an_expired_command_is_not_applied():
    state, event = step(ReleaseState(), deploy("1.0.0", expires_at=0.5), now=1.0)
    assert state.release is None
    assert (event.kind, event.problem["status"]) == ("command.refused", 503)


def repeated(one, command_id, issued_at):
    return one.model_copy(
        update={"command_id": command_id, "repeat_key": "k", "issued_at": issued_at, "expires_at": issued_at + 5}
    )


def test_a_repeated_command_gets_the_answer_of_the_one_that_took_effect():
    state, first = step(ReleaseState(), repeated(deploy("1.0.0", 0), "a", 1.0), now=1.0)
    assert step(state, repeated(deploy("1.0.0", 0), "b", 7.0), now=7.0) == (state, first)
    day_later, again = step(state, repeated(deploy("1.0.0"), "c", 90_000.0), now=90_000.0)
    assert (day_later.generation, again.command_id) == (2, "c")


def test_a_refused_command_is_tried_again_when_it_is_repeated_and_not_when_it_is_delivered_again():
    early = repeated(deploy("1.0.0", 5), "a", 1.0)
    state, refused = step(ReleaseState(), early, now=1.0)
    assert refused.problem["status"] == 409
    assert step(state, early, now=2.0) == (state, refused)
    after, event = step(state, repeated(deploy("1.0.0", 0), "b", 3.0), now=3.0)
    assert (event.kind, event.command_id, after.answer_to("a")) == ("release.deployed", "b", refused)


def test_a_model_that_is_created_again_continues_the_trial_numbers():
    removed, event = run(
        deploy("1.0.0"), command("start_canary", version=spec("2.0.0"), percentage=5), command("remove")
    )
    assert (removed.release, removed.generation, event.kind) == (None, 2, "release.removed")
    assert event.data.removed == {"1.0.0": "d", "2.0.0": "d"}
    again, event = step(removed, deploy("1.0.0", 0, "again"), now=2.0)
    assert (again.release.generation, again.release.trial, event.kind) == (3, 3, "release.deployed")


def test_a_removal_is_idempotent_and_does_not_remove_a_later_model():
    nothing, event = run(command("remove"), command("remove"))
    assert (nothing.release, event.kind) == (None, "release.removed")
    removed, _ = step(run(deploy("1.0.0"))[0], command("remove", "removal"), now=1.0)
    again, _ = step(removed, deploy("1.0.0", command_id="again"), now=2.0)
    after, event = step(again, command("remove", "removal"), now=3.0)  # repeated after a crash
    assert (after, event.kind) == (again, "release.removed")
    refused, event = step(again, command("remove", "stale", based_on=1), now=3.0)
    assert (refused.release, event.problem["status"]) == (again.release, 409)


def test_a_learned_reference_belongs_to_its_artifact():
    state, _ = run(deploy("1.0.0"))
    profile = build_profile([("x", np.arange(10.0))], "live")
    other = command("set_profile", "p", version=spec("1.0.0", digest="e"), profile=profile)
    assert step(state, other, now=1.0)[1].problem["status"] == 409
    again, _ = step(state, command("set_profile", "q", version=spec("1.0.0"), profile=profile), now=1.0)
    other = command("deploy", "r", version=spec("1.0.0", digest="e"))
    assert step(again, other, now=1.0)[0].release.versions["1.0.0"].profile is None


def test_a_canary_is_one_trial_from_start_to_end():
    plan = CanaryPlan(steps=(Step(percentage=5), Step(percentage=50)))
    started, _ = run(deploy("1.0.0"), command("start_canary", version=spec("2.0.0"), canary=plan))
    raised, event = run(
        deploy("1.0.0"),
        command("start_canary", version=spec("2.0.0"), canary=plan),
        command("step_canary", percentage=50, trial=2),
    )
    assert (started.release.trial, started.generation) == (2, 2)
    assert (raised.release.trial, raised.generation, raised.release.canary.step) == (2, 3, 1)
    assert raised.release.salt == started.release.salt, "a key may only move to the candidate"
    assert event.kind == "canary.stepped"
    for kind, version in (("promote", "2.0.0"), ("rollback", "1.0.0")):
        ended, _ = step(raised, command(kind, "end", trial=2), now=1.0)
        assert (ended.release.strategy, ended.release.stable.version, ended.release.trial) == ("full", version, 4)
        assert ended.release.versions.keys() == {version}, "a release that ends leaves no route behind"


def test_a_judges_rollback_does_not_touch_the_next_canary():
    state, _ = run(
        deploy("1.0.0"),
        command("start_canary", version=spec("2.0.0"), percentage=5),
        command("rollback"),
        command("start_canary", version=spec("3.0.0"), percentage=5),
    )
    after, event = step(state, command("rollback", "late", trial=2), now=1.0)
    assert after.release == state.release
    assert event.problem["status"] == 409


def test_an_experiments_winner_goes_live_by_name_or_version():
    start = command(
        "start_experiment", variants=arms(0.5, 0.5), versions={f"{n}.0.0": spec(f"{n}.0.0") for n in (1, 2)}
    )
    state, event = run(deploy("1.0.0"), start)
    assert [variant.role for variant in state.release.variants] == ["stable", "arm"]
    assert str(event.data.id) == "m.2"
    for winner, version in (("arm2", "2.0.0"), ("2.0.0", "2.0.0"), ("", "1.0.0")):
        after, _ = step(state, command("stop_experiment", "end", winner=winner), now=1.0)
        assert after.release.stable.version == version
    _, refused = step(state, command("stop_experiment", "end", winner="nobody"), now=1.0)
    assert refused.problem["field"] == "winner"


def test_a_version_keeps_its_learned_reference():
    profile = build_profile([("x", np.arange(50.0))], "live")
    state, event = run(deploy("1.0.0"), command("set_profile", version=spec("1.0.0"), profile=profile))
    assert (event.kind, state.generation) == ("profile.learned", 1)
    after, _ = step(state, command("start_canary", "next", version=spec("2.0.0"), percentage=5), now=1.0)
    assert after.release.versions["1.0.0"].profile == profile
    _, again = step(state, command("set_profile", "again", version=spec("1.0.0"), profile=profile), now=1.0)
    assert again.problem["status"] == 409


OTHER = spec("2.0.0", signature=Signature(inputs=(TensorSpec(name="y", dtype="string"),)))


@pytest.mark.parametrize(
    ("refused", "status", "says"),
    [
        (command("start_canary", version=spec("1.0.0"), percentage=5), 422, "is the stable version"),
        (command("start_canary", version=spec("2.0.0"), percentage=0), 422, "percentage"),
        (command("start_canary", version=spec("2.0.0"), percentage=101), 422, "percentage"),
        (command("start_canary", version=OTHER, percentage=5), 409, "x is missing; inputs: y is new"),
        (command("start_shadow", version=OTHER, percentage=5), 409, "x is missing"),
        (command("start_experiment", variants=arms(1.0), versions={"1.0.0": spec("1.0.0")}), 422, "two variants"),
        (command("start_experiment", variants=arms(0.5, 0.4), versions={}), 422, "add up"),
        (command("start_experiment", variants=(*arms(0.5), *arms(0.5)), versions={}), 422, "same name"),
        (command("promote"), 409, "no canary running"),
        (command("rollback"), 409, "no canary running"),
        (command("step_canary", percentage=5), 409, "no canary running"),
        (command("stop_shadow"), 409, "no shadow running"),
        (command("stop_experiment"), 409, "no experiment running"),
        (command("start_canary", version=spec("2.0.0")), 422, "percentage"),
    ],
)
def test_an_illegal_command_is_refused_and_changes_nothing(refused, status, says):
    before, _ = run(deploy("1.0.0"))
    after, event = step(before, refused, now=1.0)
    assert after.release == before.release
    assert event.problem["status"] == status
    assert says in event.problem["detail"]


commands = st.lists(
    st.tuples(st.sampled_from(["1.0.0", "2.0.0", "3.0.0"]), st.none() | st.integers(0, 6), st.integers(0, 8)),
    max_size=30,
)


@given(commands, st.integers(1, 30))
def test_commands_that_are_delivered_again_after_a_crash_change_nothing(orders, replayed):
    state, events = ReleaseState(), []
    sent = [deploy(version, based_on, f"c{number}") for version, based_on, number in orders]
    for one in sent:
        state, event = step(state, one, now=1.0)
        events.append(event)
    again = state
    for one, event in zip(sent[-replayed:], events[-replayed:], strict=True):
        again, repeated = step(again, one, now=2.0)
        assert repeated == event
    assert again == state


class Releases(RuleBasedStateMachine):
    """Any commands in any order: the release is always one of the legal ones, and only legal steps change it."""

    @initialize()
    def first(self):
        self.number = 0
        self.state, _ = step(ReleaseState(), deploy("1.0.0"), now=0.0)

    def send(self, kind, **fields):
        self.number += 1
        before = self.state
        self.state, event = step(
            before, command(kind, f"n{self.number}", expires_at=1e9, **fields), now=float(self.number)
        )
        changed = self.state.release != before.release
        assert changed == (event.kind != "command.refused")
        if changed:
            assert self.state.generation == before.generation + 1
            same_trial = self.state.release.trial == before.release.trial
            assert same_trial == (kind == "step_canary")
        legal = {
            "deploy": "full", "start_canary": "full", "start_shadow": "full", "start_experiment": "full",
            "step_canary": "canary", "promote": "canary", "rollback": "canary", "stop_shadow": "shadow",
            "stop_experiment": "ab",
        }  # fmt: skip
        assert not changed or before.release.strategy == legal[kind]

    @rule(kind=st.sampled_from(["promote", "rollback", "stop_shadow", "stop_experiment"]))
    def end(self, kind):
        self.send(kind)

    @rule(version=st.sampled_from(["1.0.0", "2.0.0"]))
    def deploy(self, version):
        self.send("deploy", version=spec(version))

    @rule(version=st.sampled_from(["1.0.0", "2.0.0"]), percentage=st.sampled_from([None, 0, 5, 100, 101]))
    def start_canary(self, version, percentage):
        self.send("start_canary", version=spec(version), percentage=percentage)

    @rule(version=st.sampled_from(["1.0.0", "2.0.0"]), percentage=st.sampled_from([0, 5, 100, 101]))
    def start_shadow(self, version, percentage):
        self.send("start_shadow", version=spec(version), percentage=percentage)

    @rule(percentage=st.floats(-1, 120))
    def raise_share(self, percentage):
        self.send("step_canary", percentage=percentage)

    @rule(shares=st.lists(st.sampled_from([0.2, 0.3, 0.5, 0.8]), min_size=1, max_size=3))
    def compare(self, shares):
        variants = arms(*shares)
        self.send("start_experiment", variants=variants, versions={v.version: spec(v.version) for v in variants})

    @invariant()
    def release_is_whole(self):
        release = self.state.release
        answering = [variant for variant in release.variants if variant.role != "shadow"]
        assert sum(variant.weight for variant in answering) == pytest.approx(1)
        assert {variant.version for variant in release.variants} == release.versions.keys()
        assert (release.canary is not None) == (release.strategy == "canary")
        assert sum(variant.role == "stable" for variant in release.variants) == 1


TestReleases = Releases.TestCase
TestReleases.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_a_compiled_form_that_differs_is_replaced_by_its_model_once():
    original = Original(framework="sklearn", artifact="m", digest="model")
    compiled = spec("1.0.0", original=original)
    report = command("serve_original", "c2", version=compiled, reason="labels differ")
    state, event = run(command("deploy", version=compiled), report, report)
    served = state.release.versions["1.0.0"]
    assert (served.digest, served.served_as, served.original) == ("model", "sklearn", None)
    assert state.generation == 2
    assert event.kind == "command.refused"  # the same report from another worker
    _, event = run(command("deploy", version=compiled), report)
    assert (event.kind, event.data.digest, event.data.reason) == ("version.differs", "d", "labels differ")


def test_a_report_on_an_artifact_that_is_no_longer_served_changes_nothing():
    original = Original(framework="sklearn", artifact="m", digest="model")
    gone = spec("1.0.0", original=original).model_copy(update={"digest": "gone"})
    state, event = run(
        command("deploy", version=spec("1.0.0", original=original)), command("serve_original", version=gone)
    )
    assert (state.generation, event.kind) == (1, "command.refused")
