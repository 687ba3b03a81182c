from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from running_jobs import INTERVALS, Jobs, is_running, wait_for

from truss_train_core.local import joblogs
from truss_train_core.local.processes import sandbox
from truss_train_core.local.processes.rank_environment import places_of, temporary_directory
from truss_train_core.local.runner import JobSpec, LoadedCheckpoint

SAVES_ON_SIGTERM = """
    import os, pathlib, signal, sys, time

    def save(*_):
        checkpoint = pathlib.Path(os.environ["BT_CHECKPOINT_DIR"], "checkpoint-7")
        checkpoint.mkdir()
        (checkpoint / "model.bin").write_bytes(b"x" * 100_000)
        (checkpoint / "trainer_state.json").write_text('{"global_step": 7}')
        print("saved")
        sys.exit(143)

    signal.signal(signal.SIGTERM, save)
    print("training")
    time.sleep(60)
"""


WHY_NOT = sandbox.why_not()
SANDBOXED = pytest.param(
    True,
    id="sandboxed",
    marks=[pytest.mark.slow, pytest.mark.skipif(WHY_NOT is not None, reason=f"no sandbox here: {WHY_NOT}")],
)


@pytest.fixture(params=[pytest.param(False, id="plain"), SANDBOXED])
def jobs(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Jobs]:
    jobs = Jobs(tmp_path, sandboxed=request.param)
    yield jobs
    jobs.clean_up()


def home(spec: JobSpec) -> Path:
    """What the first rank calls ~."""
    return places_of(spec, 0).home


def numbers(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()] if path.exists() else []


# ---------------------------------------------------------------- commands and how they end


def test_commands_run_in_order_in_the_unpacked_working_directory(jobs: Jobs) -> None:
    spec = jobs.submit("echo one > out", "cat train.py out", files={"train.py": "print('hello')\n"})

    state = jobs.ended(spec)

    assert (state.phase, state.exit_code, state.error_message) == ("completed", 0, None)
    log = jobs.log(spec)
    assert log.index("$ echo one") < log.index("$ cat train.py") < log.index("print('hello')\none\n")
    assert log.endswith("The job has completed.\n")


def test_the_first_failing_command_ends_the_job_with_its_code_and_last_lines(jobs: Jobs) -> None:
    spec = jobs.submit("true", "echo the reason >&2; exit 3", "touch never")

    state = jobs.ended(spec)

    assert (state.phase, state.exit_code) == ("failed", 3)
    assert state.error_message is not None
    assert "Command 2 of 3 on node 0 failed with exit code 3: echo the reason" in state.error_message
    assert state.error_message.endswith("the reason")
    assert not list(spec.directory.rglob("never"))


@pytest.mark.parametrize("command", ["kill -KILL $$", "true && python -c 'import os; os.kill(os.getpid(), 9)'"])
def test_a_killed_command_is_reported_with_the_signal(jobs: Jobs, command: str) -> None:
    state = jobs.ended(jobs.submit(command))

    assert (state.phase, state.exit_code) == ("failed", 137)
    assert "exit code 137 (ended by SIGKILL, often for want of memory)" in (state.error_message or "")


def test_a_job_without_commands_completes(jobs: Jobs) -> None:
    assert jobs.ended(jobs.submit()).phase == "completed"


def test_a_variable_that_no_process_can_have_fails_the_job(jobs: Jobs) -> None:
    state = jobs.ended(jobs.submit("true", environment={"A": "nul\0"}))

    assert (state.phase, state.error_message) == ("failed", "A command could not be started: embedded null byte")


def test_a_damaged_archive_fails_the_deployment_and_runs_nothing(jobs: Jobs) -> None:
    spec = jobs.spec("touch never")
    spec.archives[0].write_bytes(b"no tar")
    jobs.runner.submit(spec)

    state = jobs.ended(spec)

    assert state.phase == "deploy_failed"
    assert "archive-1.tgz is damaged or not a tar file" in (state.error_message or "")
    assert state.error_message is not None
    assert state.error_message in jobs.log(spec)


def test_an_interpreter_that_does_not_run_fails_the_deployment(jobs: Jobs) -> None:
    state = jobs.ended(jobs.submit("true", python=Path("/no/such/python")))

    assert state.phase == "deploy_failed"
    assert "/no/such/python does not work" in (state.error_message or "")


