"""Importing the package and building one definition, which a DAG file or a flow file pays for at every parse."""

from __future__ import annotations

from benchmarks.measuring import cost_of, in_turn, python
from benchmarks.results import COSTS, Goal, Result, cost_row

ALONE = "pydantic and httpx alone"
OURS = "truss_train_core"
BARE = "pydantic and httpx, without the command line of httpx"
CLIENT = "truss_train_core and its Client"
TRUSS = "truss_train"
DEFINITION = """
project = d.TrainingProject(
    name="p", job=d.TrainingJob(image=d.Image(base_image="x"), runtime=d.Runtime(start_commands=["true"]))
)
"""
CASES = {
    ALONE: (".venv", "import httpx, pydantic; pydantic.BaseModel"),
    BARE: (".venv", "import sys; sys.modules['httpx._main'] = None\nimport httpx, pydantic; pydantic.BaseModel"),
    OURS: (".venv", f"import truss_train_core\nfrom truss_train_core import definitions as d\n{DEFINITION}"),
    CLIENT: (".venv", f"from truss_train_core import Client, definitions as d\n{DEFINITION}"),
    TRUSS: (".venv-interop", f"import truss_train\nfrom truss_train import definitions as d\n{DEFINITION}"),
}


def measure(quick: bool) -> Result:
    sides = {
        name: lambda where=where, code=code: cost_of([python(where), "-c", code])
        for name, (where, code) in CASES.items()
    }
    costs = in_turn(sides, 1 if quick else 25)
    return Result(
        title="An interpreter that imports the package and builds one `TrainingProject`",
        goals=(
            Goal("wall time, of pydantic and httpx alone", costs[OURS].ratio(costs[ALONE], "wall"), 1.1),
            Goal("wall time, of truss_train's", costs[OURS].ratio(costs[TRUSS], "wall"), 1 / 8),
        ),
        columns=COSTS,
        table=[cost_row(name, each) for name, each in costs.items()],
        remark="httpx imports a command line of its own where click and rich are installed, as they are here and "
        "beside every engine. Of both without it, ours, which builds the models of a definition, is "
        f"{costs[OURS].ratio(costs[BARE], 'wall').value:.2f} ×.",
    )
