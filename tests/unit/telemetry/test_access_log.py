"""Which requests are in the access log."""

from types import SimpleNamespace

import pytest
from modelmesh.telemetry import access_log
from modelmesh.telemetry.access_log import SAMPLED_PER_SECOND, AccessLog


@pytest.mark.parametrize(("mode", "logged"), [("off", []), ("errors", [404, 503]), ("all", [200, 404, 503])])
def test_a_mode_logs_from_a_status(mode, logged):
    log = AccessLog(mode)
    assert [status for status in (200, 404, 503) if log.wants(status, 0.0)] == logged


def test_a_sample_has_every_error_and_so_many_others_a_second():
    log = AccessLog("sampled")
    first = [log.wants(200, 10 + number / 1000) for number in range(1000)]
    assert first == [True] * SAMPLED_PER_SECOND + [False] * (1000 - SAMPLED_PER_SECOND)
    assert all(log.wants(500, 10.9) for _ in range(1000))
    assert log.wants(200, 11.0)


def test_the_next_line_says_how_many_were_left_out(monkeypatch):
    lines = []
    monkeypatch.setattr(access_log, "log", SimpleNamespace(info=lambda event, **fields: lines.append(fields)))
    log = AccessLog("sampled")
    line = {"request_id": "r", "trace_id": None, "method": "GET", "path": "/", "status": 200, "seconds": 0.0012}
    for number in range(SAMPLED_PER_SECOND + 7):
        if log.wants(200, 10 + number / 1000):
            log.write(**line)
    for second in (11.0, 11.1):
        assert log.wants(200, second)
        log.write(**line)
    assert [line.get("skipped") for line in lines[-3:]] == [None, 7, None]
    assert lines[-1]["ms"] == 1.2
