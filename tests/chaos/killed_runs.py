"""Runs that are killed at random points and meet random faults, taken up again until they end: what came of them.

Each run is `truss-train run` in a process that talks through a `FaultProxy` to a local platform with real jobs and
deployments. It is killed (SIGKILL) at a call, before that is carried out or right after, or around the keeping of its
record; then the same command is given again, with --resume. Some die while they create a job, and their create is
carried out late, after the next process has looked. All of it follows from a seed:

    python tests/chaos/killed_runs.py --runs 1000 --seed 1

prints a table, and for every run that went wrong the command that repeats it. Workers are forked from a warm process,
and time passes for them 20 times as fast, so that waits are short. The training does nothing but write checkpoints.
A run that is repeated meets the same faults at the same calls; how often it polls is not part of the seed.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Literal

from truss_train_core import Client, Retry
from truss_train_core.api import endpoints
from truss_train_core.api.models import JobStatus, TrainingJob
from truss_train_core.cli import failures, main, record_file
from truss_train_core.cli import run as run_command
from truss_train_core.remotes import Remote
from truss_train_core.runs import RunRecord
from truss_train_core.testing import FastClock, Fault, FaultProxy, LocalPlatform, seeded

TRAINING = Path(__file__).parents[1] / "cli" / "quick"
BEST, ANSWER = "checkpoint-3", '{"step": 3, "asked": "/predict"}'
SPEED = 20.0
RATE = 0.08
AT_ONCE = 8
MOST_KILLS = 3
MOST_PROCESSES = 12
PATIENCE = 300.0  # seconds that one process may take
CALLS = 70  # about as many as a run without faults makes
RECORDS = 10
LATE = 3.0  # seconds; the next process needs one or two to come to its own create

_FORKING = threading.Lock()  # one thread's start() reaps what another waits for, and then both ask for its exit code
_PRELOADED = [
    "__main__",
    "h11",
    "httpcore",
    "obstore.store",
    "truss_train_core.checkpoints",
    "truss_train_core.cli.logs",
    "truss_train_core.cli.main",
    "truss_train_core.cli.progress",
    "truss_train_core.cli.record_file",
    "truss_train_core.config_file",
    "truss_train_core.deployments",
    "truss_train_core.package",
    "truss_train_core.pushing",
    "truss_train_core.runs",
]


@dataclass(frozen=True)
class Death:
    """When a process is killed: at its call of this number, or that creates a job, or around a record that it keeps."""

    at: Literal["call", "create", "record"]
    number: int
    how: Literal["reset", "cut", "lost", "truncated", "delayed", "before", "after"]

    def strikes(self, number: int, method: str, path: str) -> bool:
        """Whether this call is the one."""
        if self.at == "create":
            return method == "POST" and path.endswith("/jobs")
        return self.at == "call" and number == self.number


@dataclass(frozen=True)
class Story:
    """A run that is to be. Everything follows from the seed and the run's number."""

    seed: int
    number: int

    @property
    def name(self) -> str:
        return f"chaos-{self.seed}-{self.number}"

    @property
    def fails_once(self) -> bool:
        return self._chance("fails").random() < 0.4

    @property
    def is_late(self) -> bool:
        """Whether a create is carried out late. The training then takes longer than that is looked for."""
        return self._chance("late").random() < 0.04

    @property
    def environment(self) -> dict[str, str]:
        failure = {"FAIL_ONCE_AT": "4"} if self.fails_once else {}
        return {"STEP_SECONDS": "1.5" if self.is_late else "0", **failure}

    @property
    def deaths(self) -> list[Death]:
        """Of its first processes; those that follow are not killed."""
        if self.is_late:
            return [Death("create", 1, "delayed")]
        chance = self._chance("deaths")
        return [self._death(chance) for _ in range(chance.randint(1, MOST_KILLS))]

    def faults_of(self, process: int) -> str:
        return f"{self.seed}/{self.number}/{process}"

    def _chance(self, what: str) -> random.Random:
        return random.Random(f"{self.seed}/{self.number}/{what}")

    def _death(self, chance: random.Random) -> Death:
        if chance.random() < 0.75:
            return Death("call", chance.randint(1, CALLS), chance.choice(("reset", "cut", "lost", "truncated")))
        return Death("record", chance.randint(1, RECORDS), chance.choice(("before", "after")))


