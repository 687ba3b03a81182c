"""The process that owns one job: it prepares, starts, watches and ends the job, and writes down how it fares.

    python -m truss_train_core.local.processes.supervisor DIRECTORY INTERVALS

Started by `processes.ProcessRunner`, it reads spec.json, obeys stop.json, and writes state.json, the logs, the metrics
and the copies of the checkpoints. It needs nobody: the server may die and come back meanwhile.

    deploying   archives unpacked, virtual environments made, checkpoints loaded: per rank, into directories of its own
    running     each rank runs the start commands, one after the other, each in a shell (bash, or sh where there is
                none) and in a session of its own; the first that fails ends the job, on all ranks
    ended       what still runs is killed, the log is complete, the state is final; the last checkpoints are copied,
                and `syncing` turns false
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.joblogs import LogWriter
from truss_train_core.local.processes import detached, endings, loaded_checkpoints, rank_environment, venvs
from truss_train_core.local.processes.checkpoint_sync import CheckpointSync
from truss_train_core.local.processes.detached import Intervals
from truss_train_core.local.processes.log_capture import LogPump
from truss_train_core.local.processes.process_family import Process, ProcessFamily
from truss_train_core.local.processes.rank_environment import RankPlaces
from truss_train_core.local.processes.sandbox import Sandbox
from truss_train_core.local.processes.unpack import unpack
from truss_train_core.local.runner import JobPhase, JobSpec, JobState, StopRequest
from truss_train_core.local.samples import Sampler
from truss_train_core.local.statefiles import STOP_FILE, read_json

_LONGEST_COMMAND = 200


@dataclass(frozen=True)
class _Ending:
    """How the job ended. `cut_off_at` is when processes were killed in the middle of what they did, if they were."""

    phase: JobPhase
    exit_code: int | None = None
    message: str | None = None
    quoted_rank: int | None = None
    cut_off_at: float | None = None


class _CommandFailed(Exception):
    def __init__(self, rank: int, returncode: int, message: str) -> None:
        super().__init__(message)
        self.rank = rank
        self.returncode = returncode


class _Stopped(Exception):
    def __init__(self, request: StopRequest) -> None:
        super().__init__(request.reason)
        self.request = request


class _Rank:
    """One node of the job: its start commands, one after the other, in its places and with its variables."""

    def __init__(
        self,
        rank: int,
        commands: tuple[str, ...],
        places: RankPlaces,
        environment: dict[str, str],
        log: LogWriter,
        sandbox: Sandbox | None,
    ) -> None:
        self.places = places
        self.sandbox = sandbox
        self.sessions: frozenset[int] = frozenset()
        self.is_done = False
        self._rank = rank
        self._commands = commands
        self._started = 0
        self._environment = environment
        self._log = log
        self._process: Process | None = None

    @property
    def exit_code(self) -> int | None:
        """Exit code of the last command, or None where it has not ended."""
        code = None if self._process is None else self._process.poll()
        return None if code is None else endings.shell_code(code)

    def advance(self, family: ProcessFamily, output: int) -> None:
        """Start the next command if the last one has ended well.

        Raises:
            _CommandFailed: it has ended otherwise.
        """
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            if code != 0:
                raise _CommandFailed(self._rank, code, self._describe_failure(code))
        if self._started == len(self._commands):
            self.is_done = True
            return
        command = self._commands[self._started]
        self._log.notice(f"$ {command}")
        self._process = family.start(
            command, cwd=self.places.work, environment=self._environment, output=output, within=self.sandbox
        )
        self._started += 1
        self.sessions |= {self._process.pid}

    def _describe_failure(self, code: int) -> str:
        command = self._commands[self._started - 1]
        if len(command) > _LONGEST_COMMAND:
            command = command[:_LONGEST_COMMAND] + "…"
        return (
            f"Command {self._started} of {len(self._commands)} on node {self._rank} failed with "
            f"{endings.describe(code)}: {command}"
        )


class JobSupervisor:
    """Leads one job from its start to its end."""

    def __init__(self, spec: JobSpec, intervals: Intervals) -> None:
        self._spec = spec
        self._intervals = intervals
        self._logs = tuple(LogWriter(spec.directory, rank) for rank in range(spec.node_count))
        self._pump = LogPump(self._logs, flush_after=intervals.flush, secrets=spec.secrets)
        self._family = ProcessFamily(spec.directory)
        self._sync: CheckpointSync | None = None
        self._sampler: Sampler | None = None
        self._state = detached.new_state(spec.directory, JobState, "deploying")

    def run(self) -> None:
        """Run the job; returns when it has ended and its checkpoints are copied."""
        self._state.update()
        self._pump.start()
        self._finish(self._lead())

    def abandon(self, error: BaseException) -> None:
        """End everything after an error of the supervisor's own."""
        self._family.kill()
        self._state.update(phase="failed", error_message=f"The job's supervisor failed: {error!r}", syncing=False)
        self._state.conclude()

    def _lead(self) -> _Ending:
        try:
            ranks = self._deploy()
        except _Stopped as stopped:
            return _Ending(stopped.request.reason)
        except (LocalPlatformError, OSError, ValueError) as error:
            return _Ending("deploy_failed", message=f"The job could not be prepared: {error}")
        self._state.update(phase="running")
        try:
            self._watch(ranks)
        except _Stopped as stopped:
            cut_off_at = self._family.end(self._spec.stop_grace)
            return _Ending(stopped.request.reason, ranks[0].exit_code, cut_off_at=cut_off_at)
        except _CommandFailed as failure:
            failed_at, by_signal = time.time(), endings.is_of_signal(failure.returncode)
            cut_off_at = self._family.end(self._spec.stop_grace)
            return _Ending(
                "failed",
                endings.shell_code(failure.returncode),
                str(failure),
                quoted_rank=failure.rank,
                cut_off_at=failed_at if by_signal else cut_off_at,
            )
        except (OSError, ValueError) as error:
            return _Ending("failed", message=f"A command could not be started: {error}")
        return _Ending("completed", 0)

    def _deploy(self) -> list[_Rank]:
        """Everything that must be in place before the first command.

        Raises:
            _Stopped: the job is not wanted any more.
            LocalPlatformError, OSError, ValueError: it cannot be prepared, and why.
        """
        for notice in self._spec.notices:
            self._logs[0].notice(notice)
        ranks = [self._deploy_rank(rank) for rank in range(self._spec.node_count)]
        roots = [rank.places.root for rank in ranks]
        checkpoint_roots = [rank.places.checkpoints for rank in ranks if rank.places.checkpoints is not None]
        if checkpoint_roots:
            self._sync = CheckpointSync(
                checkpoint_roots,
                self._spec.checkpoint_store,
                interval=self._intervals.sync,
                settle=self._intervals.settle,
                behind=partial(_behind, ranks),
            )
            self._sync.start()
        self._sampler = Sampler(
            self._spec.directory,
            lambda rank: ranks[rank].sessions,
            roots,
            [cache for cache in (self._spec.project_cache, self._spec.team_cache) if cache is not None],
            interval=self._intervals.sample,
        )
        self._sampler.start()
        return ranks

    def _deploy_rank(self, rank: int) -> _Rank:
        spec, log = self._spec, self._logs[rank]
        places = rank_environment.places_of(spec, rank)
        seen = rank_environment.as_sandboxed(places) if spec.sandboxed else places
        rank_environment.create(places, spec)
        count = unpack(spec.archives, places.work, between_files=self._obey)
        log.notice(f"{count} files are unpacked in {seen.work}.")
        needed = venvs.create(places.venv, spec.python)
        if places.loaded is not None and seen.loaded is not None:
            for folder in loaded_checkpoints.load(spec.loaded, places.loaded, between_files=self._obey):
                log.notice(f"A checkpoint is loaded in {seen.loaded / folder.relative_to(places.loaded)}.")
        bt_variables = rank_environment.variables(spec, rank, seen)
        for name in sorted(bt_variables.keys() & spec.environment.keys()):
            log.notice(f"The job's own {name} is not used: the platform sets it.", level="WARNING")
        environment = rank_environment.process_environment(
            rank_environment.with_own_caches(os.environ, seen.home) if spec.sandboxed else os.environ,
            venv=seen.venv, home=seen.home, temporary=seen.temporary, user=spec.environment,
        )  # fmt: skip
        sandbox = rank_environment.sandbox_of(spec, places, needed) if spec.sandboxed else None
        self._obey()
        return _Rank(rank, spec.start_commands, places, {**environment, **bt_variables}, log, sandbox)

    def _watch(self, ranks: list[_Rank]) -> None:
        """Return when all commands of all ranks have ended well.

        Raises:
            _CommandFailed: one has not.
            _Stopped: the job shall end.
        """
        while True:
            for rank, output in zip(ranks, self._pump.outputs, strict=True):
                rank.advance(self._family, output)
            if all(rank.is_done for rank in ranks):
                return
            self._obey()
            self._family.bury()
            if self._sync is not None:
                self._state.update(syncing=self._sync.is_pending, sync_error=self._sync.error)
            time.sleep(self._intervals.poll)

    def _finish(self, ending: _Ending) -> None:
        """Leave nothing running, complete the log, say how it ended, and copy the last checkpoints."""
        self._family.kill()
        self._pump.finish()
        shutil.rmtree(rank_environment.temporary_directory(self._spec.directory), ignore_errors=True)
        if self._sampler is not None:
            self._sampler.finish()
        message = ending.message
        if message is not None and ending.quoted_rank is not None:
            message += endings.quote(self._logs[ending.quoted_rank].tail())
        self._logs[0].notice(_last_words(ending), level="ERROR" if ending.message else "INFO")
        self._state.update(
            phase=ending.phase, exit_code=ending.exit_code, error_message=message, syncing=self._sync is not None
        )
        if self._sync is not None:
            self._sync.finish(ending.cut_off_at)
            self._state.update(syncing=False, sync_error=self._sync.error)
        self._state.conclude()

    def _obey(self) -> None:
        request = read_json(self._spec.directory / STOP_FILE, StopRequest)
        if request is not None:
            raise _Stopped(request)


def _behind(ranks: Sequence[_Rank], link: Path) -> Path | None:
    """The file that a link leads to, as the commands of its rank see it."""
    for rank in ranks:
        if rank.sandbox is not None and link.is_relative_to(rank.places.root):
            return rank.sandbox.outside(Path("/") / link.relative_to(rank.places.root))
    return link


def _last_words(ending: _Ending) -> str:
    if ending.message is not None:
        return ending.message
    return {"completed": "The job has completed.", "stopped": "The job was stopped."}.get(
        ending.phase, "The job was preempted: its node was taken away."
    )


if __name__ == "__main__":
    detached.lead(JobSpec, JobSupervisor)
