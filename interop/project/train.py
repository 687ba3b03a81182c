"""Pretends to train; see config.py."""

import json
import os
from pathlib import Path

CHECKPOINTS = {
    "checkpoint-1": ("adapter_config.json", {"r": 8, "base_model_name_or_path": "Qwen/Qwen3-0.6B"}),
    "checkpoint-2": ("config.json", {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}),
}

for step, (name, (file, content)) in enumerate(CHECKPOINTS.items(), start=1):
    folder = Path(os.environ["BT_CHECKPOINT_DIR"], name)
    folder.mkdir()
    (folder / file).write_text(json.dumps(content))
    (folder / "weights.safetensors").write_bytes(bytes(1000 * step))
    print(f"step {step}: loss {1 / step:.3f}", flush=True)

Path(os.environ["BT_PROJECT_CACHE_DIR"], "tokens.bin").write_bytes(b"cached")