@dataclass
class Outcome:
    """What came of a run, or of several."""

    runs: int = 1
    kills: int = 0
    taken_up: int = 0
    calls: int = 0
    faults: collections.Counter[str] = field(default_factory=collections.Counter)
    jobs: int = 0
    deployments: int = 0
    twins_stopped: int = 0
    duplicate_jobs: int = 0
    lost_jobs: int = 0
    duplicate_deployments: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not (self.duplicate_jobs or self.lost_jobs or self.duplicate_deployments or self.wrong)

    @classmethod
    def of_all(cls, outcomes: Iterable[Outcome]) -> Outcome:
        total = cls(runs=0)
        for outcome in outcomes:
            for name, value in vars(outcome).items():
                setattr(total, name, getattr(total, name) + value)
        return total


def live_through(platform: LocalPlatform, stories: Iterable[Story], folder: Path) -> Iterator[tuple[Story, Outcome]]:
    """Live through all of these, some at a time, and yield each as it ends."""
    workers = multiprocessing.get_context("forkserver")
    workers.set_forkserver_preload(_PRELOADED)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        lives = (_Life(platform, story, folder / story.name) for story in stories)
        yield from pool.map(lambda life: (life.story, life.to_its_end()), lives)


# ---------------------------------------------------------------- one run


