"""Versions of datasets: equal as long as the content is, another as soon as it is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from truss_train_core import datasets
from truss_train_core.datasets import DataFile
from truss_train_core.errors import DatasetNotFound, DatasetUnavailable
from truss_train_core.testing import DatasetHub

FILES = [DataFile(name="a.csv", size=3, tag="1"), DataFile(name="b.csv", size=5, tag="2")]


def test_a_listing_has_the_same_version_in_any_order() -> None:
    found = datasets.fingerprint("s3://bucket/data", FILES)
    assert found == datasets.fingerprint("s3://bucket/data", reversed(FILES))
    assert (found.files, found.size_bytes, len(found.version)) == (2, 8, 16)


@pytest.mark.parametrize("change", [{"name": "c.csv"}, {"size": 4}, {"tag": "3"}])
def test_a_change_of_name_size_or_tag_is_another_version(change: dict[str, str | int]) -> None:
    changed = [FILES[0].model_copy(update=change), FILES[1]]
    assert datasets.fingerprint("x", changed).version != datasets.fingerprint("x", FILES).version


@pytest.mark.parametrize("address", ["file://{}", "{}", "{}/data.csv"], ids=["store", "directory", "file"])
def test_a_file_that_is_written_to_is_another_version(tmp_path: Path, address: str) -> None:
    file = tmp_path / "data.csv"
    file.write_text("1,2\n")
    source = address.format(tmp_path)
    before = datasets.look(source)
    assert (before, before.files, before.size_bytes) == (datasets.look(source), 1, 4)
    file.write_text("1,2\n3,4\n")
    assert datasets.look(source).version != before.version


def test_where_nothing_is_there_is_no_version(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="missing"):
        datasets.look(str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError):
        datasets.fingerprint("s3://bucket/empty", [])


def test_the_version_of_a_dataset_on_the_hub_is_its_commit(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert datasets.look("hf://someone/reviews").version == "commit-of-main"
    assert datasets.look("hf://datasets/someone/reviews@v2").version == "commit-of-v2"
    with pytest.raises(DatasetNotFound, match="someone/other"):
        datasets.look("hf://someone/other")


def test_a_dataset_that_is_not_public_needs_the_token(hub: str) -> None:
    assert datasets.look_at_hub("hf://someone/private", endpoint=hub, token="good").version == "commit-of-main"
    with pytest.raises(DatasetNotFound, match="with this token") as refused:
        datasets.look_at_hub("hf://someone/private", endpoint=hub, token="bad-secret")
    assert "bad-secret" not in str(refused.value)


def test_an_answer_that_is_not_the_hubs_is_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    page = httpx.Response(200, text="<html>Sign in to this network", request=httpx.Request("GET", datasets.HUB))
    monkeypatch.setattr(httpx, "get", lambda *_, **__: page)
    with pytest.raises(DatasetUnavailable, match="hf://someone/reviews"):
        datasets.look_at_hub("hf://someone/reviews")


def test_a_hub_that_fails_is_told_from_a_dataset_that_is_not_there() -> None:
    with DatasetHub.started() as served:
        served.commits, served.failures = {"someone/reviews": "commit-1"}, 1
        with pytest.raises(DatasetUnavailable, match="hf://someone/reviews"):
            datasets.look_at_hub("hf://someone/reviews", endpoint=served.url)
        assert datasets.look_at_hub("hf://someone/reviews", endpoint=served.url).version == "commit-1"
    with pytest.raises(ConnectionError):
        datasets.look_at_hub("hf://someone/reviews", endpoint="http://127.0.0.1:9")


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of a Hub with a public and a private dataset."""
    with DatasetHub.started() as served:
        served.commits = {"someone/reviews": "commit-of-main", "someone/reviews@v2": "commit-of-v2"}
        served.commits |= {"someone/private": "commit-of-main"}
        served.private = {"someone/private"}
        yield served.url
