"""The connection: what it means, what its form shows, and what the test button finds out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk import Connection

from airflow_provider_truss_train import hooks
from airflow_provider_truss_train.hooks import BasetenHook, remote_of
from truss_train_core.errors import RemoteError
from truss_train_core.testing import LocalPlatform


def connection(**fields: object) -> Connection:
    return Connection(conn_id="mine", conn_type="baseten", **fields)  # type: ignore[arg-type]


def test_a_key_alone_is_for_baseten() -> None:
    remote = remote_of(connection(password="k", extra='{"team": "research"}'))
    assert (remote.api_url, remote.team) == ("https://api.baseten.co", "research")
    assert remote.authorization == "Api-Key k"


@pytest.mark.parametrize("host", ["train.example.com", "https://train.example.com/"])
def test_a_host_is_where_the_key_goes(host: str) -> None:
    assert remote_of(connection(password="k", host=host)).api_url == "https://train.example.com"


def test_a_port_belongs_to_the_address_unless_it_goes_without_saying() -> None:
    assert remote_of(connection(password="k", port=443)).api_url == "https://api.baseten.co"
    assert remote_of(connection(password="k", host="http://localhost/", port=8000)).api_url == "http://localhost:8000"


def test_a_key_is_not_sent_in_the_clear() -> None:
    with pytest.raises(RemoteError, match="unencrypted"):
        remote_of(connection(password="k", host="http://train.example.com"))


def test_without_a_key_a_section_of_trussrc_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rc").write_text(
        "[lab]\nremote_provider=baseten\nremote_url=https://lab.example.com\napi_key=lab-key\n"
    )
    monkeypatch.setenv("USER_TRUSSRC_PATH", str(tmp_path / "rc"))
    assert remote_of(connection(extra='{"remote": "lab"}')).authorization == "Api-Key lab-key"


def test_the_button_says_that_the_key_is_accepted(platform: LocalPlatform) -> None:
    assert BasetenHook().test_connection() == (True, f"{platform.remote.api_url} accepts the key.")


def test_the_button_says_what_is_wrong_with_a_key(platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"conn_type": "baseten", "host": platform.remote.api_url, "password": "not-the-key"}
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", json.dumps(wrong))
    fine, said = BasetenHook("wrong").test_connection()
    assert not fine
    assert "not-the-key" not in said


def test_triggers_of_one_loop_share_one_client_and_close_it(platform: LocalPlatform) -> None:
    async def two_at_once() -> tuple[bool, int]:
        async with BasetenHook().async_client() as one, BasetenHook().async_client() as other:
            same = one is other
        return same, len(hooks._lent[asyncio.get_running_loop()])

    assert asyncio.run(two_at_once()) == (True, 0)


def test_airflow_knows_the_connection_type_and_its_form() -> None:
    manager = ProvidersManager()
    assert "airflow-provider-truss-train" in manager.providers
    assert manager.hooks["baseten"].hook_name == "Baseten"  # type: ignore[union-attr]
    assert manager.field_behaviours["baseten"]["relabeling"] == {"password": "API key", "host": "Address"}
    assert {"extra__baseten__team", "extra__baseten__remote"} <= manager.connection_form_widgets.keys()
    links = {
        f"airflow_provider_truss_train.links.{name}" for name in ("TrainingJobLink", "CheckpointLink", "ModelLink")
    }
    assert links <= set(manager.extra_links_class_names)
    assert "airflow_provider_truss_train.plugin.TrussTrainPlugin" in {each.plugin_class for each in manager.plugins}
    assert "training_job" in {name for name, _ in manager.taskflow_decorators.items()}