class _Life:
    def __init__(self, platform: LocalPlatform, story: Story, folder: Path) -> None:
        self.story = story
        self._platform = platform
        self._folder = folder
        self._record = folder / "record.json"
        self._log = folder / "log.txt"
        self._outcome = Outcome()
        self._wrong: list[str] = []
        self._proxies = contextlib.ExitStack()  # what a process had sent may be carried out when it is dead

    def to_its_end(self) -> Outcome:
        with self._proxies:
            self._go_on_until_it_ends()
        if self._outcome.is_good:
            shutil.rmtree(self._folder)
        return self._outcome

    def _go_on_until_it_ends(self) -> None:
        self._prepare()
        deaths: list[Death | None] = [*self.story.deaths]
        deaths += [None] * (MOST_PROCESSES - len(deaths))
        for number, death in enumerate(deaths, start=1):
            code = self._process(number, death)
            if code == -signal.SIGKILL:
                self._outcome.kills += 1
            elif code == failures.TROUBLE:
                self._outcome.taken_up += 1
            else:
                break
        self._judge(code)

    def _prepare(self) -> None:
        shutil.copytree(TRAINING, self._folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
        config = self._folder / "source" / "config.py"
        text = config.read_text().replace('"quick"', repr(self.story.name))
        config.write_text(text.replace("Runtime(\n", f"Runtime(\nenvironment_variables={self.story.environment},\n", 1))

    def _process(self, number: int, death: Death | None) -> int | None:
        """Give the command once; its exit code."""
        usual = seeded(self.story.faults_of(number), rate=RATE)

        def decide(call: int, method: str, path: str) -> Fault | None:
            if not death or not death.strikes(call, method, path):
                return usual(call, method, path)
            if death.how == "delayed":
                process.kill()
            return Fault(death.how, seconds=LATE, then=process.kill)  # type: ignore[arg-type]

        proxy = self._proxies.enter_context(FaultProxy.started(self._platform.remote, decide))
        option = "--resume" if self._record.exists() else "--record"
        command = ["run", str(self._folder / "source" / "config.py"), option, str(self._record)]
        command += ["--metric", "eval_loss", "--mode", "min", "--ask", '{"x": 1}']
        process = multiprocessing.get_context("forkserver").Process(
            target=work, args=(proxy.remote, command, self._log, death)
        )
        with _FORKING:
            process.start()
        if not connection.wait([process.sentinel], PATIENCE):
            self._wrong.append(f"process {number} did not end")
            process.kill()
        self._outcome.calls += len(proxy.calls)
        self._outcome.faults.update(fault.kind for fault in proxy.struck)
        with _FORKING:
            return process.exitcode

    def _judge(self, code: int | None) -> None:
        """Compare what there is with what there should be, and clear it away."""
        outcome, name = self._outcome, self.story.name
        with Client(self._platform.remote) as client:
            jobs = [
                job for job in client.send(endpoints.search_jobs()).training_jobs if job.training_project.name == name
            ]
            models = [model for model in client.send(endpoints.list_models()).models if model.name == name]
            deployments = [
                deployment
                for model in models
                for deployment in client.send(endpoints.list_deployments(model.id)).deployments
            ]
            record = record_file.RecordFile(self._record).read()
            outcome.jobs, outcome.deployments = len(jobs), len(deployments)
            self._count(record, jobs)
            outcome.duplicate_deployments = max(0, len(deployments) - 1)
            self._wrong += self._wrongs(code, record, jobs)
            outcome.wrong = ["; ".join(self._wrong)] if self._wrong else []
            for model in models:
                client.send(endpoints.delete_model(model.id))
            for project_id in {job.training_project_id for job in jobs}:
                client.send(endpoints.delete_project(project_id))

    def _count(self, record: RunRecord, jobs: list[TrainingJob]) -> None:
        twins = self._stopped_twins(jobs)
        names = collections.Counter(job.name for job in jobs if job not in twins)
        expected = {f"{self.story.name}-{record.key}-{number}" for number in range(1, 2 + self.story.fails_once)}
        self._outcome.twins_stopped = len(twins)
        self._outcome.duplicate_jobs = sum(names.values()) - len(names)
        self._outcome.lost_jobs = len(expected - set(names))
        if unknown := set(names) - expected:
            self._wrong.append(f"jobs that no attempt is: {unknown}")

    def _stopped_twins(self, jobs: list[TrainingJob]) -> list[TrainingJob]:
        """Those that a late create made, and that were stopped; there are none in other stories."""
        return [job for job in jobs if self.story.is_late and job.current_status == JobStatus.STOPPED]

    def _wrongs(self, code: int | None, record: RunRecord, jobs: list[TrainingJob]) -> Iterator[str]:
        if code != 0:
            yield f"exit code {code}: {self._log.read_text()[-400:]}"
            return
        causes = ["failed", "completed"] if self.story.fails_once else ["completed"]
        if [attempt.cause for attempt in record.attempts] != causes:
            yield f"attempts ended {[attempt.cause for attempt in record.attempts]}"
        if not record.choice or record.choice.checkpoint.name != BEST:
            yield f"chose {record.choice}"
        if record.answer != ANSWER:
            yield f"answered {record.answer}"
        twins = self._stopped_twins(jobs)
        statuses = sorted(job.current_status for job in jobs if job not in twins)
        if statuses != [JobStatus.COMPLETED, JobStatus.FAILED][: len(causes)]:
            yield f"jobs are {statuses}"


# ---------------------------------------------------------------- in the worker


def work(remote: Remote, command: list[str], log: Path, death: Death | None) -> None:
    """Give a command in this process, with time that passes faster, and death around a record."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    run_command.connect = lambda _, *, deadline: Client(  # type: ignore[assignment, attr-defined, misc]
        remote, retry=Retry(deadline=deadline), clock=FastClock(SPEED)
    )
    if death and death.at == "record":
        _die_around_record(death)
    sys.exit(main.invoke(command))


def _die_around_record(death: Death) -> None:
    write, written = record_file.RecordFile.write, 0

    def write_and_die(file: record_file.RecordFile, record: RunRecord) -> None:
        nonlocal written
        written += 1
        if written == death.number and death.how == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        write(file, record)
        if written == death.number and death.how == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    record_file.RecordFile.write = write_and_die  # type: ignore[assignment, method-assign]


# ---------------------------------------------------------------- as a program


def _table(total: Outcome, seconds: float) -> str:
    rows = {
        "runs": f"{total.runs}, in {seconds / 60:.1f} minutes",
        "kills": total.kills,
        "errors, taken up again": total.taken_up,
        "calls": total.calls,
        "faults": f"{total.faults.total()}: {', '.join(f'{kind} {n}' for kind, n in total.faults.most_common())}",
        "jobs": total.jobs,
        "deployments": total.deployments,
        "late twins, stopped": total.twins_stopped,
        "duplicate jobs": total.duplicate_jobs,
        "lost jobs": total.lost_jobs,
        "duplicate deployments": total.duplicate_deployments,
        "runs that ended wrongly": len(total.wrong),
    }
    return "\n".join(f"{name:<26}{value}" for name, value in rows.items())


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _main() -> int:
    parser = argparse.ArgumentParser(description="Kill runs at random points, and count what goes wrong.")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="repeat the run of this number")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    numbers = range(1, options.runs + 1) if options.only is None else [options.only]
    folder, began, outcomes = Path(tempfile.mkdtemp(prefix="chaos-")), time.monotonic(), []
    with LocalPlatform.started(folder / "platform", capacity={"CPU": 64}, stop_grace=1.0) as platform:
        stories = (Story(options.seed, number) for number in numbers)
        with contextlib.suppress(KeyboardInterrupt):  # what has come so far is told all the same
            for story, outcome in live_through(platform, stories, folder):
                outcomes.append(outcome)
                if not outcome.is_good:
                    _say(f"{story.name}: {outcome}\n  {folder / story.name}")
                    _say(f"  repeat: python {sys.argv[0]} --seed {story.seed} --only {story.number}")
                if len(outcomes) % 50 == 0:
                    _say(f"{len(outcomes)} runs …")
    total = Outcome.of_all(outcomes)
    _say(_table(total, time.monotonic() - began))
    if total.is_good:
        shutil.rmtree(folder)
    return 0 if total.is_good else 1


if __name__ == "__main__":
    sys.exit(_main())
