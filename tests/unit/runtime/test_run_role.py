"""A role's process exits with 0 when it is stopped, and otherwise with 1 and a log line with the reason."""

import json
import signal
import subprocess
import sys

import pytest

ROLE = """
import asyncio, sys, threading, time
from prometheus_client import CollectorRegistry
from modelmesh.runtime.role import Role
from modelmesh.runtime.run_role import run_role
from modelmesh.schemas.settings import Settings

async def fail():
    raise OSError("the disk is full")

class Odd(Role):
    registry = CollectorRegistry()
    def __init__(self, settings):
        if sys.argv[1] == "made": raise OSError("the disk is full")
    def health(self): return {"ready": True}
    async def start(self, parts):
        how = sys.argv[1]
        if how == "start": await parts.start("part", fail(), asyncio.Event().wait)
        if how == "running": parts.run("part", fail())
        if how == "end": parts.at_end("part", fail)
        if how == "thread": parts.at_end("part", lambda: asyncio.to_thread(time.sleep, 3600), stop_seconds=0.1)
        if how == "starts": print("waits", flush=True); await parts.wait(asyncio.Event().wait())
        print("waits", flush=True)

run_role("router", Settings(admin_port=0), Odd, needs_broker=False)
"""


def run(how, stop):
    process = subprocess.Popen(
        [sys.executable, "-c", ROLE, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if stop:
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGTERM)
    _, output = process.communicate(timeout=150)
    return process.returncode, [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize("how", ["well", "starts"])
def test_a_stopped_role_exits_with_0(how):
    code, lines = run(how, True)
    assert code == 0
    assert lines[-1]["event"] == "role.stopped"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("start", "part failed at its start: OSError: the disk is full"),
        ("running", "part failed while it ran: OSError: the disk is full"),
        ("end", "part failed at its end: OSError: the disk is full"),
        ("thread", "part failed at its end: TimeoutError: it did not stop within 0.1 s"),
    ],
)
def test_a_failed_part_exits_with_1_and_a_log_line(how, message):
    code, lines = run(how, how in ("end", "thread"))
    assert code == 1
    failed = [line for line in lines if line["event"] == "role.failed"]
    assert [line["detail"] for line in failed] == [message]


def test_a_role_that_raises_in_its_constructor_exits_with_1_and_a_log_line():
    code, lines = run("made", False)
    assert code == 1
    assert "the disk is full" in lines[-1]["exception"]
