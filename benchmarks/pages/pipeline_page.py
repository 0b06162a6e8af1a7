"""The pipeline's figures as tables, plots and aims."""

from __future__ import annotations

from typing import Any

from .. import report

PATHS = {"floor": "bare Kafka hops (floor)", "kafka": "Kafka client", "http": "HTTP gateway"}
COLUMNS = ["requests/s", "p50 ms", "p99 ms", "mean batch", "errors"]


def page(figures: dict[str, Any]) -> str:
    """The section for docs/benchmarks.md."""
    large = figures["first_prediction"]
    parts = [
        "### So many in flight (closed loop)",
        _beside_floor(figures["in_flight"], "in flight", "rate", "of the floor"),
        _plot(figures["in_flight"], "throughput", "requests in flight", "rate", "answers/s", xscale="log"),
        "### So many a second (open loop, latency from the moment a request was due)",
        _beside_floor(figures["at_rate"], "a second", "p99_ms", "p99 of the floor's"),
        _plot(figures["at_rate"], "latency", "requests/s", "p99_ms", "p99 in ms", ylim=(0, None)),
        "### 5,000 requests at once",
        report.table(
            ["path", "answered", *COLUMNS],
            [[PATHS[name], found["answered"], *_row(found)] for name, found in figures["at_once"].items()],
        ),
        "### A forest of 100 trees on 30 features, 64 in flight over Kafka",
        report.table(
            ["how it is served", *COLUMNS], [[name, *_row(found)] for name, found in figures["batching"].items()]
        ),
        "`one-by-one` and `batched` are scikit-learn's own `predict_proba`; `compiled` is the same forest as ONNX.",
        "### Register to first prediction",
        f"A forest of {large['megabytes']} MB, served as {large['served_as']}: {large['seconds']} s.",
        "### Aims",
        report.table(["aim", "measured", "met"], aims(figures)),
    ]
    return "\n\n".join(parts)


def aims(figures: dict[str, Any]) -> list[list[str]]:
    """Each aim with what was measured and whether that meets it."""
    closed, opened, batching = figures["in_flight"], figures["at_rate"], figures["batching"]
    http, kafka = (closed[path]["64"]["rate"] / closed["floor"]["64"]["rate"] for path in ("http", "kafka"))
    http_tail, kafka_tail = (
        opened[path]["500"]["p99_ms"] / opened["floor"]["500"]["p99_ms"] for path in ("http", "kafka")
    )
    batched = batching["batched"]["rate"] / batching["one-by-one"]["rate"]
    answered = min(found["answered"] for found in figures["at_once"].values())
    seconds = figures["first_prediction"]["seconds"]
    return [
        ["HTTP at 64 in flight: at least 0.4 of the floor", f"{http:.2f}", report.met(http >= 0.4)],
        ["Kafka client at 64 in flight: at least 0.6 of the floor", f"{kafka:.2f}", report.met(kafka >= 0.6)],
        ["HTTP p99 at 500/s: at most 3 times the floor's", f"{http_tail:.2f}", report.met(http_tail <= 3)],
        ["Kafka client p99 at 500/s: at most 3 times the floor's", f"{kafka_tail:.2f}", report.met(kafka_tail <= 3)],
        ["5,000 at once: all answered", str(answered), report.met(answered == 5000)],
        ["batching: at least 5 times one-by-one", f"{batched:.1f}", report.met(batched >= 5)],
        ["a forest of 50 MB: first prediction in under 5 s", f"{seconds:.2f} s", report.met(seconds < 5)],
    ]


def _row(found: dict[str, Any]) -> list[str]:
    errors = sum(found["errors"].values())
    return [
        f"{found['rate']:.0f}",
        f"{found['p50_ms']:.1f}",
        f"{found['p99_ms']:.1f}",
        str(found["mean_batch"]),
        str(errors),
    ]


def _beside_floor(figures: dict[str, Any], unit: str, figure: str, title: str) -> str:
    rows = []
    for name, path in PATHS.items():
        for level, found in figures[name].items():
            rows.append(
                [f"{path}, {level} {unit}", *_row(found), f"{found[figure] / figures['floor'][level][figure]:.2f}"]
            )
    return report.table(["path", *COLUMNS, title], rows)


def _plot(figures: dict[str, Any], name: str, x_label: str, figure: str, y_label: str, **axes: Any) -> str:
    lines = {
        path: ([float(level) for level in figures[key]], [found[figure] for found in figures[key].values()])
        for key, path in PATHS.items()
    }
    return report.save_plot(report.lines_plot(name.capitalize(), x_label, y_label, lines, **axes), name)
