"""The commands against a real local platform that really runs the jobs."""

import gc
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import Command, Project

from truss_train_core.cli import connection
from truss_train_core.cli.local import serve
from truss_train_core.local.serve import ServeOptions
from truss_train_core.testing import LocalPlatform

TRUSS_TRAIN = Path(sys.executable).with_name("truss-train")


def documents(text: str) -> list[dict[str, Any]]:
    """JSON, a document a line."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def trained() -> dict[str, str]:
    """Ids of jobs that tests of this file share, by the name of their project."""
    return {}


@pytest.fixture
def job_id(trained: dict[str, str], local: LocalPlatform, quick: Project, truss_train: Command) -> str:
    """A job that has completed, with five checkpoints of which the third is the best."""
    if "trained" not in trained:
        printed = truss_train("push", quick("trained"), "--tail", "-o", "json")
        assert printed.code == 0, printed.err
        trained["trained"] = documents(printed.out)[-1]["result"]["id"]
    return trained["trained"]


# ---------------------------------------------------------------- push


def test_a_dry_run_prints_what_would_be_sent_and_needs_no_remote(truss_train: Command, quick: Project) -> None:
    config = quick("dry")
    config.write_text(config.read_text() + "print('hello from the file')\n")
    printed = truss_train("push", config, "--dry-run", "-o", "json", "--accelerator", "H100:2", "--priority", "-1")
    assert printed.code == 0
    sent = json.loads(printed.out)
    assert sorted(sent) == ["files", "training_job", "training_project"]
    assert sent["training_project"] == {"name": "dry"}
    assert sent["training_job"]["compute"]["accelerator"] == {"accelerator": "H100", "count": 2}
    assert sent["training_job"]["priority"] == -1
    assert [file["path"] for file in sent["files"]] == ["config.py", "serve.py", "train.py"]
    assert "hello from the file" in printed.err


def test_a_dry_run_in_text_lists_the_files(truss_train: Command, quick: Project) -> None:
    printed = truss_train("push", quick("dry"), "--dry-run")
    assert "train.py" in printed.out
    assert "Nothing was sent" in printed.err


def test_what_stays_behind_is_said(truss_train: Command, quick: Project) -> None:
    config = quick("dry")
    (config.parent / "lib").mkdir()
    (config.parent / "lib" / "mine.py").write_text("a = 1\n")
    assert "lib/" in truss_train("push", config, "--dry-run").err


def test_an_override_of_what_the_file_says_is_said(truss_train: Command, quick: Project) -> None:
    printed = truss_train("push", quick("dry"), "--dry-run", "-o", "json", "--job-name", "other", "--node-count", "2")
    assert json.loads(printed.out)["training_job"]["name"] == "other"
    assert printed.err == "Warning: job.name is other instead of dry, which the file says.\n"


def test_a_push_returns_at_once_and_prints_the_documented_result(
    truss_train: Command, local: LocalPlatform, quick: Project
) -> None:
    printed = truss_train("push", quick("pushed"), "-o", "json")
    assert printed.code == 0
    result = json.loads(printed.out)
    assert result["training_project"]["name"] == "pushed"
    assert result["training_job"]["current_status"] in ("TRAINING_JOB_PENDING", "TRAINING_JOB_CREATED")
    assert truss_train("stop", "--job-id", result["training_job"]["id"]).code == 0


def test_a_failed_job_makes_tail_fail_with_its_last_words(
    truss_train: Command, local: LocalPlatform, quick: Project
) -> None:
    printed = truss_train("push", quick("failing", FAIL_AT="1"), "--tail")
    assert printed.code == 1
    assert "failing at step 1, as asked" in printed.out
    error = printed.err[printed.err.index("Error: ") :]
    assert "failing" in error
    assert "TRAINING_JOB_FAILED" in error
    assert "truss-train logs" in error


# ---------------------------------------------------------------- looking at jobs


def test_tail_in_json_is_a_line_an_event_and_the_job_at_the_end(
    truss_train: Command, local: LocalPlatform, job_id: str
) -> None:
    printed = truss_train("logs", "--job-id", job_id, "--tail", "-o", "json")
    *events, last = documents(printed.out)
    lines = [line["message"] for event in events if event["event"] == "LogLines" for line in event["lines"]]
    assert "step 5/5  eval_loss 2.5\n" in lines
    assert len(set(lines)) == len(lines)
    assert last["result"]["current_status"] == "TRAINING_JOB_COMPLETED"


def test_logs_in_text_and_as_one_document(truss_train: Command, local: LocalPlatform, job_id: str) -> None:
    text = truss_train("logs", "--job-id", job_id)
    assert "  step 3/5  eval_loss 0.5\n" in text.out
    assert text.err == ""
    document = json.loads(truss_train("logs", "--job-id", job_id, "-o", "json").out)
    assert "step 3/5  eval_loss 0.5\n" in [line["message"] for line in document]


def test_jobs_lists_those_that_run_and_all_when_asked(truss_train: Command, local: LocalPlatform, job_id: str) -> None:
    assert job_id not in truss_train("jobs", "--project", "trained").out
    listed = truss_train("jobs", "--project", "trained", "--all")
    assert job_id in listed.out
    assert "completed" in listed.out
    document = json.loads(truss_train("jobs", "--project", "trained", "--all", "-o", "json").out)
    assert [job["id"] for job in document] == [job_id]


def test_the_best_checkpoint_is_marked(truss_train: Command, local: LocalPlatform, job_id: str) -> None:
    listed = truss_train("checkpoints", "--job-id", job_id, "--metric", "eval_loss", "--mode", "min")
    marked = [line for line in listed.out.splitlines() if line.startswith("★")]
    assert len(marked) == 1
    assert "checkpoint-3" in marked[0]
    assert "0.5000" in marked[0]
    document = json.loads(truss_train("checkpoints", "--job-id", job_id, "-o", "json").out)
    assert [each["metrics"]["eval_loss"] for each in document["checkpoints"]] == [2.5, 1.5, 0.5, 1.5, 2.5]
    assert document["best"] is None


def test_a_metric_that_nothing_has_is_an_error_that_names_what_there_is(
    truss_train: Command, local: LocalPlatform, job_id: str
) -> None:
    printed = truss_train("checkpoints", "--job-id", job_id, "--metric", "bleu", "--mode", "max")
    assert printed.code == 1
    assert "eval_loss" in printed.err


def test_metrics_say_what_a_job_used(truss_train: Command, local: LocalPlatform, job_id: str) -> None:
    document = json.loads(truss_train("metrics", "--job-id", job_id, "-o", "json").out)
    assert document["training_job"]["id"] == job_id
    assert truss_train("metrics", "--job-id", job_id).code == 0


# ---------------------------------------------------------------- stop, preempt


@pytest.fixture
def running(truss_train: Command, local: LocalPlatform, quick: Project, request: pytest.FixtureRequest) -> str:
    """A job that runs for a minute."""
    pushed = json.loads(truss_train("push", quick(request.node.name[:20], STEP_SECONDS="60"), "-o", "json").out)
    job_id = str(pushed["training_job"]["id"])
    wait_for(truss_train, job_id, "TRAINING_JOB_RUNNING")
    return job_id


def wait_for(truss_train: Command, job_id: str, status: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        jobs = json.loads(truss_train("jobs", "--all", "-o", "json").out)
        if status in [job["current_status"] for job in jobs if job["id"] == job_id]:
            return
        time.sleep(0.1)
    raise AssertionError(f"job {job_id} did not become {status}")


def test_the_only_job_that_runs_is_stopped_without_naming_it(truss_train: Command, running: str) -> None:
    stopped = truss_train("stop", "-o", "json")
    assert [job["id"] for job in json.loads(stopped.out)] == [running]
    wait_for(truss_train, running, "TRAINING_JOB_STOPPED")
    again = truss_train("stop", "--job-id", running)
    assert again.code == 0
    assert "has ended already" in again.err


def test_a_spot_job_is_taken_away(truss_train: Command, running: str) -> None:
    assert "Took job" in truss_train("local", "preempt", running).err
    wait_for(truss_train, running, "TRAINING_JOB_PREEMPTED")


def test_a_link_signs_a_browser_in(truss_train: Command, local: LocalPlatform) -> None:
    link = truss_train("local", "sign-in").out.strip()
    assert httpx.get(link, trust_env=False).status_code == 303
    assert httpx.get(link, trust_env=False).status_code == 401  # it works once


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(truss_train: Command, running: str) -> None:
    tail = subprocess.Popen(
        [TRUSS_TRAIN, "logs", "--tail", "--job-id", running], stderr=subprocess.PIPE, stdout=-1, text=True
    )
    assert tail.stdout is not None
    assert tail.stdout.readline()
    tail.send_signal(signal.SIGINT)
    _, said = tail.communicate(timeout=30)
    assert tail.returncode == 130
    assert "goes on" in said
    assert f"truss-train logs --tail --job-id {running}" in said
    assert f"truss-train stop --job-id {running}" in said
    assert "Traceback" not in said
    assert running in truss_train("jobs").out
    assert truss_train("stop", "--job-id", running).code == 0


# ---------------------------------------------------------------- deploy


def test_a_checkpoint_is_deployed_by_metric_and_waited_for(
    truss_train: Command, local: LocalPlatform, quick: Project, job_id: str
) -> None:
    config = quick("deployed")
    chosen = ["--job-id", job_id, "--metric", "eval_loss", "--mode", "min"]
    preview = truss_train("deploy-checkpoints", "--config", config, *chosen, "--dry-run")
    assert preview.code == 0
    assert "checkpoint-3" in json.dumps(json.loads(preview.out)["training_checkpoints"])

    printed = truss_train("deploy-checkpoints", "--config", config, *chosen, "-o", "json")
    assert printed.code == 0
    result = json.loads(printed.out)
    assert result["deployment"]["status"] == "ACTIVE"
    assert result["predict_url"].endswith(f"/deployment/{result['deployment']['id']}/predict")


def test_which_checkpoint_is_not_guessed(
    truss_train: Command, local: LocalPlatform, quick: Project, job_id: str
) -> None:
    printed = truss_train("deploy-checkpoints", "--config", quick("deployed"), "--job-id", job_id)
    printed.is_refusal("checkpoint-1, checkpoint-2")
    printed = truss_train("deploy-checkpoints", "--config", quick("x"), "--job-id", job_id, "--checkpoint", "nosuch")
    printed.is_refusal("nosuch", "checkpoint-1")


# ---------------------------------------------------------------- serve, help


def test_the_defaults_of_serve_are_those_of_the_platform() -> None:
    given = dict(zip(serve.__code__.co_varnames, serve.__defaults__ or (), strict=False))
    for name in ("port", "host", "data_dir", "stop_grace", "python", "remote", "stop_all_on_exit"):
        assert given[name] == getattr(ServeOptions(), name)


def test_serve_says_where_it_is_and_ends_well_on_ctrl_c(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    command = [TRUSS_TRAIN, "serve", "--port", "0", "--data-dir", tmp_path / "data"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert server.stdout is not None
    ready = server.stdout.readline()
    assert "http://localhost:" in ready
    assert "--remote local" in ready
    assert server.stdout.readline().startswith("Jobs run ")
    (link,) = re.findall(r"http://localhost:\d+/sign-in\?token=\S+", server.stdout.readline())
    assert httpx.get(link, trust_env=False).status_code == 303
    assert "[local]" in (tmp_path / ".trussrc").read_text()
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=30)
    assert (server.returncode, out) == (0, "")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("width", ["60", "120"])
def test_tables_fit_the_columns_that_there_are(
    truss_train: Command, local: LocalPlatform, job_id: str, monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    listed = truss_train("jobs", "--all")
    assert all(len(line) <= int(width) for line in listed.out.splitlines())
    assert re.search(rf"^{job_id} .* completed ", listed.out, re.MULTILINE)


def test_a_terminal_gets_colours_unless_it_wants_none(local: LocalPlatform, job_id: str) -> None:
    def on_a_terminal(**environment: str) -> str:
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", **environment}
        subprocess.run([TRUSS_TRAIN, "jobs", "--all"], stdout=theirs, env=environment, check=True)
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            return terminal.read(65536).decode()

    assert "\x1b[32mcompleted" in on_a_terminal()
    assert "\x1b[32m" not in on_a_terminal(NO_COLOR="1")


def test_help_comes_at_once() -> None:
    """Measured as the modules that it imports, which a busy machine does not change."""
    code = "import sys; from truss_train_core.cli.main import invoke; invoke(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.splitlines()[-1].split())
    assert "typer" in modules
    assert not modules & {"httpx", "pydantic", "sqlalchemy", "uvicorn", "obstore", "tenacity"}


def test_what_is_piped_and_blocks_needs_neither_rich_nor_an_event_loop(local: LocalPlatform, quick: Project) -> None:
    script = (
        "import sys\nfrom truss_train_core.cli import main\ntry: main.main()\n"
        "finally: print(*(name for name in ('rich', 'asyncio', 'httpx._main') if sys.modules.get(name)))"
    )
    command = [sys.executable, "-c", script, "push", str(quick("light"))]
    pushed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "was submitted" in pushed.stderr
    assert pushed.stdout == "\n"


@pytest.mark.parametrize("connect", [connection.connect, connection.connect_async])
def test_garbage_is_collected_again_once_a_command_has_loaded_what_it_needs(
    local: LocalPlatform, connect: Callable[[str], object]
) -> None:
    gc.disable()
    try:
        connect("local")
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.enable()