def test_submitting_twice_starts_once(jobs: Jobs) -> None:
    spec = jobs.spec("echo begun; sleep 0.3")
    threads = [threading.Thread(target=jobs.runner.submit, args=[spec]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs.ended(spec)
    jobs.runner.submit(spec)

    wait_for(lambda: not supervisors_of(spec.directory), "the other supervisors have left")
    assert jobs.log(spec).count("$ echo begun") == 1


def supervisors_of(directory: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if "truss_train_core.local.processes.supervisor" in command and str(directory) in command:
            found.append(process.pid)
    return found


def test_background_processes_live_until_the_last_command_has_ended(jobs: Jobs) -> None:
    spec = jobs.submit(
        "sleep 60 & echo $! >> ~/pids; (setsid sleep 61 & echo $! >> ~/pids)",
        "for pid in $(cat ~/pids); do kill -0 $pid && echo lives; done",
    )

    assert jobs.ended(spec).phase == "completed"

    pids = numbers(home(spec) / "pids")
    assert jobs.log(spec).count("lives\n") == 2
    assert len(pids) == 2
    assert not any(is_running(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere init adopts and buries orphans")
def test_orphans_that_end_leave_no_zombies(jobs: Jobs) -> None:
    spec = jobs.submit("for i in 1 2 3 4 5; do (setsid true &); (true &); done; echo ready; sleep 60")
    jobs.printed(spec, "ready\n")
    supervisor = psutil.Process(jobs.state(spec).supervisor_pid)

    def only_the_command_is_left() -> bool:
        try:
            return [child.name() for child in supervisor.children()] == ["sleep"]
        except psutil.NoSuchProcess:  # one was buried while its name was asked for
            return False

    wait_for(only_the_command_is_left, "only the command is left")


# ---------------------------------------------------------------- stopping


def test_stop_ends_the_whole_group_and_daemons(jobs: Jobs) -> None:
    daemon = "import os, sys, time; os.setsid() if os.fork() == 0 else sys.exit(); "
    spec = jobs.submit(
        f"""cd; sleep 60 & echo $! >> pids
        python -c '{daemon} open("pids", "a").write(f"{{os.getpid()}}\\n"); time.sleep(60)'
        echo ready; sleep 62; true"""
    )
    jobs.printed(spec, "ready\n")
    pids = home(spec) / "pids"
    wait_for(lambda: len(numbers(pids)) == 2, "both pids")

    jobs.runner.stop(spec.directory, "stopped")

    assert jobs.ended(spec).phase == "stopped"
    assert not any(is_running(pid) for pid in numbers(pids))


def test_what_ignores_sigterm_is_killed_after_the_grace(jobs: Jobs) -> None:
    spec = jobs.submit("trap 'echo not yet' TERM; echo ready; while true; do sleep 0.05; done", stop_grace=0.3)
    jobs.printed(spec, "ready\n")
    asked_at = time.monotonic()

    jobs.runner.stop(spec.directory, "stopped")
    state = jobs.ended(spec)

    assert (state.phase, state.exit_code) == ("stopped", 137)
    assert time.monotonic() - asked_at >= 0.3
    assert "not yet\n" in jobs.log(spec)


@pytest.mark.parametrize("command", ["python train.py", "true && python train.py && echo wrong"])
def test_a_preempted_job_may_save_a_checkpoint_in_the_grace_period(jobs: Jobs, command: str) -> None:
    spec = jobs.submit(command, files={"train.py": SAVES_ON_SIGTERM}, checkpointing=True)
    jobs.printed(spec, "training\n")

    jobs.runner.stop(spec.directory, "preempted")
    jobs.runner.stop(spec.directory, "stopped")  # of two requests the first counts
    state = jobs.ended(spec)

    assert (state.phase, state.error_message) == ("preempted", None)
    checkpoint = jobs.checkpoints(spec)["checkpoint-7"]
    assert checkpoint.complete
    assert checkpoint.size_bytes == 100_000 + len('{"global_step": 7}')
    assert (spec.checkpoint_store / "rank-0/checkpoint-7/model.bin").stat().st_size == 100_000
    assert "wrong\n" not in jobs.log(spec).replace(command, "")


@pytest.mark.parametrize("command", ["python train.py", "true && python train.py && echo wrong"])
def test_a_checkpoint_that_a_process_wrote_when_sigterm_ended_it_is_never_complete(jobs: Jobs, command: str) -> None:
    writes = """
        import os, pathlib, time
        checkpoint = pathlib.Path(os.environ["BT_CHECKPOINT_DIR"], "checkpoint-1")
        checkpoint.mkdir()
        with open(checkpoint / "model.bin", "wb", buffering=0) as file:
            while True:
                file.write(b"x")
                print("writing")
                time.sleep(0.01)
    """
    spec = jobs.submit(command, files={"train.py": writes}, checkpointing=True)
    jobs.printed(spec, "writing\n")

    jobs.runner.stop(spec.directory, "stopped")

    assert jobs.ended(spec).phase == "stopped"
    assert not jobs.checkpoints(spec)["checkpoint-1"].complete


def test_a_stop_request_made_before_the_start_is_obeyed(jobs: Jobs) -> None:
    spec = jobs.spec("touch never")
    spec.directory.mkdir(parents=True)
    jobs.runner.stop(spec.directory, "stopped")

    jobs.runner.submit(spec)

    assert jobs.ended(spec).phase == "stopped"
    assert not list(spec.directory.rglob("never"))


def test_a_checkpoint_that_was_cut_off_by_the_kill_is_kept_but_never_complete(jobs: Jobs) -> None:
    writes_for_ever = """
        import os, pathlib, signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        checkpoint = pathlib.Path(os.environ["BT_CHECKPOINT_DIR"], "checkpoint-1")
        checkpoint.mkdir()
        with open(checkpoint / "model.bin", "wb", buffering=0) as file:
            print("writing")
            while True:
                file.write(b"x")
                os.ftruncate(file.fileno(), 1 << 16)
    """
    spec = jobs.submit("python train.py", files={"train.py": writes_for_ever}, checkpointing=True, stop_grace=0.5)
    jobs.printed(spec, "writing\n")
    wait_for(lambda: "checkpoint-1" in jobs.checkpoints(spec), "the checkpoint is seen")
    assert not jobs.checkpoints(spec)["checkpoint-1"].complete

    jobs.runner.stop(spec.directory, "preempted")

    assert jobs.ended(spec).phase == "preempted"
    assert not jobs.checkpoints(spec)["checkpoint-1"].complete
    assert (spec.checkpoint_store / "rank-0/checkpoint-1/model.bin").exists()


# ---------------------------------------------------------------- several nodes


def test_every_node_has_processes_places_and_a_log_of_its_own(jobs: Jobs) -> None:
    spec = jobs.submit(
        'echo "$BT_NODE_RANK of $BT_GROUP_SIZE at $BT_LEADER_ADDR"',
        'mkdir $BT_CHECKPOINT_DIR/sharded; echo $BT_NODE_RANK > "$BT_CHECKPOINT_DIR/sharded/shard-$BT_NODE_RANK"',
        "test ! -e mine; touch mine",
        node_count=2,
        checkpointing=True,
    )

    assert jobs.ended(spec).phase == "completed"

    lines = joblogs.read_window(spec.directory, limit=1000)
    for rank in (0, 1):
        own = [line.message for line in lines if line.replica == f"g00r{rank}"]
        assert f"{rank} of 2 at 127.0.0.1\n" in own
        assert jobs.runner.log_path(spec.directory, rank).name == f"g00r{rank}.jsonl"
    checkpoint = jobs.checkpoints(spec)["sharded"]
    assert checkpoint.complete
    assert [(file.rank, file.path) for file in checkpoint.files] == [(0, "sharded/shard-0"), (1, "sharded/shard-1")]


def test_when_one_node_fails_the_others_are_stopped(jobs: Jobs) -> None:
    spec = jobs.submit(
        "if [ $BT_NODE_RANK = 1 ]; then echo broken; exit 5; fi; trap 'echo told; exit 0' TERM; sleep 60 & wait",
        node_count=2,
    )

    state = jobs.ended(spec)

    assert (state.phase, state.exit_code) == ("failed", 5)
    assert "on node 1 failed" in (state.error_message or "")
    assert (state.error_message or "").endswith("broken")


# ---------------------------------------------------------------- deaths


def test_a_job_survives_the_death_of_the_server_that_submitted_it(jobs: Jobs, tmp_path: Path) -> None:
    spec = jobs.spec("echo begun; sleep 1; echo done")
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    server = f"""
import os, signal
from truss_train_core.local.processes.runner import ProcessRunner
from truss_train_core.local.processes.detached import Intervals
from truss_train_core.local.runner import JobSpec
spec = JobSpec.model_validate_json(open({str(tmp_path / "spec.json")!r}).read())
ProcessRunner(Intervals.model_validate_json({INTERVALS.model_dump_json()!r})).submit(spec)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", server], check=False).returncode == -signal.SIGKILL

    assert jobs.ended(spec).phase == "completed"
    assert "done\n" in jobs.log(spec)


def test_a_killed_supervisor_leaves_nothing_running_and_the_job_failed(jobs: Jobs) -> None:
    spec = jobs.submit(
        "cd; echo $$ >> pids; sleep 60 & echo $! >> pids; (setsid sleep 60 & echo $! >> pids); sleep 60; :"
    )
    pids = home(spec) / "pids"
    wait_for(lambda: len(numbers(pids)) == 3, "three pids")
    supervisor = jobs.state(spec).supervisor_pid
    assert supervisor is not None

    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: not is_running(numbers(pids)[0]), "the shell dies with its supervisor")
    state = jobs.ended(spec)

    assert state.phase == "failed"
    assert f"(process {supervisor}) died: it was killed, or the machine was restarted" in (state.error_message or "")
    wait_for(lambda: not any(is_running(pid) for pid in numbers(pids)), "nothing runs on")
    assert not temporary_directory(spec.directory).exists()
    assert jobs.state(spec) == state


def test_sigterm_to_the_supervisor_is_a_preemption(jobs: Jobs) -> None:
    spec = jobs.submit("echo ready; sleep 60")
    jobs.printed(spec, "ready\n")
    supervisor = jobs.state(spec).supervisor_pid
    assert supervisor is not None

    os.kill(supervisor, signal.SIGTERM)

    assert jobs.ended(spec).phase == "preempted"


def test_a_supervisor_that_cannot_start_is_noticed(jobs: Jobs) -> None:
    spec = jobs.spec("true")
    spec.directory.mkdir(parents=True)
    (spec.directory / "spec.json").write_text("{}")
    (spec.directory / "supervisor.log").write_text("No module named truss_train_core")
    assert jobs.state(spec).phase == "submitted"

    os.utime(spec.directory / "spec.json", (0, 0))

    state = jobs.state(spec)
    assert state.phase == "failed"
    assert (state.error_message or "").startswith(f"The supervisor of {spec.directory} did not start.")
    assert "No module named truss_train_core" in (state.error_message or "")


# ---------------------------------------------------------------- what a job sees


def test_secrets_reach_the_job_and_nothing_else(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASETEN_API_KEY", "server-key")
    spec = jobs.submit(
        'test $(echo "$TOKEN" | wc -c) = 11 && test -z "$BASETEN_API_KEY" && echo ready; sleep 60; true',
        environment={"TOKEN": "job-secret"},
    )
    jobs.printed(spec, "ready\n")
    supervisor = jobs.state(spec).supervisor_pid
    assert supervisor is not None

    for process in [psutil.Process(supervisor), *psutil.Process(supervisor).children(recursive=True)]:
        assert "job-secret" not in " ".join(process.cmdline())
        assert "server-key" not in " ".join(process.environ().values())
    assert "job-secret" not in str(psutil.Process(supervisor).environ())
    assert (spec.directory / "spec.json").stat().st_mode & 0o777 == 0o600
    assert "job-secret" not in repr(spec)


def test_a_secret_that_a_job_prints_is_masked_in_its_log_and_in_its_error(jobs: Jobs) -> None:
    spec = jobs.submit(
        'echo "token=$TOKEN;" && echo "$TOKEN" >&2 && false',
        environment={"TOKEN": "job-secret", "PLAIN": "job"},
        secrets=("job-secret",),
    )
    state = jobs.ended(spec)
    assert "token=***;" in jobs.log(spec)
    assert "***" in (state.error_message or "")
    assert "job-secret" not in jobs.log(spec) + state.model_dump_json()


def test_the_platform_s_variables_win_over_the_job_s_and_the_log_says_so(jobs: Jobs) -> None:
    spec = jobs.submit("echo rank=$BT_NODE_RANK mine=$MINE", environment={"BT_NODE_RANK": "9", "MINE": "$HOME stays"})

    jobs.ended(spec)

    assert "rank=0 mine=$HOME stays\n" in jobs.log(spec)
    assert "The job's own BT_NODE_RANK is not used" in jobs.log(spec)


def test_a_loaded_checkpoint_is_in_place_before_the_first_command_and_is_a_copy(jobs: Jobs, tmp_path: Path) -> None:
    source = tmp_path / "store"
    for rank in (0, 1):
        (source / f"rank-{rank}" / "checkpoint-3").mkdir(parents=True)
        (source / f"rank-{rank}" / "checkpoint-3" / "state.json").write_text(f'{{"step": 3, "rank": {rank}}}')
    spec = jobs.submit(
        "cat $BT_LOAD_CHECKPOINT_DIR/rank-0/earlier/checkpoint-3/state.json"
        " $BT_LOAD_CHECKPOINT_DIR/rank-1/earlier/checkpoint-3/state.json",
        "echo changed > $BT_LOAD_CHECKPOINT_DIR/rank-0/earlier/checkpoint-3/state.json",
        load_dir="/tmp/loaded_checkpoints",
        loaded=(LoadedCheckpoint(source=source, checkpoint_name="checkpoint-3", folder="earlier/checkpoint-3"),),
    )

    assert jobs.ended(spec).phase == "completed"

    assert '{"step": 3, "rank": 0}{"step": 3, "rank": 1}' in jobs.log(spec)
    assert json.loads((source / "rank-0/checkpoint-3/state.json").read_text())["step"] == 3


def test_a_checkpoint_to_load_that_is_gone_fails_the_deployment(jobs: Jobs, tmp_path: Path) -> None:
    loaded = LoadedCheckpoint(source=tmp_path / "gone", checkpoint_name="checkpoint-3", folder="checkpoint-3")

    state = jobs.ended(jobs.submit("true", load_dir="/tmp/loaded", loaded=(loaded,)))

    assert state.phase == "deploy_failed"
    assert "checkpoint-3 is no longer in" in (state.error_message or "")


def test_caches_persist_between_jobs(jobs: Jobs, tmp_path: Path) -> None:
    caches = {"project_cache": tmp_path / "project", "team_cache": tmp_path / "team"}
    first = jobs.submit("echo kept > $BT_PROJECT_CACHE_DIR/a; echo shared > ~/.cache/team_artifacts/b", **caches)
    assert jobs.ended(first).phase == "completed"

    second = jobs.submit("cat $BT_RW_CACHE_DIR/user_artifacts/a $BT_TEAM_CACHE_DIR/b", **caches)

    assert jobs.ended(second).phase == "completed"
    assert "kept\nshared\n" in jobs.log(second)


def test_notices_head_the_log_and_temporary_files_are_removed(jobs: Jobs) -> None:
    spec = jobs.submit(
        "echo x > $TMPDIR/file; python -c 'import tempfile; print(tempfile.gettempdir())'", notices=("N",)
    )

    jobs.ended(spec)

    first, *_ = joblogs.read_window(spec.directory, limit=1)
    assert (first.message, first.level) == ("N\n", "INFO")
    assert ("/tmp\n" if spec.sandboxed else str(temporary_directory(spec.directory))) in jobs.log(spec)
    assert not temporary_directory(spec.directory).exists()


def test_a_store_that_cannot_be_written_is_told_in_the_state_and_the_job_goes_on(jobs: Jobs) -> None:
    spec = jobs.spec(
        "mkdir $BT_CHECKPOINT_DIR/one; echo 1 > $BT_CHECKPOINT_DIR/one/model.bin; sleep 0.5", checkpointing=True
    )
    spec.checkpoint_store.parent.mkdir(parents=True)
    spec.checkpoint_store.write_text("a file in the way")
    jobs.runner.submit(spec)

    state = jobs.ended(spec)

    assert state.phase == "completed"
    assert "Checkpoints cannot be copied to" in (state.sync_error or "")
    assert str(spec.directory) in (state.sync_error or "")


def test_metrics_are_sampled_for_every_node(jobs: Jobs) -> None:
    from truss_train_core.local import samples

    spec = jobs.submit(
        "python -c 'import time\nx = bytearray(30 << 20)\nend = time.time() + 0.8\nwhile time.time() < end: pass'",
        node_count=2,
    )
    jobs.ended(spec)

    nodes = samples.read(spec.directory)

    assert len(nodes) == 2
    for node in nodes:
        assert max(sample.cpu_usage for sample in node) > 0.1
        assert max(sample.cpu_memory_usage_bytes for sample in node) > 30 << 20
        assert all(0 < sample.disk_utilization <= 1 for sample in node)
        assert [sample.timestamp for sample in node] == sorted(sample.timestamp for sample in node)
