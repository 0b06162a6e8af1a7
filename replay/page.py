"""A replay's report as one HTML page without scripts or other files."""

from __future__ import annotations

from html import escape
from typing import Any

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Replay</title><style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;text-align:left;border-bottom:1px solid #8884}
.bar{background:#3b82f6;height:.9rem;min-width:1px;display:inline-block;vertical-align:middle}
td.n{text-align:right;font-variant-numeric:tabular-nums}</style>"""


def page(document: dict[str, Any]) -> str:
    """Return the report's page."""
    report, agreement = document["report"], document["report"]["agreement"]
    parts = [
        _HEAD,
        f"<h1>Replay of {escape(document['model'])} against {escape(document['version'])}</h1>",
        f"<p>{report['requests']} requests from {escape(document['from'])} to {escape(document['to'])}.</p>",
    ]
    figures: list[tuple[str, Any]] = [
        ("compared with a recorded answer", agreement["compared"]),
        ("agreed", f"{agreement['share']:.2%}" if agreement["compared"] else "none to compare"),
        *(
            (name.replace("_", " "), report[name])
            for name in ("unreadable", "failed", "without_reply", "recorded_errors")
        ),
        ("largest distance of a score", f"{report['score_distance']['largest']:.4g}"),
        ("recorded p99 in the worker, ms", report["recorded_ms"].get("p99")),
        ("replayed, ms a request in the model", document["run"]["model_ms_per_request"]),
    ]
    for who, truth in report.get("truth", {}).items():
        figures.append((f"rows with labels, {who}", truth["rows"]))
        if "accuracy" in truth:
            figures.append((f"accuracy, {who}", f"{truth['accuracy']:.2%}"))
        if "mean_absolute_error" in truth:
            figures.append((f"mean absolute error, {who}", f"{truth['mean_absolute_error']:.4g}"))
    parts.append(_table(["", ""], [[escape(str(name)), escape(str(value))] for name, value in figures]))
    if report["label_changes"]:
        largest = report["label_changes"][0]["count"]
        parts.append("<h2>Labels that changed</h2>")
        parts.append(
            _table(
                ["recorded", "replayed", "count", ""],
                [
                    [
                        escape(change["from"]),
                        escape(change["to"]),
                        str(change["count"]),
                        _bar(change["count"] / largest),
                    ]
                    for change in report["label_changes"]
                ],
            )
        )
    if report.get("drift"):
        largest = max(1e-9, report["drift"][0]["psi"])
        parts.append("<h2>Inputs against the version's reference</h2>")
        parts.append(
            _table(
                ["feature", "PSI", "p", ""],
                [
                    [escape(drift["feature"]), f"{drift['psi']:.4f}", f"{drift['p']:.2g}", _bar(drift["psi"] / largest)]
                    for drift in report["drift"]
                ],
            )
        )
    return "\n".join(parts) + "</html>\n"


def _bar(share: float) -> str:
    return f'<span class="bar" style="width:{100 * min(1.0, share):.1f}%"></span>'


def _table(header: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
