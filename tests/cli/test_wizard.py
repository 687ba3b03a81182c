"""The wizard of `deploy-checkpoints`, in a real pseudo-terminal against a real local platform."""

import json
import re
from pathlib import Path

import pytest
from command_line import Command, Project
from terminal import on_a_terminal

from truss_train_core import Client
from truss_train_core.api import endpoints
from truss_train_core.api.models import UpsertSecret
from truss_train_core.testing import LocalPlatform

DOWN, SPACE, ENTER, CTRL_C = "\x1b[B", " ", "\r", "\x03"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def trained() -> list[str]:
    """Names of the projects that were trained already, for all tests of this file."""
    return []


@pytest.fixture
def config(trained: list[str], truss_train: Command, local: LocalPlatform, quick: Project) -> Path:
    """A trained project, whose file says how to serve it and nothing else."""
    path = Path(quick("wizard", STEP_SECONDS="0.05"))
    if not trained:
        assert truss_train("push", path, "--tail").code == 0
        trained.append("wizard")
    unsaid = ("    model_name='wizard',\n", "    compute=definitions.Compute(),\n    runtime=definitions.Deploy")
    text = path.read_text().replace(unsaid[0], "").replace(unsaid[1], "    runtime=definitions.Deploy")
    path.write_text(text)
    return path


def test_it_asks_for_what_is_not_said_deploys_and_keeps_the_configuration(
    truss_train: Command, config: Path, here: Path
) -> None:
    with on_a_terminal("deploy-checkpoints", "--config", str(config)) as (process, screen):
        screen.until("which job")
        screen.type(ENTER)
        screen.until("Which checkpoints")
        screen.until("checkpoint-1")
        screen.type(ENTER)
        screen.until("Mark one")
        screen.type(DOWN + DOWN + SPACE + ENTER)
        screen.until("Name of the model")
        screen.type("asked-for" + ENTER)
        screen.until("Which GPU")
        screen.until("CPU only")
        screen.type("\x1b[A" + ENTER)  # up, from the first to the last
        screen.until("Deploy checkpoint-3 as model asked-for on CPU")
        screen.type("y")
        screen.until("is active", seconds=60)
        screen.until("/predict")
        assert process.wait(timeout=30) == 0
    [folder] = (here / "truss_configs").iterdir()
    assert folder.name.startswith("asked-for_")
    written = json.loads((folder / "config.yaml").read_text())
    assert "checkpoint-3" in json.dumps(written["training_checkpoints"])


def test_leaving_it_deploys_nothing(truss_train: Command, config: Path, here: Path) -> None:
    with on_a_terminal("deploy-checkpoints", "--job-id", "wizard") as (process, screen):
        screen.until("Which checkpoints")
        screen.until("checkpoint-1")
        screen.type(CTRL_C)
        assert process.wait(timeout=30) == 130
    assert list(here.iterdir()) == []


def test_nothing_is_asked_where_all_is_said(truss_train: Command, config: Path, here: Path) -> None:
    """A dry run, with the configuration where it is wanted."""
    said = ("--job-id", "wizard", "--checkpoint", "checkpoint-2", "--model-name", "m", "--accelerator", "H100:2")
    into = ("--truss-config-output-dir", "kept")
    with on_a_terminal("deploy-checkpoints", *said, "--dry-run", *into) as (process, screen):
        screen.until("Nothing was deployed")
        assert process.wait(timeout=30) == 0
    assert "checkpoint-2" in (here / "kept" / "config.yaml").read_text()
    truss_train("deploy_checkpoints", *said, *into).is_refusal("exists already")


def test_it_never_asks_where_there_is_no_terminal(truss_train: Command, config: Path) -> None:
    truss_train("deploy-checkpoints").is_refusal("which checkpoint")
    truss_train("deploy-checkpoints", "--job-id", "wizard").is_refusal("checkpoint-1, checkpoint-2")
    named = ("--job-id", "wizard", "--checkpoint", "checkpoint-2")
    truss_train("deploy-checkpoints", *named).is_refusal("model name")
    truss_train("deploy-checkpoints", *named, "--model-name", "m").is_refusal("what it runs on")


ADAPTERS = """
import json, os, pathlib
for step in (1, 2):
    folder = pathlib.Path(os.environ["BT_CHECKPOINT_DIR"]) / f"adapter-{step}"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 16}))
    (folder / "adapter_model.safetensors").write_bytes(bytes(100))
"""


def test_adapters_are_deployed_together_with_their_base_model_a_gpu_and_a_secret(
    truss_train: Command, local: LocalPlatform, quick: Project, here: Path
) -> None:
    path = Path(quick("adapters"))
    (path.parent / "train.py").write_text(ADAPTERS)
    assert truss_train("push", path, "--tail").code == 0
    with Client(local.remote) as client:
        client.send(endpoints.upsert_secret(UpsertSecret(name="hf_access_token", value="hf_secret")))
        listed = client.send(endpoints.list_instances()).listed_instances
    gpus = sorted({each.gpu_type for each in listed if each.gpu_type})
    with on_a_terminal("deploy-checkpoints", "--job-id", "adapters", "--dry-run") as (process, screen):
        screen.until("Which checkpoints")
        screen.until("adapter-1")
        screen.type("a" + ENTER)  # all of them
        screen.until("Base model of the adapters")
        screen.type("org/base-model" + ENTER)
        screen.until("Name of the model")
        screen.until("base-model")
        screen.type(ENTER)
        screen.until("Which GPU")
        screen.until("CPU only")
        screen.type(DOWN * gpus.index("H100") + ENTER)
        screen.until("How many")
        screen.until("8")
        screen.type(DOWN + ENTER)
        screen.until("Secret with the HF_TOKEN")
        screen.until("hf_access_token")
        screen.type(DOWN + ENTER)
        screen.until("as model base-model on H100:2?")
        screen.type("y")
        screen.until("Nothing was deployed")
        assert process.wait(timeout=30) == 0
    [folder] = (here / "truss_configs").iterdir()
    assert folder.name.startswith("base-model_dry_run_")
    written = json.loads((folder / "config.yaml").read_text())
    assert {"adapter-1", "adapter-2"} <= set(re.findall(r"adapter-\d", json.dumps(written["training_checkpoints"])))
    assert written["resources"]["accelerator"] == "H100:2"
    assert "hf_access_token" in written["secrets"]
    assert "hf_secret" not in json.dumps(written)
