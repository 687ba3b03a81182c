"""A training job as a block: what to train is kept at the server, and triggered from anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from prefect.blocks.abstract import JobBlock, JobRun
from pydantic import Field, HttpUrl

from prefect_truss_train import keys
from prefect_truss_train.cancellation import AttentiveClock
from prefect_truss_train.credentials import SHARE, BasetenCredentials, client_for

if TYPE_CHECKING:
    from truss_train_core import Event, Flow, Remote
    from truss_train_core.definitions import TrainingProject

R = TypeVar("R")
Result = dict[str, Any]


class TrainingJobRun(JobRun[Result]):
    """A training job that was submitted.

    Attributes:
        project_id, job_id, job_name: which.
    """

    def __init__(self, remote: Remote, project_id: str, job_id: str, job_name: str) -> None:
        self._remote = remote
        self.project_id, self.job_id, self.job_name = project_id, job_id, job_name

    def wait_for_completion(self, timeout: float | None = None) -> None:  # type: ignore[override]
        """Wait until the job has ended, well or not, and log what it logs.

        Args:
            timeout: seconds after which to give up, None for never. The job goes on.

        Raises:
            WaitTimeout: it goes on and may cost money.
            JobNotFound: it was deleted.
            FlowRunCancelled: the flow run that waits was cancelled.
        """
        _run(self._remote, self._follow(timeout), self._tell)

    async def await_for_completion(self, timeout: float | None = None) -> None:
        """As `wait_for_completion`."""
        await _arun(self._remote, self._follow(timeout), self._tell)

    def fetch_result(self) -> Result:  # type: ignore[override]
        """The job as it ended, as JSON.

        Raises:
            JobFailed: it ended otherwise than completed, or has not ended.
            JobNotFound: it was deleted.
        """
        return _run(self._remote, self._fetch(), self._tell)

    async def afetch_result(self) -> Result:
        """As `fetch_result`."""
        return await _arun(self._remote, self._fetch(), self._tell)

    def stop(self) -> None:
        """Stop the job. One that has ended already is left alone."""
        _run(self._remote, self._stop(), self._tell)

    async def astop(self) -> None:
        """As `stop`."""
        await _arun(self._remote, self._stop(), self._tell)

    def _follow(self, timeout: float | None) -> Flow[None]:
        from truss_train_core import Limits, jobs

        job = yield from jobs.fetch(self.project_id, self.job_id)
        yield from jobs.follow(job, limits=Limits(timeout=timeout))

    def _fetch(self) -> Flow[Result]:
        from truss_train_core import jobs

        job = jobs.expect_completed((yield from jobs.fetch(self.project_id, self.job_id)))
        return job.model_dump(mode="json")

    def _stop(self) -> Flow[None]:
        from truss_train_core import jobs

        yield from jobs.stop((yield from jobs.fetch(self.project_id, self.job_id)))

    def _tell(self, event: Event) -> None:
        from prefect_truss_train.telling import tell

        tell(event, self.logger)


class TrainingJob(JobBlock[Result]):
    """What to train: a config file, or a definition, and the key to do it with."""

    _block_type_name: ClassVar[str] = "Baseten Training Job"
    _block_type_slug: ClassVar[str] = "baseten-training-job"
    _logo_url: ClassVar[Any] = HttpUrl("https://github.com/basetenlabs.png?size=200")
    _documentation_url: ClassVar[Any] = HttpUrl("https://docs.baseten.co/training/overview")
    _description: ClassVar[str] = "A Baseten training job: trigger it, wait for it, fetch how it ended."
    _code_example: ClassVar[str] = """\
```python
from prefect import flow
from prefect_truss_train import TrainingJob

@flow
def train():
    job = TrainingJob.load("BLOCK_NAME")
    run = job.trigger()
    run.wait_for_completion()
    return run.fetch_result()
```"""

    credentials: BasetenCredentials = Field(
        default_factory=BasetenCredentials, description="The server and the key for it."
    )
    config: str | None = Field(default=None, description="Path of a config.py where the flow runs.")
    definition: dict[str, Any] | None = Field(
        default=None, description="A definition as JSON, as `TrainingProject.model_dump` writes it; instead of a path."
    )
    source_dir: str | None = Field(
        default=None, description="The working directory; by default that of the file, or the current one."
    )

    def trigger(self) -> TrainingJobRun:  # type: ignore[override]
        """Submit the job: within a flow run exactly once, retries included, and each time anew elsewhere.

        Raises:
            ConfigFileError, PackageError, RemoteError: nothing was created.
            TrussTrainError: anything else; in a flow run, a retry is safe.
        """
        remote = self.credentials.get_remote()
        return _run(remote, self._submit(remote), self._tell)

    async def atrigger(self) -> TrainingJobRun:
        """As `trigger`."""
        remote = self.credentials.get_remote()
        return await _arun(remote, self._submit(remote), self._tell)

    def _submit(self, remote: Remote) -> Flow[TrainingJobRun]:
        from prefect_truss_train.training_run import load_training
        from truss_train_core import runs

        if (self.config is None) == (self.definition is None):
            raise ValueError("a TrainingJob block has either a config or a definition")
        project, directory = load_training(self.config or self._defined(), self.source_dir, {})
        plan = runs.RunPlan(project=project, source_dir=directory)
        key = keys.run_key("block", self.config, self.definition, self.source_dir)
        record = runs.new_record(plan, key)
        while record.phase != "training":
            record = yield from runs.step(record, plan)
        attempt = record.attempt
        return TrainingJobRun(remote, record.project_id or "", attempt.job_id or "", attempt.job_name)

    def _defined(self) -> TrainingProject:
        from truss_train_core.definitions import TrainingProject

        return TrainingProject.model_validate(self.definition)

    def _tell(self, event: Event) -> None:
        from prefect_truss_train.telling import tell

        tell(event, self.logger)


def _run(remote: Remote, flow: Flow[R], listener: Any) -> R:
    return client_for(remote).run(flow, on_event=listener)


async def _arun(remote: Remote, flow: Flow[R], listener: Any) -> R:
    from truss_train_core import AsyncClient

    async with AsyncClient(remote, share=SHARE, clock=AttentiveClock()) as client:
        return await client.run(flow, on_event=listener)
