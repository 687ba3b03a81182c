"""What a flow file pays for importing the Prefect collection, beside one that imports prefect.

    .venv-prefect/bin/python benchmarks/prefect_import_cost.py [ROUNDS]

`import prefect` alone loads names on first use: what a flow file pays for prefect is what `flow` and `task` load. Where
valgrind is installed, instructions are counted, which other work on the machine does not change; elsewhere, the least
processor time of several fresh interpreters is taken, one of each kind in turn.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 15
PREFECT = "from prefect import flow, task\n"
CASES = {
    "import prefect": "import prefect",
    "flow and task": PREFECT,
    "a flow file without this": f"{PREFECT}@flow\ndef own(parameter: int): ...",
    "… with a task of this": f"{PREFECT}from prefect_truss_train import submit_training_job\n"
    "@flow\ndef own(parameter: int): ...",
    "… with all tasks, the block and the flow": PREFECT
    + """from prefect_truss_train import (
    BasetenCredentials, choose_checkpoint, deploy_checkpoint, on_new_dataset, resume_training_job, submit_training_job,
    train_and_deploy, wait_for_deployment, wait_for_training_job, with_remote_cancellation,
)
@flow
def own(parameter: int): ...""",
}


def instructions(code: str) -> float:
    """Millions of instructions."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stderr
    counted = re.search(r"Collected : (\d+)", said)
    assert counted, said
    return int(counted[1]) / 1e6


def processor_time(code: str) -> float:
    """Milliseconds."""
    child = subprocess.Popen([sys.executable, "-c", code])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, code)
    return (usage.ru_utime + usage.ru_stime) * 1000


def main() -> None:
    for code in CASES.values():
        processor_time(code)  # bytecode is written, files are in memory
    if shutil.which("valgrind"):
        unit, least = "M instructions", {name: instructions(code) for name, code in CASES.items()}
    else:
        unit, least = "ms", dict.fromkeys(CASES, float("inf"))
        for _ in range(ROUNDS):  # in turn, so that a busy moment does not fall on one case alone
            for name, code in CASES.items():
                least[name] = min(least[name], processor_time(code))
    bare, file = least["import prefect"], least["a flow file without this"]
    for name, value in least.items():
        print(f"{value:7.0f} {unit}  {value / bare - 1:+6.1%} of bare, {value / file - 1:+6.1%} of a flow file  {name}")


if __name__ == "__main__":
    main()
