"""Pretends to train: a checkpoint per step, the second of them the best.

STEPS says how many, FAIL_AT after which step to fail, unless it is the one that this attempt began from, and
HOLD_AT names a step and a file for which to wait after it.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

STEPS = int(os.environ["STEPS"])
FAIL_AT = int(os.environ.get("FAIL_AT", "-1"))
HOLD_AT, _, HELD_BY = os.environ.get("HOLD_AT", "-1").partition(":")

loaded = [
    int(path.name.split("-")[1])
    for path in Path(os.environ.get("BT_LOAD_CHECKPOINT_DIR", "none")).rglob("checkpoint-*")
]
start = max(loaded, default=0)
history = [{"step": step, "loss": 2 / step, "eval_loss": abs(step - 2) + 0.5} for step in range(1, start + 1)]
print(f"starting at step {start}", flush=True)  # noqa: T201
for step in range(start + 1, STEPS + 1):
    history.append({"step": step, "loss": 2 / step, "eval_loss": abs(step - 2) + 0.5})
    partial = Path(os.environ["BT_CHECKPOINT_DIR"]) / f"checkpoint-{step}"
    partial.mkdir()
    (partial / "config.json").write_text('{"architectures": ["Quick"]}')
    (partial / "model.safetensors").write_bytes(b"\2" + bytes(7) + b"{}")  # of no tensors
    shutil.copy("serve.py", partial)
    state = {"global_step": step, "max_steps": STEPS, "epoch": step / STEPS, "log_history": history}
    (partial / "trainer_state.json").write_text(json.dumps(state))
    print(f"step {step} of {STEPS}", flush=True)  # noqa: T201
    if step == int(HOLD_AT):
        while not Path(HELD_BY).exists():
            time.sleep(0.05)
    if step == FAIL_AT:
        sys.exit("the loss is not finite")
