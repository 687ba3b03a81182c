"""How long it takes to import the package and build a project, beside importing pydantic and httpx alone.

Each figure is the best of several fresh interpreters: a DAG file or a flow file pays it at every parse.
"""

from __future__ import annotations

import subprocess
import sys
import time

PROJECT = """
from truss_train_core import definitions as d
job = d.TrainingJob(image=d.Image(base_image="x"), runtime=d.Runtime(start_commands=["true"]))
d.TrainingProject(name="p", job=job)
"""
CASES = {
    "nothing": "",
    "pydantic": "import pydantic; pydantic.BaseModel",
    "pydantic and httpx": "import httpx, pydantic; pydantic.BaseModel",
    "a TrainingProject": PROJECT,
    "a TrainingProject and a Client": PROJECT + "from truss_train_core import Client",
}
ROUNDS = 9


def seconds(code: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begin


def main() -> None:
    best = dict.fromkeys(CASES, float("inf"))
    for _ in range(ROUNDS):  # in turn, so that a busy moment does not fall on one case alone
        for name, code in CASES.items():
            best[name] = min(best[name], seconds(code))
    for name, taken in best.items():
        print(f"{taken * 1000:7.0f} ms  {name}")


if __name__ == "__main__":
    main()
