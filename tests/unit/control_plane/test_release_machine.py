from hypothesis import given
from hypothesis import strategies as st
from modelmesh.control_plane.release_machine import ReleaseState, step
from modelmesh.schemas.commands import Command
from modelmesh.schemas.releases import Batching, VersionSpec
from modelmesh.schemas.signatures import Signature, TensorSpec

SIGNATURE = Signature(inputs=(TensorSpec(name="x", dtype="float64"),))


def spec(version):
    return VersionSpec(
        version=version,
        framework="onnx",
        served_as="onnx",
        artifact="a",
        digest="d",
        signature=SIGNATURE,
        batching=Batching(),
    )


def deploy(version, based_on=None, command_id="c", expires_at=100.0):
    return Command(
        kind="deploy",
        model="m",
        command_id=command_id,
        based_on=based_on,
        version=spec(version),
        issued_at=0.0,
        expires_at=expires_at,
    )


def test_a_deployment_raises_the_generation():
    state, event = step(ReleaseState(), deploy("1.0.0", 0), now=1.0)
    assert (state.generation, state.release.stable.version) == (1, "1.0.0")
    assert (event.kind, event.generation, event.data["previous"]) == ("release.deployed", 1, None)


def test_a_command_based_on_a_generation_that_is_gone_changes_nothing():
    state, _ = step(ReleaseState(), deploy("1.0.0", 0, "a"), now=1.0)
    after, event = step(state, deploy("2.0.0", 0, "b"), now=2.0)
    assert after.release == state.release
    assert (event.kind, event.problem["status"], event.problem["field"]) == ("command.refused", 409, "generation")


def test_an_expired_command_is_not_carried_out():
    state, event = step(ReleaseState(), deploy("1.0.0", expires_at=5.0), now=6.0)
    assert state.release is None
    assert (event.kind, event.problem["status"]) == ("command.refused", 503)


commands = st.lists(
    st.tuples(st.sampled_from(["1.0.0", "2.0.0", "3.0.0"]), st.none() | st.integers(0, 6), st.integers(0, 8)),
    max_size=30,
)


@given(commands, st.integers(1, 30))
def test_commands_seen_twice_after_a_crash_change_nothing_twice(wishes, replayed):
    state, events = ReleaseState(), []
    sent = [deploy(version, based_on, f"c{number}") for version, based_on, number in wishes]
    for command in sent:
        state, event = step(state, command, now=1.0)
        events.append(event)
    again = state
    for command, event in zip(sent[-replayed:], events[-replayed:], strict=True):
        again, repeated = step(again, command, now=2.0)
        assert repeated == event
    assert again == state


@given(commands)
def test_the_generation_counts_the_changes(wishes):
    state, changes = ReleaseState(), 0
    for number, (version, based_on, _) in enumerate(wishes):
        state, event = step(state, deploy(version, based_on, f"c{number}"), now=1.0)
        changes += event.kind == "release.deployed"
    assert state.generation == changes
