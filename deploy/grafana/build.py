"""Write the Grafana dashboards: `python deploy/grafana/build.py`. A test holds the files against this."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
VERSION = "{{model}} {{version}}"  # a legend
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT = 8, 8
P = "modelmesh:prediction_latency_seconds"


@dataclass
class Panel:
    """One graph: a title, a unit as Grafana names it, and what is drawn, each with its legend."""

    title: str
    unit: str
    queries: dict[str, str]
    stat: bool = False


@dataclass
class Dashboard:
    """A page of panels in rows of three."""

    name: str
    title: str
    panels: list[Panel] = field(default_factory=list)


DASHBOARDS = [
    Dashboard(
        "traffic",
        "ModelMesh: traffic and latency",
        [
            Panel("Predictions a second", "reqps", {VERSION: "modelmesh:predictions:rate1m"}),
            Panel("Errors", "percentunit", {VERSION: "modelmesh:prediction_errors:ratio5m"}),
            Panel("In flight", "short", {"{{instance}}": "in_flight"}),
            Panel("Latency, median", "s", {VERSION: f"{P}:p50_5m"}),
            Panel("Latency, p95", "s", {VERSION: f"{P}:p95_5m"}),
            Panel("Latency, p99", "s", {VERSION: f"{P}:p99_5m"}),
            Panel(
                "HTTP requests by status",
                "reqps",
                {"{{status}}": "sum by (status) (rate(http_requests_total[1m]))"},
            ),
            Panel("Sent again", "reqps", {"{{instance}}": "rate(retries_total[1m])"}),
            Panel(
                "Prediction cache",
                "ops",
                {"{{model}} {{event}}": "sum by (model, event) (rate(cache_events_total[1m]))"},
            ),
        ],
    ),
    Dashboard(
        "releases",
        "ModelMesh: releases",
        [
            Panel("Models by strategy", "short", {"{{strategy}}": "max by (strategy) (active_deployments)"}, stat=True),
            Panel(
                "Candidates' failures",
                "percentunit",
                {VERSION: "max by (model, version) (canary_error_rate)"},
            ),
            Panel("Candidates' share", "percent", {VERSION: "max by (model, version) (canary_percentage)"}),
            Panel("Rollbacks in an hour", "short", {"{{model}}": "max by (model) (increase(rollbacks_total[1h]))"}),
            Panel("Events", "short", {"{{kind}}": "max by (kind) (increase(events_total[10m]))"}),
            Panel(
                "Traffic by version",
                "percentunit",
                {
                    VERSION: "modelmesh:predictions:rate1m"
                    " / on (model) group_left () (sum by (model) (modelmesh:predictions:rate1m) > 0)"
                },
            ),
        ],
    ),
    Dashboard(
        "drift",
        "ModelMesh: drift",
        [
            Panel("Drifting", "short", {VERSION: "max by (model, version) (drifting)"}, stat=True),
            Panel(
                "PSI by feature, the ten highest",
                "none",
                {"{{model}} {{version}} {{feature}}": "topk(10, max by (model, version, feature) (drift_psi))"},
            ),
            Panel(
                "PSI, the highest of each version",
                "none",
                {VERSION: "max by (model, version) (drift_psi)"},
            ),
        ],
    ),
    Dashboard(
        "workers",
        "ModelMesh: broker and workers",
        [
            Panel("Records that wait, by topic", "short", {"{{job}} {{topic}}": "modelmesh:consumer_lag:sum"}),
            Panel(
                "Records that wait, the ten longest partitions",
                "short",
                {"{{topic}} {{partition}}": "topk(10, consumer_lag)"},
            ),
            Panel("Dead letters in ten minutes", "short", {"{{instance}}": "increase(dead_letters_total[10m])"}),
            Panel(
                "Rows of a batch, mean",
                "short",
                {
                    VERSION: "sum by (model, version) (rate(batch_size_sum[1m]))"
                    " / (sum by (model, version) (rate(batch_size_count[1m])) > 0)"
                },
            ),
            Panel(
                "Time in the batch queue, p95",
                "s",
                {
                    VERSION: "histogram_quantile(0.95,"
                    " sum by (model, version, le) (rate(queue_wait_seconds_bucket[5m])))"
                },
            ),
            Panel(
                "Time in the model, p95",
                "s",
                {VERSION: "histogram_quantile(0.95, sum by (model, version, le) (rate(inference_seconds_bucket[5m])))"},
            ),
            Panel(
                "Breakers: 0 closed, 1 half open, 2 open",
                "none",
                {VERSION: "max by (model, version) (breaker_state)"},
            ),
            Panel(
                "Compiled forms that answered otherwise than their model",
                "none",
                {VERSION: "sum by (model, version) (compiled_differences_total)"},
            ),
            Panel("Memory", "bytes", {"{{job}} {{instance}}": 'process_resident_memory_bytes{job=~"modelmesh-.+"}'}),
            Panel(
                "Cores", "none", {"{{job}} {{instance}}": 'rate(process_cpu_seconds_total{job=~"modelmesh-.+"}[1m])'}
            ),
        ],
    ),
]


def document(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    panels = []
    for number, panel in enumerate(dashboard.panels):
        panels.append(
            {
                "id": number + 1,
                "title": panel.title,
                "type": "stat" if panel.stat else "timeseries",
                "datasource": DATASOURCE,
                "gridPos": {"x": number % 3 * WIDTH, "y": number // 3 * HEIGHT, "w": WIDTH, "h": HEIGHT},
                "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
                "targets": [
                    {"refId": chr(65 + index), "expr": expression, "legendFormat": legend, "datasource": DATASOURCE}
                    for index, (legend, expression) in enumerate(panel.queries.items())
                ],
            }
        )
    return {
        "uid": f"modelmesh-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["modelmesh"],
        "schemaVersion": 39,
        "time": {"from": "now-30m", "to": "now"},
        "refresh": "10s",
        "panels": panels,
    }


def text(dashboard: Dashboard) -> str:
    """Return a dashboard's file."""
    return json.dumps(document(dashboard), indent=1) + "\n"


if __name__ == "__main__":
    for made in DASHBOARDS:
        (FOLDER / f"{made.name}.json").write_text(text(made))
