"""A replay's process: its progress and document arrive, failures are reported, and it stops with its caller."""

import sys

import psutil
import pytest
from modelmesh.gateway.replays import runs
from modelmesh.gateway.replays.runs import run_replay
from modelmesh.schemas.errors import ReplayFailed

# Reads its environment from standard input, as the real one does.
BEGIN = "import json, os, sys; json.load(sys.stdin); say = lambda **line: print(json.dumps(line), flush=True); "


@pytest.fixture
def child(monkeypatch):
    """Replace the process by a script."""
    return lambda script: monkeypatch.setattr(runs, "CHILD", (sys.executable, "-c", BEGIN + script))


async def test_progress_arrives_and_then_the_document(child, monkeypatch):
    child("say(progress={'share': 0.5}); say(document={'asked': json.loads(sys.argv[1]), 'long': 'x' * 10**6})")
    steps = [step async for step in run_replay({"model": "m", "limit": None})]
    assert {"share": 0.5} in steps
    assert steps[-1] == {"asked": {"model": "m", "limit": None}, "long": "x" * 10**6}


async def test_a_silent_process_repeats_its_last_progress(child, monkeypatch):
    monkeypatch.setattr(runs, "PROGRESS_SECONDS", 0.01)
    child("import threading; threading.Event().wait()")
    steps = run_replay({})
    assert [await anext(steps) for _ in range(3)] == [{}, {}, {}]
    (process,) = [one for one in psutil.Process().children() if "threading.Event" in " ".join(one.cmdline())]
    await steps.aclose()
    assert not process.is_running()


@pytest.mark.parametrize(
    ("script", "why"),
    [("say(error='no  request\\nlies there')", "no request lies there"), ("os._exit(7)", "exit code 7")],
)
async def test_a_failure_has_its_reason(child, script, why):
    child(script)
    with pytest.raises(ReplayFailed, match=why):
        async for _ in run_replay({}):
            pass


async def test_the_real_process_reads_the_options_of_the_command():
    with pytest.raises(ReplayFailed, match="--from is not a time: 'yesterday'"):
        async for _ in run_replay({"model": "m", "version": "1.0.0", "from": "yesterday", "speed": None}):
            pass
