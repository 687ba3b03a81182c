"""The digits example on its own: where it begins, and what its gate job writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
DIGITS = Path(__file__).parents[2] / "examples" / "digits"
STEPS = 378
"""Of an epoch."""


class Machine:
    """Where jobs run one after the other, as the platform would let them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.saved, self.loaded = root / "saved", root / "loaded"

    def run(self, script: str, **variables: str) -> str:
        """Run a script of the example; returns what it printed."""
        own = {"BT_CHECKPOINT_DIR": str(self.saved), "BT_LOAD_CHECKPOINT_DIR": str(self.loaded)}
        environment = {**os.environ, **own, "OMP_NUM_THREADS": "1", "HIDDEN": "8", **variables}
        command = [sys.executable, DIGITS / script]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def load(self, *names: str) -> None:
        """Put checkpoints that were saved where the next job finds them."""
        for name in names:
            shutil.copytree(self.saved / name, self.loaded / "rank-0" / name)
        shutil.rmtree(self.saved)

    def names(self) -> list[str]:
        """Of the checkpoints, in the order of their steps."""
        return sorted((path.name for path in self.saved.iterdir()), key=lambda name: int(name.split("-")[1]))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_run_that_begins_from_a_checkpoint_trains_as_long_as_any(machine: Machine) -> None:
    machine.run("train.py", EPOCHS="1")
    first = f"checkpoint-{STEPS}"
    machine.load(first)
    assert f"Beginning from {first}" in machine.run("train.py", EPOCHS="2", TRUSS_TRAIN_BEGINS_FROM=first)
    assert machine.names() == [f"checkpoint-{2 * STEPS}", f"checkpoint-{3 * STEPS}"]
    # Interrupted after its first epoch, it goes on with its second.
    machine.load(f"checkpoint-{2 * STEPS}")
    assert f"Resuming from checkpoint-{2 * STEPS}" in machine.run("train.py", EPOCHS="2", TRUSS_TRAIN_BEGINS_FROM=first)
    assert machine.names() == [f"checkpoint-{3 * STEPS}"]


def test_the_gate_job_scores_each_checkpoint_by_its_name(machine: Machine) -> None:
    machine.run("train.py", EPOCHS="2")
    names = machine.names()
    machine.load(*names)
    machine.run("score.py")
    scores = json.loads((machine.saved / "scores" / "scores.json").read_text())
    assert sorted(scores) == sorted(names)
    assert all(0 < each["held_out_accuracy"] < 1 for each in scores.values())


def test_the_held_out_digits_are_of_those_that_are_not_trained_on() -> None:
    code = "import json, train; x, y = train.data()[2:]; print(json.dumps([(16 * x).round().tolist(), y.tolist()]))"
    images, digits = json.loads(
        subprocess.run([sys.executable, "-c", code], cwd=DIGITS, check=True, capture_output=True, text=True).stdout
    )
    held_out = json.loads((DIGITS / "held_out.json").read_text())
    assert len(held_out) == 60
    assert [[number for row in each["image"] for number in row] for each in held_out] == images[:60]
    assert [each["digit"] for each in held_out] == digits[:60]
