"""The wizard of `deploy-checkpoints`: asks for what a deployment lacks, and for nothing that is said already.

Questions go to stderr, like all that is no result.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import questionary
from prompt_toolkit.application import create_app_session
from prompt_toolkit.output import create_output
from questionary import Choice

from truss_train_core import checkpoints, definitions, deployments, jobs
from truss_train_core.api import endpoints
from truss_train_core.cli import output
from truss_train_core.cli.jobs import search
from truss_train_core.errors import JobNotFound, NoUsableCheckpoint

if TYPE_CHECKING:
    from truss_train_core.api.client import Client
    from truss_train_core.api.models import TrainingJob
    from truss_train_core.checkpoints import Candidate
    from truss_train_core.definitions import DeployCheckpointsConfig

HF_TOKEN = "HF_TOKEN"  # noqa: S105 - the name of a variable
_RECENT = 20
"""How many jobs to choose from."""


def complete(
    client: Client, wanted: DeployCheckpointsConfig, job: TrainingJob | None, project: str | None
) -> DeployCheckpointsConfig:
    """The definition, with what it lacks as the person at the terminal has answered.

    Args:
        client: where to look for what there is to choose from.
        wanted: the definition as far as it is known.
        job: whose checkpoints to choose from; None to ask for that too.
        project: whose jobs to choose from; None for the whole account.

    Raises:
        JobNotFound, NoUsableCheckpoint: there is nothing to choose from.
        KeyboardInterrupt: the person has enough.
    """
    with create_app_session(output=create_output(sys.stderr)):
        details = wanted.checkpoint_details
        if not (details and (details.checkpoints or details.loops_checkpoint_ids)):
            wanted = _with_checkpoints(client, wanted, job or _ask_job(client, project))
        if not wanted.model_name:
            wanted = wanted.model_copy(update={"model_name": _ask_model_name(wanted)})
        if wanted.compute is None:
            wanted = wanted.model_copy(update={"compute": _ask_compute(client)})
        if wanted.runtime is None:
            wanted = wanted.model_copy(update={"runtime": _ask_runtime(client)})
        _confirm(wanted)
    return wanted


def _with_checkpoints(client: Client, wanted: DeployCheckpointsConfig, job: TrainingJob) -> DeployCheckpointsConfig:
    chosen = _ask_checkpoints(client, job)
    wanted = deployments.with_checkpoints(wanted, [each.checkpoint for each in chosen])
    assert wanted.checkpoint_details
    if wanted.checkpoint_details.base_model_id or chosen[0].checkpoint.checkpoint_type != "lora":
        return wanted
    base = _ask_text("Base model of the adapters, as on Hugging Face:")
    details = wanted.checkpoint_details.model_copy(update={"base_model_id": base})
    return wanted.model_copy(update={"checkpoint_details": details})


def _ask_job(client: Client, project: str | None) -> TrainingJob:
    newest_first = search(client, project, active=False)[:_RECENT]
    if not newest_first:
        raise JobNotFound("There is no job, so there is no checkpoint to deploy.")
    choices = [
        Choice(f"{job.training_project.name}  {job.name or ''}  {job.id}  {output.ago(job.created_at)}", value=job)
        for job in newest_first
    ]
    answer: TrainingJob = _select("Checkpoints of which job?", choices)
    return answer


def _ask_checkpoints(client: Client, job: TrainingJob) -> list[Candidate]:
    found = client.run(checkpoints.candidates([job], requirement=checkpoints.deployable))
    usable = [each for each in found if each.rejected is None]
    if not usable:
        lacks = "; ".join(f"{each.checkpoint.checkpoint_id}: {each.rejected}" for each in found)
        raise NoUsableCheckpoint(f"{jobs.describe(job)} has no checkpoint that can be deployed. {lacks}".rstrip())
    choices = [
        Choice(_line_of(each), value=each, disabled=each.rejected, checked=usable == [each]) for each in reversed(found)
    ]
    question = "Which checkpoints? (space marks, enter goes on)"
    check: Any = _go_together  # of the choices' values, which the library takes for texts
    answer: list[Candidate] = questionary.checkbox(question, choices, validate=check).unsafe_ask()
    return answer


def _line_of(candidate: Candidate) -> str:
    checkpoint = candidate.checkpoint
    measured = [f"{name} {output.figure(value)}" for name, value in sorted(candidate.metrics.items())]
    facts = [checkpoint.checkpoint_type or "", output.size(checkpoint.size_bytes), *measured[:3]]
    return "  ".join([checkpoint.checkpoint_id, *filter(None, facts)])


def _go_together(chosen: Sequence[Candidate]) -> bool | str:
    if not chosen:
        return "Mark one with the space bar."
    if len(chosen) > 1 and any(each.checkpoint.checkpoint_type != "lora" for each in chosen):
        return "One deployment serves several LoRA adapters, or one checkpoint of another kind."
    return True


def _ask_model_name(wanted: DeployCheckpointsConfig) -> str:
    base = wanted.checkpoint_details.base_model_id if wanted.checkpoint_details else None
    return _ask_text("Name of the model:", default=(base or "").rpartition("/")[2])


def _ask_compute(client: Client) -> definitions.Compute:
    listed = client.send(endpoints.list_instances()).listed_instances
    counts: dict[str, set[int]] = {}
    for each in listed:
        if each.gpu_type and each.node_count == 1:
            counts.setdefault(each.gpu_type, set()).add(each.gpu_count)
    no_gpu = Choice("none, CPU only", value="")
    kind: str = _select("Which GPU?", [*(Choice(each, value=each) for each in sorted(counts)), no_gpu])
    if not kind:
        return definitions.Compute()
    count = _select("How many?", [Choice(str(each), value=each) for each in sorted(counts[kind])])
    accelerator = definitions.Accelerator(kind.replace("-", "_"))  # listed as A100-40GB
    return definitions.Compute(accelerator=definitions.AcceleratorSpec(accelerator=accelerator, count=count))


def _ask_runtime(client: Client) -> definitions.DeployCheckpointsRuntime:
    names = sorted(each.name for each in client.send(endpoints.list_secrets()).secrets)
    choices = [Choice("none", value=""), *(Choice(name, value=name) for name in names)]
    secret: str = _select(f"Secret with the {HF_TOKEN}, to download the base model?", choices)
    variables = {HF_TOKEN: definitions.SecretReference(name=secret)} if secret else {}
    return definitions.DeployCheckpointsRuntime(environment_variables=variables)


def _confirm(wanted: DeployCheckpointsConfig) -> None:
    assert wanted.checkpoint_details
    names = ", ".join(each.checkpoint_name for each in wanted.checkpoint_details.checkpoints)
    machine = wanted.compute.accelerator if wanted.compute else None
    question = f"Deploy {names} as model {wanted.model_name} on {machine or 'CPU'}?"
    if not questionary.confirm(question, default=True).unsafe_ask():
        raise KeyboardInterrupt


def _ask_text(question: str, default: str = "") -> str:
    def is_given(text: str) -> bool | str:
        return bool(text.strip()) or "Type something."

    answer: str = questionary.text(question, default=default, validate=is_given).unsafe_ask()
    return answer.strip()


def _select(question: str, choices: Sequence[Choice]) -> Any:
    return questionary.select(question, choices).unsafe_ask()
