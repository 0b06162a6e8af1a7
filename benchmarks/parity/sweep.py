"""`make parity`: run the cases in a few processes, print what comes, and write the table of docs/frameworks.md."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .page import write_page

FIGURES = Path("docs/benchmarks/parity.json")


def _run(number: int) -> dict[str, Any]:
    from .cases import all_cases
    from .run_case import Result, run_case

    case = all_cases()[number]
    begin = time.perf_counter()
    try:
        result = run_case(case)
    except Exception as error:  # a fault of the sweep itself is shown, not hidden
        result = Result(str(case), case.name, case.inputs, "different", details=[f"{type(error).__name__}: {error}"])
    return asdict(result) | {"seconds": round(time.perf_counter() - begin, 2)}


def main() -> int:
    """Run the cases whose name holds the words given (none: all); return how many answers differ."""
    # Threads of OpenMP in two processes on two cores wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    warnings.simplefilter("ignore")
    from .cases import all_cases

    words = " ".join(sys.argv[2:])
    chosen = [number for number, case in enumerate(all_cases()) if words in str(case)]
    begin = time.perf_counter()
    results: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(max(1, min(4, os.cpu_count() or 1)), maxtasksperchild=300) as pool:
        for result in pool.imap_unordered(_run, chosen):
            results.append(result)
            if result["outcome"] == "different":
                details = "; ".join(result["details"])[:600]
                print(f"DIFFERENT {result['case']} ({result['served_as']}): {details}", flush=True)
            if len(results) % 100 == 0:
                print(f"{len(results)} of {len(chosen)} after {time.perf_counter() - begin:.0f} s", flush=True)
    counts = Counter(result["outcome"] for result in results)
    served = Counter(result["served_as"] for result in results if result["outcome"] == "equal")
    print(f"{len(results)} cases in {time.perf_counter() - begin:.0f} s: {dict(counts)}, {dict(served)}")
    if not words:
        results.sort(key=lambda result: result["case"])
        for result in results:
            del result["seconds"]
        write_page(results)
        FIGURES.write_text(json.dumps(results, indent=0, ensure_ascii=False) + "\n")
    return counts["different"]
