"""`truss-train run` on a real local platform: the whole story, and a kill at every point of it."""

import json
import os
import re
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from command_line import Command, Project

from truss_train_core import Client
from truss_train_core.api import endpoints
from truss_train_core.cli.record_file import RecordFile, RecordNotKept
from truss_train_core.runs import Attempt, RunRecord
from truss_train_core.testing import LocalPlatform

BY_LOSS = ("--metric", "eval_loss", "--mode", "min")


def record_of(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def created(local: LocalPlatform, name: str) -> tuple[list[str], int]:
    """Names of the jobs of a project, and how many deployments its model has."""
    with Client(local.remote) as client:
        jobs = client.send(endpoints.search_jobs()).training_jobs
        models = [each for each in client.send(endpoints.list_models()).models if each.name == name]
        deployments = [
            each for model in models for each in client.send(endpoints.list_deployments(model.id)).deployments
        ]
    return sorted(job.name or "" for job in jobs if job.training_project.name == name), len(deployments)


def test_the_whole_story_resumes_chooses_deploys_and_asks(
    truss_train: Command, local: LocalPlatform, quick: Project
) -> None:
    config = quick("story", FAIL_ONCE_AT="4")
    ask = ("--ask", '{"x": 1}', "--ask-path", "sync/v1/x")
    printed = truss_train("run", config, *BY_LOSS, *ask)
    assert printed.code == 0, printed.err
    for line in ("attempt 1 failed", "attempt 2 goes on from checkpoint-3", "checkpoint-3 is chosen", "is active"):
        assert line in printed.err
    assert "checkpoint-3: eval_loss 0.5 is the smallest" in printed.out
    assert '{"step": 3, "asked": "/v1/x"}' in printed.out
    assert "\x1b" not in printed.out + printed.err

    [path] = (config.parent / ".truss-train" / "runs").iterdir()
    assert str(path) in printed.out
    record = record_of(path)
    assert record["phase"] == "done"
    assert [attempt["cause"] for attempt in record["attempts"]] == ["failed", "completed"]
    assert created(local, "story") == ([f"story-{record['key']}-1", f"story-{record['key']}-2"], 1)
    assert (config.parent / ".truss-train" / ".gitignore").read_text() == "*\n"

    report = [line.split() for line in printed.out.splitlines()[:4]]
    assert report[0] == ["ATTEMPT", "JOB", "CAPACITY", "ENDED", "FROM", "QUEUED", "RAN", "LOST"]
    assert [row[3:5] for row in report[1:3]] == [["failed", "the"], ["completed", "checkpoint-3"]]
    assert report[3][0] == "total"

    again = truss_train("run", config, *BY_LOSS, *ask, "--resume", path)
    assert again.code == 0
    assert again.out == printed.out
    assert created(local, "story")[1] == 1


def test_json_lines_end_with_the_record(
    truss_train: Command, local: LocalPlatform, quick: Project, tmp_path: Path
) -> None:
    record = tmp_path / "record.json"
    printed = truss_train("run", quick("lines"), *BY_LOSS, "--no-deploy", "--record", record, "-o", "json")
    *events, last = [json.loads(line) for line in printed.out.splitlines()]
    assert [event["event"] for event in events if event["event"] == "CheckpointChosen"] == ["CheckpointChosen"]
    assert last["result"] == record_of(record)
    assert last["result"]["choice"]["checkpoint"]["name"] == "checkpoint-3"


def test_a_run_that_fails_for_good_says_so_and_can_be_tried_again(
    truss_train: Command, local: LocalPlatform, quick: Project, tmp_path: Path
) -> None:
    record = tmp_path / "record.json"
    config = quick("hopeless", FAIL_AT="2")
    printed = truss_train("run", config, "--no-deploy", "--record", record)
    assert printed.code == 1
    assert printed.out == ""
    assert "failed at the same place" in printed.err
    assert "--resume" in printed.err

    config.write_text(config.read_text().replace("FAIL_AT", "FAIL_NO_MORE"))
    again = truss_train("run", config, "--no-deploy", "--resume", record)
    assert again.code == 0, again.err
    assert record_of(record)["attempts"][-1]["started_from"]["name"] == "checkpoint-1"


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (("--max-runtime", "2"), "s of running time are spent of 2 s"),
        (("--max-cost", "0.01", "--price", "20", "--spot-price", "20"), "of 0.01 that may be spent"),
        (("--max-runtime", "600", "--deadline", "NOW"), "has passed"),
    ],
)
def test_a_run_that_spends_more_than_it_may_is_stopped_and_told_what_it_took(
    truss_train: Command, local: LocalPlatform, quick: Project, tmp_path: Path, limit: tuple[str, ...], said: str
) -> None:
    soon = (datetime.now(timezone.utc) + timedelta(seconds=10)).isoformat()
    limits = [soon if each == "NOW" else each for each in limit]
    config = quick(f"dear{limit[0]}{len(limit)}", STEP_SECONDS="60")
    printed = truss_train("run", config, "--no-deploy", *limits, "--record", tmp_path / "record.json")
    assert printed.code == 1
    assert said in printed.err
    assert "was stopped" in printed.err
    assert re.search(r"^total +0:00:\d\d +0:00:\d\d", printed.err, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-cost", "5"), "--max-cost needs --price"),
        (("--spot-price", "5"), "--spot-price needs --price"),
        (("--deadline-margin", "60"), "--deadline-margin needs --deadline"),
        (("--deadline", "tomorrow"), "--deadline is no time: 'tomorrow'"),
        (("--max-runtime", "0"), "greater than 0"),
        (("--max-gpu-hours", "1"), "the job has no GPU"),
        (("--ask-path", "sync/v1/x"), "--ask-path needs --ask"),
        (("--ask", "{}"), "there is a question, but no deployment to ask it"),
    ],
)
def test_options_that_cannot_be_meant_so_are_refused(
    truss_train: Command, local: LocalPlatform, quick: Project, options: tuple[str, ...], said: str
) -> None:
    truss_train("run", quick("refused"), "--no-deploy", *options).is_refusal(said)
    assert created(local, "refused") == ([], 0)


