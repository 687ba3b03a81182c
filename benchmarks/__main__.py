"""The program: rows by name, all of them without a name."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks import results, rows

ROWS = (
    "push", "small_push", "imports", "dag_parse", "flow_parse", "waiting", "following", "listing", "choosing",
    "round_trip", "platform", "burst", "pages",
)  # fmt: skip
PAGE = Path(__file__).with_name("results.md")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"some of: {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="at a small size; writes no page")
    asked = parser.parse_args()
    if unknown := set(asked.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else all that is imported is compiled anew in each process
    began, found = time.monotonic(), {}
    for name in asked.rows or ROWS:
        found[name] = _measured(name, asked.quick)
    if not asked.rows and not asked.quick:
        PAGE.write_text(results.page(found, (time.monotonic() - began) / 60))
    return any(isinstance(each, str) for each in found.values())


def _measured(name: str, quick: bool) -> results.Result | str:
    """The result of a row, also on the terminal; or the error that it ended with."""
    began = time.monotonic()
    try:
        # In a new process: what a child is told of its peak memory is never less than its parent's.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
            result = apart.submit(rows.measured, name, quick).result()
    except Exception as error:
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    print(f"\n## {name} ({time.monotonic() - began:.0f} s)\n", *results.section(result), sep="\n")
    print(*(f"{'met   ' if goal.met else 'MISSED'} {goal}" for goal in result.goals), sep="\n", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
