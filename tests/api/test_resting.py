"""One look for all who rest: who sees nothing new is not woken, and whoever looks for the others may leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import pytest

from benchmarks.rows.waiting import BEGAN, Api, LoopClock, TimelessLoop
from truss_train_core import AsyncClient, Remote, jobs
from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, Glance, rest
from truss_train_core.api.models import JobsAnswer, TrainingJob
from truss_train_core.api.retry import Retry
from truss_train_core.errors import Forbidden, ServerError, WaitTimeout
from truss_train_core.waiting import Limits

T = TypeVar("T")
REMOTE = Remote(name="test", api_url="https://api.baseten.co", web_url="https://app.baseten.co", key="k")
JOBS = 20


class Scene:
    """Jobs that have been running for two hours, whose time passes at once."""

    def __init__(self, ends: dict[str, float]) -> None:
        self.api = Api(JOBS, ends)
        self.ids = sorted(self.api.jobs)
        self.client = AsyncClient(
            REMOTE, share=2.0, clock=LoopClock(), retry=Retry(deadline=0), transport=httpx.MockTransport(self._answer)
        )
        self.away = False
        self.effects = 0

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            self.api.requests += 1
            return httpx.Response(503)
        return await self.api.handle_async_request(request)

    def begin(self, job_id: str, **arguments: Any) -> asyncio.Task[tuple[TrainingJob, float]]:
        """A wait; what it returns is the job and the time at which it was seen to have ended."""
        job = TrainingJob.model_validate(self.api.jobs[job_id])
        return asyncio.create_task(self._wait(jobs.wait(job, **arguments)))

    async def _wait(self, flow: Flow[TrainingJob]) -> tuple[TrainingJob, float]:
        return await self.client.run(self._counted(flow)), now()

    def _counted(self, flow: Flow[T]) -> Flow[T]:
        """The flow, whose effects are counted: how often it is awake."""
        try:
            effect = next(flow)
            while True:
                self.effects += 1
                try:
                    value = yield effect
                except Exception as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(value)
        except StopIteration as end:
            result: T = end.value
            return result


def now() -> float:
    return asyncio.get_running_loop().time()


def in_no_time(main: Callable[[], Awaitable[T]]) -> T:
    loop = TimelessLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(main(), 24 * 3600.0))
    finally:
        loop.close()


def test_nobody_is_woken_for_the_end_of_another_job() -> None:
    async def main() -> None:
        scene = Scene({f"job{n:05}": 100.0 * n for n in range(1, JOBS)})
        waits = {job_id: scene.begin(job_id) for job_id in scene.ids}
        await asyncio.sleep(2500)
        for n, wait in enumerate(list(waits.values())[1:], 1):
            job, at = wait.result()
            assert job.succeeded
            assert 100.0 * n <= at <= 100.0 * n + 30
        first = waits["job00000"]
        assert not first.done()
        assert scene.effects / JOBS < 15  # those of the beginning and the end
        assert 2500 / 30 <= scene.api.requests <= 2500 / 30 + JOBS + 2
        first.cancel()

    in_no_time(main)


def test_another_looks_when_the_one_who_did_is_cancelled() -> None:
    async def main() -> None:
        scene = Scene({"job00019": 1000.0})
        waits = [scene.begin(job_id) for job_id in scene.ids]
        for wait in waits[:19]:
            await asyncio.sleep(40)
            wait.cancel()
        assert (await waits[19])[1] <= 1000 + 30
        await asyncio.sleep(100)
        before = scene.api.requests
        await asyncio.sleep(1000)
        assert scene.api.requests == before  # nobody is left

    in_no_time(main)


def test_those_who_are_cancelled_at_the_same_time_leave_the_last_one_looking() -> None:
    async def main() -> None:
        scene = Scene({"job00010": 500.0})
        waits = {job_id: scene.begin(job_id) for job_id in scene.ids}
        await asyncio.sleep(100)
        for job_id, wait in waits.items():
            if job_id != "job00010":
                wait.cancel()
        assert (await waits["job00010"])[1] <= 500 + 30

    in_no_time(main)


def test_whoever_is_to_look_next_may_be_cancelled_before_it_does() -> None:
    async def main() -> None:
        scene = Scene({"job00000": 500.0})
        waits = {job_id: scene.begin(job_id) for job_id in scene.ids}
        await asyncio.sleep(100)
        for job_id in scene.ids[1:]:
            waits[job_id].cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert (await waits["job00000"])[1] <= 500 + 30

    in_no_time(main)


def test_an_outage_is_put_up_with_by_each_as_long_as_it_likes() -> None:
    async def main() -> None:
        scene = Scene({"job00001": 1000.0})
        short = scene.begin("job00000", limits=Limits(outage=60))
        long = scene.begin("job00001", limits=Limits(outage=3600))
        await asyncio.sleep(500)
        scene.away = True
        await asyncio.sleep(1500)
        scene.away = False
        with pytest.raises(ServerError):
            await short
        job, at = await long
        assert job.succeeded
        assert at <= 2000 + 30

    in_no_time(main)


def test_a_timeout_is_kept_by_who_rests_with_others() -> None:
    async def main() -> None:
        scene = Scene({})
        others = [scene.begin(job_id) for job_id in scene.ids[:10]]
        with pytest.raises(WaitTimeout, match=r"is still TRAINING_JOB_RUNNING after 1000 s"):
            await scene.begin("job00010", limits=Limits(timeout=1000))
        assert now() == pytest.approx(1000, abs=5)
        assert not any(wait.done() for wait in others)
        for wait in others:
            wait.cancel()

    in_no_time(main)


def test_a_wait_with_companions_is_woken_for_every_look() -> None:
    async def main() -> None:
        seen: list[float] = []

        def companion(job: TrainingJob) -> Flow[None]:
            seen.append(now())
            yield from ()

        scene = Scene({"job00000": 1000.0, "job00001": 1000.0})
        await asyncio.gather(scene.begin("job00000", companions=[companion]), scene.begin("job00001"))
        assert len(seen) > 1000 / 30

    in_no_time(main)


def test_pauses_grow_while_nobody_is_woken() -> None:
    async def main() -> None:
        scene = Scene({"job00000": 9000.0})
        young = scene.api.jobs["job00000"]
        young["created_at"] = young["updated_at"] = "2025-06-15T15:06:40+00:00"  # BEGAN
        assert TrainingJob.model_validate(young).created_at.timestamp() == BEGAN
        wait = scene.begin("job00000")
        await asyncio.sleep(400)
        first = scene.api.requests
        assert first > 400 / 4  # every 1.9 s, and every other answer is one that still serves
        await wait
        assert scene.api.requests - first < 9000 / 9  # at 1.9 s, it would be 2300
        assert scene.effects < 30

    in_no_time(main)


def test_an_error_of_what_is_asked_ends_the_rest_of_all() -> None:
    async def main() -> None:
        scene = Scene({})
        looks: list[float] = []

        def still(answer: JobsAnswer, at: float) -> float:
            looks.append(at)
            return 30.0

        glance = Glance(endpoints.active_jobs(), still)
        resting = [asyncio.create_task(scene.client.run(rest(30.0, 30.0, glance))) for _ in range(3)]
        await asyncio.sleep(90)  # three looks, whatever moment the first comes at
        assert not any(each.done() for each in resting)
        assert len(looks) == 3 * 3
        scene.away = True
        await asyncio.sleep(30)
        assert all(each.done() for each in resting)

    in_no_time(main)


def test_an_error_of_the_clock_ends_the_rest_of_the_one_whose_pause_it_was() -> None:
    class Interrupted(LoopClock):
        def __init__(self) -> None:
            super().__init__()
            self.pauses = 0

        async def asleep(self, seconds: float) -> None:
            self.pauses += 1
            if self.pauses == 2:
                raise Forbidden("interrupted", status=403)
            await super().asleep(seconds)

    async def main() -> None:
        api = Api(2, {})
        client = AsyncClient(REMOTE, share=2.0, clock=Interrupted(), transport=api)
        glance = Glance(endpoints.active_jobs(), lambda answer, at: 30.0 if at < BEGAN + 300 else None)
        resting = [asyncio.create_task(client.run(rest(30.0, 30.0, glance))) for _ in range(3)]
        outcomes = await asyncio.gather(*resting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Forbidden, type(None), type(None)]
        assert 300 <= now() <= 330

    in_no_time(main)