def test_a_record_of_another_project_is_refused(
    truss_train: Command, local: LocalPlatform, quick: Project, tmp_path: Path
) -> None:
    record = tmp_path / "record.json"
    RecordFile(record).write(
        RunRecord(key="k", project_name="other", attempts=(Attempt(number=1, job_name="other-k-1"),))
    )
    truss_train("run", quick("mine"), "--no-deploy", "--resume", record).is_refusal("other", "mine")
    truss_train("run", quick("again"), "--no-deploy", "--record", record).is_refusal("another run")
    assert created(local, "mine") == ([], 0)


class TestRecordFile:
    RECORD = RunRecord(key="k", project_name="p", attempts=(Attempt(number=1, job_name="p-k-1"),))

    def test_is_read_as_it_was_written_and_private(self, tmp_path: Path) -> None:
        file = RecordFile(tmp_path / "deep" / "record.json")
        file.write(self.RECORD)
        assert file.read() == self.RECORD
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
        assert list(file.path.parent.iterdir()) == [file.path]

    def test_keeps_the_former_record_where_it_cannot_be_replaced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = RecordFile(tmp_path / "record.json")
        file.write(self.RECORD)

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RecordNotKept, match="No space left"):
            file.write(self.RECORD.changed(phase="done"))
        assert file.read() == self.RECORD
        assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*"))


KILLED_RUN = """
import os, signal, sys
from truss_train_core.cli import main, record_file

when, number = sys.argv[1], int(sys.argv[2])
write, written = record_file.RecordFile.write, 0

def write_and_die(self, record):
    global written
    written += 1
    if written == number and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, record)
    if written == number and when == "after":
        os.kill(os.getpid(), signal.SIGKILL)

record_file.RecordFile.write = write_and_die
sys.exit(main.invoke(sys.argv[3:]))
"""


@pytest.mark.slow
def test_killed_before_and_after_each_record_it_ends_with_one_job_an_attempt_and_one_deployment(
    local: LocalPlatform, quick: Project, tmp_path: Path
) -> None:
    """Each process gets one step further: it takes up the record, does the step, and dies around keeping the next."""
    config, record = quick("killed", FAIL_ONCE_AT="4"), tmp_path / "record.json"
    command = ["run", str(config), *BY_LOSS, "--ask", '{"x": 1}']

    def killed(when: str, number: int) -> int:
        resume = ["--resume" if record.exists() else "--record", str(record)]
        script = [sys.executable, "-c", KILLED_RUN, when, str(number), *command, *resume]
        done = subprocess.run(script, check=False, capture_output=True, text=True, timeout=120)
        assert done.returncode in (0, -9), done.stderr
        return done.returncode

    assert killed("before", 1) == -9
    assert not record.exists()
    assert killed("after", 1) == -9
    phases = [record_of(record)["phase"]]
    for _ in range(30):
        killed("before", 2)  # the step was done, and its record not kept
        assert record_of(record)["phase"] == phases[-1]
        if killed("after", 2) == 0:
            break
        phases.append(record_of(record)["phase"])

    training = ["submitting", "training", "resuming", "submitting", "training"]
    assert phases == ["starting", *training, "choosing", "deploying", "serving", "asking", "done"]
    final = record_of(record)
    assert [attempt["cause"] for attempt in final["attempts"]] == ["failed", "completed"]
    assert final["answer"] == '{"step": 3, "asked": "/predict"}'
    assert created(local, "killed") == ([f"killed-{final['key']}-1", f"killed-{final['key']}-2"], 1)
