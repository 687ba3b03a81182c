from __future__ import annotations

import subprocess
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path

import pytest
from running_jobs import wait_for

from truss_train_core.errors import LocalPlatformError
from truss_train_core.local import statefiles
from truss_train_core.local.processes.ownership import claim, is_owned
from truss_train_core.local.runner import JobState, StopRequest
from truss_train_core.local.statefiles import StateFile, read_json, write_json_atomic

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_what_is_written_is_read_and_only_the_owner_may(tmp_path: Path) -> None:
    state = JobState(phase="running", updated_at=NOW)

    write_json_atomic(tmp_path / "state.json", state)

    assert read_json(tmp_path / "state.json", JobState) == state
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_reader_sees_whole_states_only(tmp_path: Path) -> None:
    path, done = tmp_path / "state.json", threading.Event()
    states = [JobState(phase="running", updated_at=NOW, error_message="x" * size) for size in (1, 200_000)]
    write_json_atomic(path, states[0])

    def write() -> None:
        for number in range(200):
            write_json_atomic(path, states[number % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert read_json(path, JobState) in states
    writer.join()


def test_a_missing_file_is_none_and_a_damaged_one_names_itself(tmp_path: Path) -> None:
    assert read_json(tmp_path / "stop.json", StopRequest) is None
    (tmp_path / "stop.json").write_text('{"reason": "s3cret"}')

    with pytest.raises(LocalPlatformError, match=r"stop\.json is not a StopRequest: reason") as raised:
        read_json(tmp_path / "stop.json", StopRequest)

    assert "s3cret" not in str(raised.value)


def test_a_state_that_found_no_room_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = StateFile(tmp_path, JobState(phase="deploying", updated_at=NOW))
    file.update()
    with monkeypatch.context() as full_disk:
        full_disk.setattr(statefiles, "write_json_atomic", _no_room)
        file.update(phase="running")
    state = read_json(tmp_path / "state.json", JobState)
    assert state is not None
    assert state.phase == "deploying"

    file.conclude()

    state = read_json(tmp_path / "state.json", JobState)
    assert state is not None
    assert state.phase == "running"
    assert state.updated_at > NOW


def _no_room(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_an_update_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    file = StateFile(tmp_path, JobState(phase="running", updated_at=NOW))
    file.update()
    before = (tmp_path / "state.json").stat().st_mtime_ns, file.state.updated_at

    file.update(phase="running", syncing=False)

    assert ((tmp_path / "state.json").stat().st_mtime_ns, file.state.updated_at) == before


def test_a_directory_has_one_owner_until_that_process_dies(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from truss_train_core.local.processes.ownership import claim\n"
        "with claim(Path(sys.argv[1])) as claimed: print(claimed, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "True\n"

    assert is_owned(tmp_path)
    with claim(tmp_path) as claimed:
        assert not claimed

    owner.kill()
    owner.wait()
    owner.stdout.close()
    wait_for(lambda: not is_owned(tmp_path), "the lock is dropped")
    with claim(tmp_path) as claimed:
        assert claimed
