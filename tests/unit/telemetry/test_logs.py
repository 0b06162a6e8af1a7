"""A line of the log that cannot be written costs nothing but the line."""

import io
import json
import sys
import threading
from types import SimpleNamespace

import pytest
import structlog
from modelmesh.telemetry.logs import configure_logs


@pytest.fixture
def logs_to(monkeypatch):
    """Send logs to a file, for one test."""
    before = structlog.get_config()

    def configure(file):
        monkeypatch.setattr(sys, "stderr", SimpleNamespace(buffer=file))
        configure_logs("info", "tests", "tests")
        monkeypatch.undo()

    yield configure
    structlog.configure(**before)


def test_a_line_for_a_closed_file_is_lost(logs_to):
    file = io.BytesIO()
    logs_to(file)
    log = structlog.get_logger()
    log.error("first")
    assert b'"event":"first"' in file.getvalue()
    file.close()
    log.error("second")


def test_a_line_for_a_full_disk_is_lost(logs_to):
    disk = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed below, once it is known to be full
    logs_to(disk)
    structlog.get_logger().error("line")
    with pytest.raises(OSError, match="No space"):
        disk.write(b"line")
    disk.close()


def test_a_line_from_a_thread_says_who_wrote_it(logs_to):
    file = io.BytesIO()
    logs_to(file)
    log = structlog.get_logger()
    thread = threading.Thread(target=log.info, args=("line",))
    thread.start()
    thread.join()
    written = json.loads(file.getvalue())
    assert written["role"] == written["replica"] == "tests"
