"""`make bench`: the pipeline beside its floor, into docs/benchmarks.md."""

from __future__ import annotations

import uvloop

from . import pipeline, pipeline_page, report


def main() -> None:
    """Run, print, write."""
    say = report.Clock()
    figures = uvloop.run(pipeline.run(say))
    report.save("pipeline", "make bench", figures, pipeline_page.page(figures))
    for aim, found, met in pipeline_page.aims(figures):
        say(f"{aim}: {found} ({met.strip('*')})")


if __name__ == "__main__":
    main()
