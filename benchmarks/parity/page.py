"""The table of docs/frameworks.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path("docs/frameworks.md")
_BEGIN, _END = "<!-- parity: begin -->", "<!-- parity: end -->"
_ORDER = ("different", "equal", "refused", "unfit")


def table(results: list[dict[str, Any]]) -> str:
    """Return one line for each estimator or shape: how it is served on which inputs, and why so."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        by_name.setdefault(result["name"], []).append(result)
    lines = ["| model | compiled on | served as it is on | not served | why |", "|---|---|---|---|---|"]
    for name, found in sorted(by_name.items(), key=lambda pair: pair[0].lower()):
        cells = {"compiled": [], "as it is": [], "not": []}  # type: dict[str, list[str]]
        why: dict[str, None] = {}
        for result in found:
            place = result["served_as"] if result["outcome"] == "equal" else "not"
            if result["outcome"] == "unfit":
                continue
            mark = " **differs**" if result["outcome"] == "different" else ""
            cells[place].append(result["inputs"] + mark)
            if result["why"] and place != "compiled":
                why.setdefault(_short(result["why"]))
        if not any(cells.values()):
            why = dict.fromkeys([f"no such inputs: {_short(found[0]['why'])}"])
        shown = [", ".join(dict.fromkeys(cells[place])) for place in ("compiled", "as it is", "not")]
        lines.append(f"| {name} | {' | '.join(shown)} | {'; '.join(list(why)[:2])} |")
    return "\n".join(lines)


def _short(why: str) -> str:
    words = why.split("\n")[0].replace("|", "/")
    if words.endswith("is not on the list of what is compiled"):
        return "not on the list"
    return words[:110]


def write_page(results: list[dict[str, Any]]) -> None:
    """Put the table between its marks."""
    counts = {outcome: sum(result["outcome"] == outcome for result in results) for outcome in _ORDER}
    asked = counts["equal"] + counts["different"]
    summary = (
        f"{len(results)} cases: {counts['equal']} of {asked} models that are served answer as the estimator itself, "
        f"{counts['different']} differ; {counts['refused']} are refused with the reason; {counts['unfit']} cannot be "
        "fitted to such inputs."
    )
    text = PAGE.read_text()
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{summary}\n\n{table(results)}\n\n{_END}{after}")
