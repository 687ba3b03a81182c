"""The trials of a sweep as a table, best first."""

from __future__ import annotations

import math

from truss_train_core.sweeps.results import Outcome, Results
from truss_train_core.sweeps.trial import text

STAR = "★"


def table(results: Results) -> list[dict[str, str]]:
    """A row for each trial, the best first: values by column, all of them text.

    The columns are the trial's number, with a star where its checkpoint was chosen, its parameters, the best of its
    metric, where that was measured, what has become of it, and why.
    """
    return [_row(outcome, results) for outcome in sorted(results.outcomes, key=_rank)]


def decision(results: Results) -> str:
    """Which checkpoint was chosen and why, or why none, in a sentence."""
    if results.choice is None or results.chosen is None:
        return f"Nothing was chosen. {results.problem}"
    name = results.choice.checkpoint.checkpoint_id
    return f"{STAR} {name} of {results.chosen.trial.describe()}: {results.choice.reason}."


def markdown(results: Results) -> str:
    """The decision and the table, in Markdown."""
    rows = table(results)
    columns = list(rows[0])
    lines = [decision(results), "", _line(columns), _line(["---"] * len(columns))]
    lines += [_line([row[column] for column in columns]) for row in rows]
    return "\n".join(lines)


def _row(outcome: Outcome, results: Results) -> dict[str, str]:
    trial, best = outcome.trial, outcome.best
    chosen = outcome is results.chosen
    checkpoint = results.choice.checkpoint.checkpoint_id if chosen and results.choice else ""
    return {
        "trial": f"{STAR} {trial.number}" if chosen else str(trial.number),
        **{name: text(value) for name, value in trial.parameters.items()},
        trial.objective.metric: f"{best[1]:.6g}" if best else "",
        f"at {trial.objective.unit}": f"{best[0]:g}" if best else "",
        "state": outcome.state,
        "checkpoint": checkpoint,
        "why": outcome.reason or "",
    }


def _rank(outcome: Outcome) -> tuple[float, int]:
    sign = 1 if outcome.trial.objective.mode == "min" else -1
    return (sign * outcome.best[1] if outcome.best else math.inf), outcome.trial.number


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
