import json
import os
import shutil
import time
from pathlib import Path

STEPS = 5
checkpoints = Path(os.environ["BT_CHECKPOINT_DIR"])
loaded = Path(os.environ.get("BT_LOAD_CHECKPOINT_DIR", "none"))

states = [json.loads(path.read_text()) for path in loaded.rglob("trainer_state.json")]
state = max(states, key=lambda state: state["global_step"], default={"global_step": 0, "log_history": []})
print("starting after step", state["global_step"], flush=True)  # noqa: T201

for step in range(state["global_step"] + 1, STEPS + 1):
    time.sleep(float(os.environ.get("STEP_SECONDS", "0.3")))
    fails = os.environ.get("FAIL_AT") or (os.environ.get("FAIL_ONCE_AT") if not states else None)
    if step == int(fails or 0):
        raise SystemExit(f"failing at step {step}, as asked")
    loss = abs(step - 3) + 0.5
    state["global_step"] = step
    state["log_history"].append({"step": step, "epoch": float(step), "eval_loss": loss})
    folder = checkpoints / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "quick"}))
    (folder / "model.safetensors").write_bytes(b"\2" + bytes(7) + b"{}")  # of no tensors
    shutil.copy(Path(__file__).with_name("serve.py"), folder / "serve.py")
    (folder / "step.txt").write_text(str(step))
    (folder / "trainer_state.json").write_text(json.dumps(state))
    print(f"step {step}/{STEPS}  eval_loss {loss}", flush=True)  # noqa: T201
    if step <= int(os.environ.get("TAKEN_AWAY", "0")):
        time.sleep(3600)  # until the job is preempted or stopped
