from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from truss_train_core.local import samples
from truss_train_core.local.runner import Sample

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def write(directory: Path, rank: int, count: int, every: float = 1.0) -> None:
    path = samples.path_of(directory, rank)
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        for number in range(count):
            sample = Sample(
                timestamp=START + timedelta(seconds=number * every),
                cpu_usage=number,
                cpu_memory_usage_bytes=1,
                disk_usage_bytes=1,
                disk_utilization=0.5,
            )
            file.write(sample.model_dump_json() + "\n")
        file.write('{"timestamp": "2026-')


def usage(nodes: list[list[Sample]]) -> list[list[float]]:
    return [[sample.cpu_usage for sample in node] for node in nodes]


def test_a_window_includes_both_of_its_ends_and_nodes_come_in_order(tmp_path: Path) -> None:
    for rank in range(12):
        write(tmp_path, rank, count=rank + 3)

    nodes = samples.read(tmp_path, START + timedelta(seconds=1), START + timedelta(seconds=2))

    assert usage(nodes) == [[1, 2]] * 12
    assert len(samples.read(tmp_path)[11]) == 14


@pytest.mark.parametrize(("step", "expected"), [(10, [9, 19, 24]), (0.5, list(range(25))), (100, [24])])
def test_of_each_step_the_last_sample_is_kept(tmp_path: Path, step: float, expected: list[float]) -> None:
    write(tmp_path, 0, count=25)

    assert usage(samples.read(tmp_path, step=step)) == [expected]


def test_without_a_step_long_series_return_fewer_points(tmp_path: Path) -> None:
    write(tmp_path, 0, count=5000)
    write(tmp_path, 1, count=50)

    long, short = samples.read(tmp_path)

    assert 250 <= len(long) <= 310
    assert len(short) == 50


def test_a_job_without_samples_has_none(tmp_path: Path) -> None:
    assert samples.read(tmp_path) == []


def test_gpus_are_asked_of_nvidia_smi_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0, 50, 1024\\n1, 0, 3\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "root").mkdir()
    sampler = samples.Sampler(tmp_path, lambda _: frozenset(), [tmp_path / "root"], [], interval=0.01)
    sampler.start()
    deadline = time.monotonic() + 30
    while not any(samples.read(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.01)
    sampler.finish()

    [[first, *_]] = samples.read(tmp_path)
    assert first.gpu_utilization == {"0": 0.5, "1": 0.0}
    assert first.gpu_memory_usage_bytes == {"0": 1 << 30, "1": 3 << 20}
    assert first.cache_usage_bytes is None


def test_a_long_series_is_seen_evenly_and_to_its_end(tmp_path: Path) -> None:
    write(tmp_path, 0, count=10_000)
    write(tmp_path, 1, count=2)
    long, short = usage(samples.read_evenly(tmp_path))
    before = samples.length(tmp_path)
    write(tmp_path, 1, count=3)

    assert 200 < len(long) < 400
    assert (long[-1], short) == (9_999, [0, 1])
    assert samples.length(tmp_path) > before
