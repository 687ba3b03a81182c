"""From what a person calls a job or a project to what the API calls it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, now, send
from truss_train_core.api.models import JobStatus, MetricsAnswer, SearchJobs, TrainingJob, TrainingProject
from truss_train_core.errors import JobNotFound, NotFound
from truss_train_core.waiting import patiently


def find(job: str | None = None, *, project: str | None = None) -> Flow[TrainingJob]:
    """A job, by its id or its name; the newest, where a name or nothing leaves a choice.

    Args:
        job: id or name; None for the newest job.
        project: id or name of the project to look in; None for the whole account.

    Raises:
        JobNotFound: no job or project matches; the message names what is near.
    """
    if project is not None:
        home = yield from find_project(project)
        jobs = (yield from send(endpoints.list_jobs(home.id))).training_jobs
        where = f"project {home.name!r}"
    else:
        jobs = (yield from send(endpoints.search_jobs(SearchJobs(job_id=job)))).training_jobs if job else []
        jobs = jobs or (yield from send(endpoints.search_jobs())).training_jobs
        where = "this account"
    newest_first = sorted(jobs, key=lambda each: (each.created_at, each.id), reverse=True)
    if job is None and newest_first:
        return newest_first[0]
    matching = [each for each in newest_first if each.id == job] or [each for each in newest_first if each.name == job]
    if matching:
        return matching[0]
    if job is None:
        raise JobNotFound(f"There is no job in {where}.")
    known = [name for each in newest_first for name in (each.name, each.id) if name]
    raise JobNotFound(f"There is no job {job!r} in {where}.", hint=_nearest(job, known))


def fetch(project_id: str, job_id: str, *, outage: float = 0.0) -> Flow[TrainingJob]:
    """The job of these ids as it is now.

    Args:
        project_id: as a record or an event names it.
        job_id: of this project.
        outage: seconds for which an API that does not answer is put up with.

    Raises:
        JobNotFound: it was deleted, or this key may not see it.
    """
    try:
        answer = yield from patiently(lambda: send(endpoints.get_job(project_id, job_id)), outage)
    except NotFound as error:
        raise JobNotFound(
            f"Job {job_id} of project {project_id} does not exist.",
            hint="It was deleted, or this key may not see it.",
        ) from error
    return answer.training_job


def find_active(*keys: str) -> Flow[list[TrainingJob]]:
    """The jobs, of the whole account, that have not ended and whose names carry one of these keys.

    A part of a key, from its beginning, stands for all that begin so.

    For whoever has to stop the jobs of runs and knows nothing but their identity: see `run_key` and `job_name`.
    """
    active = (yield from send(endpoints.search_jobs(SearchJobs(statuses=list(JobStatus.ACTIVE))))).training_jobs
    carried = {job.id: re.search(r"-([0-9a-f]+)-\d+$", job.name or "") for job in active}
    return [job for job in active if (key := carried[job.id]) and key[1].startswith(keys)]


def find_project(project: str) -> Flow[TrainingProject]:
    """A project, by its id or its name.

    Raises:
        JobNotFound: none matches, or several teams have one of that name.
    """
    projects = (yield from send(endpoints.list_projects())).training_projects
    matching = [each for each in projects if each.id == project] or [each for each in projects if each.name == project]
    if len(matching) > 1:
        ids = ", ".join(f"{each.id} (team {each.team_name or 'none'})" for each in matching)
        raise JobNotFound(f"There are {len(matching)} projects named {project!r}: {ids}.", hint="Use the id.")
    if not matching:
        raise JobNotFound(f"There is no project {project!r}.", hint=_nearest(project, [each.name for each in projects]))
    return matching[0]


def metrics(job: TrainingJob, *, seconds: float | None = None) -> Flow[MetricsAnswer]:
    """Utilization and usage of a job's nodes: of the last so many seconds, or what the server takes for recent."""
    end = yield from now()
    start_millis = None if seconds is None else int((end - seconds) * 1000)
    request = endpoints.job_metrics(job.training_project_id, job.id, start_epoch_millis=start_millis)
    return (yield from send(request))


def _nearest(wanted: str, known: Iterable[str]) -> str | None:
    names: Sequence[str] = list(dict.fromkeys(known))
    near = difflib.get_close_matches(wanted, names, n=3) or names[:3]
    return f"There is {', '.join(near)}." if near else None
