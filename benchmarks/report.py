"""Figures to docs/benchmarks: JSON, a section of docs/benchmarks.md for each benchmark, and plots."""

from __future__ import annotations

import datetime
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

FOLDER = Path(__file__).parent.parent / "docs" / "benchmarks"
PAGE = FOLDER.parent / "benchmarks.md"
JUDGEMENT = FOLDER.parent / "judgement.md"


def machine() -> str:
    """What the figures were made on, in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}, "
        "load generator and broker on the same machine"
    )


def table(header: list[str], rows: list[list[Any]]) -> str:
    """A table in Markdown; the first column is text, the others are figures."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def save(name: str, command: str, figures: dict[str, Any], body: str, into: Path = PAGE) -> None:
    """Write the figures as JSON and put the section into the page, in the place of its last edition."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = {"made_on": datetime.date.today().isoformat(), "machine": machine(), "command": command}
    (FOLDER / f"{name}.json").write_text(json.dumps(made | {"figures": figures}, indent=1) + "\n")
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    note = f"Made by `{command}` on {made['made_on']}: {made['machine']}. All figures: [{name}.json](benchmarks/{name}.json)."
    section = f"{begin}\n{note}\n\n{body}\n{end}"
    page = into.read_text()
    if begin not in page:
        raise SystemExit(f"{into} has no place for {name}: it needs the lines {begin} and {end}")
    into.write_text(page[: page.index(begin)] + section + page[page.index(end) + len(end) :])


def saved(name: str) -> dict[str, Any]:
    """Return the figures of the last run; none before the first."""
    path = FOLDER / f"{name}.json"
    figures: dict[str, Any] = json.loads(path.read_text())["figures"] if path.exists() else {}
    return figures


def save_plot(figure: Any, name: str) -> str:
    """Write a plot as SVG without dates, so that equal figures give equal files; return its link."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)
    return f"![{name.replace('-', ' ')}](benchmarks/{name}.svg)"


def lines_plot(
    title: str, x_label: str, y_label: str, lines: dict[str, tuple[list[float], list[float]]], **axes: Any
) -> Any:
    """A plot of several lines; `axes` goes to matplotlib's Axes.set."""
    figure, plot = pyplot.subplots(figsize=(6, 3.2))
    for label, (x, y) in lines.items():
        plot.plot(x, y, marker="o", label=label)
    plot.set(title=title, xlabel=x_label, ylabel=y_label, **axes)
    plot.grid(alpha=0.3)
    plot.legend()
    return figure


def met(holds: bool) -> str:
    """The last column of a table of aims."""
    return "yes" if holds else "**no**"


class Clock:
    """Prints what is being done and the seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:5.0f} s] {text}", flush=True)
