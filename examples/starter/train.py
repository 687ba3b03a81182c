"""Find the slope of a line, and leave checkpoints that a later job can start from. Put your own training here."""

import json
import os
from pathlib import Path

STEPS = int(os.environ.get("STEPS", "50"))
CHECKPOINTS = Path(os.environ.get("BT_CHECKPOINT_DIR", "checkpoints"))
LOADED = Path(os.environ.get("BT_LOAD_CHECKPOINT_DIR", "loaded"))
POINTS = [(x / 10, 3 * x / 10) for x in range(1, 11)]


def start() -> tuple[int, float]:
    """The step and the slope to go on from: those of the newest checkpoint that was loaded, or none."""
    states = [json.loads(path.read_text()) for path in LOADED.rglob("state.json")]
    newest = max(states, key=lambda state: state["step"], default={"step": 0, "slope": 0.0})
    return newest["step"], newest["slope"]


def save(step: int, slope: float, loss: float) -> None:
    folder = CHECKPOINTS / f"checkpoint-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state.json").write_text(json.dumps({"step": step, "slope": slope, "eval_loss": loss}))


first, slope = start()
for step in range(first + 1, STEPS + 1):
    slope -= 0.5 * sum(2 * x * (slope * x - y) for x, y in POINTS) / len(POINTS)
    if step % 10 == 0:
        loss = sum((slope * x - y) ** 2 for x, y in POINTS) / len(POINTS)
        print(f"step {step}: slope {slope:.4f}, loss {loss:.6f}", flush=True)
        save(step, slope, loss)
