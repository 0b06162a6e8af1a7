"""On PYTHONPATH, this takes the metrics out of a role: what it costs to count is measured against not counting."""

from typing import Any

from prometheus_client import metrics


class Nothing:
    """Counts nothing, as fast as that can be done."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self

    inc = observe = set = __call__


NOTHING = Nothing()
for kind in (metrics.Counter, metrics.Gauge, metrics.Histogram):
    setattr(kind, "labels", lambda self, *_, **__: NOTHING)  # noqa: B010 - a plain assignment is no method's
    for method in ("inc", "observe", "set"):
        if hasattr(kind, method):
            setattr(kind, method, lambda self, *_, **__: None)
