"""examples/transformer for real: the Hugging Face Trainer, sharded safetensors, a preemption, `transformers serve`.

And docs/pipelines/transformer.md, whose commands need the same packages.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from truss_train_core import Client, load_deploy_checkpoints_config, load_training_project, runs
from truss_train_core.remotes import write_remote
from truss_train_core.testing import LocalPlatform

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
import pages  # noqa: E402
import shell  # noqa: E402

PYTHON = os.environ.get("TRANSFORMERS_PYTHON")
EXAMPLE = ROOT / "examples" / "transformer"
STEPS, SAVE_STEPS = 300, 50  # long enough to be taken away after the first checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="needs torch: make test-transformers installs it, and runs this"),
]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    assert PYTHON
    with LocalPlatform.started(tmp_path_factory.mktemp("platform"), python=Path(PYTHON), stop_grace=1.0) as running:
        yield running


def test_a_transformer_is_trained_resumed_chosen_and_served(platform: LocalPlatform) -> None:
    project = load_training_project(EXAMPLE / "config.py").with_parameters({"STEPS": STEPS, "SAVE_STEPS": SAVE_STEPS})
    plan = runs.RunPlan(
        project=project,
        source_dir=EXAMPLE,
        best=runs.Best(metric="eval_loss", mode="min"),
        deploy=load_deploy_checkpoints_config(EXAMPLE / "config.py"),
        question={"prompt": "The job is", "max_tokens": 8},
        question_path="sync/v1/completions",
    )
    with Client(platform.remote) as client, platform.reclaiming(project.name, 1):
        record = client.run(runs.run(plan, runs.new_record(plan, runs.run_key("transformer"))))

    first, second = record.attempts
    assert (first.cause, second.cause) == ("preempted", "completed")
    assert second.started_from
    assert (second.started_from.step or 0) >= SAVE_STEPS
    assert record.choice
    state, files = state_and_files(platform, second.job_id, f"checkpoint-{STEPS}")
    losses = {entry["step"]: entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry}
    assert list(losses) == list(range(SAVE_STEPS, STEPS + 1, SAVE_STEPS))  # those before the preemption, too
    assert record.choice.value == min(losses.values()) < losses[SAVE_STEPS]
    assert "model.safetensors.index.json" in files
    assert len([name for name in files if name.startswith("model-0000")]) > 1
    assert record.deployment
    assert json.loads(record.answer or "{}")["choices"][0]["text"]


def test_the_pages_commands_run(platform: LocalPlatform, tmp_path: Path) -> None:
    """Against this platform, which was started as the page says."""
    trussrc = tmp_path / "trussrc"
    key = platform.remote.key.get_secret_value()
    write_remote("local", url=platform.remote.web_url, api_key=key, path=trussrc)
    blocks = [block for block in pages.blocks_of(pages.TRANSFORMER) if block.language == "sh"]
    served = 'truss-train() { case "$1" in serve) ;; *) command truss-train "$@" ;; esac; }'
    said = shell.typed(blocks, tmp_path / "clone", served, {"USER_TRUSSRC_PATH": str(trussrc)})
    assert '"text":' in said


def state_and_files(platform: LocalPlatform, job_id: str | None, checkpoint: str) -> tuple[dict[str, list], set[str]]:
    """The training state of a checkpoint as the platform keeps it, and the names of all of its files."""
    (state,) = [
        path
        for path in platform.data_dir.rglob("trainer_state.json")
        if (path.parent.name, job_id in str(path)) == (checkpoint, True) and "checkpoints" in str(path)
    ]
    return json.loads(state.read_text()), {file.name for file in state.parent.iterdir()}
