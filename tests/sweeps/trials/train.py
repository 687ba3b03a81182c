import json
import math
import os
import shutil
import time
from pathlib import Path

behaviour = os.environ["BEHAVIOUR"]
if behaviour == "fails":
    raise SystemExit("failing, as asked")
poor = behaviour in ("poor", "nan")
steps = 60 if poor else 3  # so many that only who stops it sees its end
level = {"better": 0.1, "good": 0.2, "poor": 5.0, "nan": math.nan}[behaviour]
history = []
for step in range(1, steps + 1):
    time.sleep(1.0 if poor else 0.2)
    loss = level + 1 / step
    history.append({"step": step, "epoch": float(step), "eval_loss": loss})
    folder = Path(os.environ["BT_CHECKPOINT_DIR"]) / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "quick"}))
    (folder / "model.safetensors").write_bytes(b"\2" + bytes(7) + b"{}")  # of no tensors
    shutil.copy(Path(__file__).with_name("serve.py"), folder / "serve.py")
    state = {"global_step": step, "epoch": float(step), "max_steps": steps, "log_history": history}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    print(f"step {step}/{steps}  eval_loss {loss}", flush=True)  # noqa: T201
