"""The blocks: what Prefect asks of them, and what they do against a real platform."""

from __future__ import annotations

import asyncio

import pytest
from prefect import flow
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from project import BLOCK, CONFIG

from prefect_truss_train import BasetenCredentials, TrainingJob, TrainingJobRun
from truss_train_core import Client, jobs
from truss_train_core.errors import JobFailed
from truss_train_core.testing import LocalPlatform


class TestConventions(BlockStandardTestSuite):
    @pytest.fixture(params=[BasetenCredentials, TrainingJob])
    def block(self, request: pytest.FixtureRequest) -> type:
        return request.param


def test_a_key_is_only_used_with_the_server_it_was_given_for(platform: LocalPlatform) -> None:
    remote = BasetenCredentials.load(BLOCK).get_remote()
    assert (remote.api_url, remote.key) == (platform.remote.api_url, platform.remote.key)
    assert remote.key.get_secret_value() not in repr(BasetenCredentials.load(BLOCK))


def test_a_saved_job_is_triggered_waited_for_and_fetched(platform: LocalPlatform) -> None:
    TrainingJob(credentials=BasetenCredentials.load(BLOCK), config=CONFIG).save("quick")

    run = TrainingJob.load("quick").trigger()
    with pytest.raises(JobFailed, match=run.job_id):
        run.fetch_result()
    run.wait_for_completion()
    assert run.fetch_result()["current_status"] == "TRAINING_JOB_COMPLETED"


def test_the_same_on_an_event_loop_with_a_definition(platform: LocalPlatform) -> None:
    from truss_train_core import load_training_project

    definition = load_training_project(CONFIG).model_dump(mode="json")

    async def story() -> dict[str, object]:
        credentials = await BasetenCredentials.aload(BLOCK)
        source = CONFIG.rpartition("/")[0]
        run = await TrainingJob(credentials=credentials, definition=definition, source_dir=source).atrigger()
        await run.await_for_completion()
        return await run.afetch_result()

    assert asyncio.run(story())["current_status"] == "TRAINING_JOB_COMPLETED"


def test_triggered_twice_in_a_flow_run_there_is_one_job(platform: LocalPlatform, client: Client) -> None:
    block = TrainingJob(credentials=BasetenCredentials.load(BLOCK), config=CONFIG)

    @flow
    def trigger_twice() -> list[TrainingJobRun]:
        return [block.trigger(), block.trigger()]

    first, second = trigger_twice()
    assert first.job_id == second.job_id
    assert block.trigger().job_id != first.job_id
    for job in client.run(jobs.find_active("")):
        client.run(jobs.stop(job))
