"""Deploying: one live deployment for a checkpoint, the instance that was asked for, and no wait without an end."""

from __future__ import annotations

from typing import Any

import pytest
from world import SERVES, DeploymentScript, Fault, Killed, World, away, broken, instance

from truss_train_core import deployments
from truss_train_core.api.models import Checkpoint, Deployment, ListedInstance
from truss_train_core.definitions import (
    CheckpointList,
    Compute,
    DeployCheckpointsConfig,
    DeployCheckpointsRuntime,
    FullCheckpoint,
    LocalServer,
    LoRACheckpoint,
    LoRADetails,
    SecretReference,
)
from truss_train_core.deployments.requests import asked_for, served_by
from truss_train_core.errors import (
    AnswerLost,
    DefinitionError,
    DeploymentFailed,
    NotFound,
    Rejected,
    Unreachable,
    WaitTimeout,
)
from truss_train_core.events import DeploymentAdopted, DeploymentCreated, DeploymentStatusChanged, Notice
from truss_train_core.waiting import Limits

CREATE = "create_model_version"


def config(name: str = "checkpoint-20", **more: Any) -> DeployCheckpointsConfig:
    checkpoint = FullCheckpoint(training_job_id="j1", checkpoint_name=name)
    fields: dict[str, Any] = {
        "model_name": "digits",
        "checkpoint_details": CheckpointList(checkpoints=[checkpoint]),
        "compute": Compute(cpu_count=2, memory="8Gi"),
        **more,
    }
    return DeployCheckpointsConfig(**fields)


def deploy(world: World, definition: DeployCheckpointsConfig | None = None, **kills: int) -> Deployment:
    return world.run(deployments.deploy(definition or config()), **kills)


@pytest.fixture
def world() -> World:
    return World()


# ---------------------------------------------------------------- exactly once


def test_a_checkpoint_is_deployed_and_deployed_again_it_is_adopted(world: World) -> None:
    first, second = deploy(world), deploy(world)
    assert first.id == second.id == "d1"
    assert len(world.heard(DeploymentCreated)) == 1
    assert [event.deployment_id for event in world.heard(DeploymentAdopted)] == ["d1"]


def test_another_checkpoint_or_another_model_is_another_deployment(world: World) -> None:
    ids = [deploy(world, each).id for each in (config(), config("checkpoint-30"), config(model_name="other"), config())]
    assert ids == ["d1", "d2", "d3", "d1"]


def test_a_set_of_adapters_is_adopted_only_as_that_set(world: World) -> None:
    def adapters(*names: str) -> DeployCheckpointsConfig:
        several = [LoRACheckpoint(training_job_id="j1", checkpoint_name=name) for name in names]
        return config(checkpoint_details=CheckpointList(checkpoints=several))

    assert deploy(world, adapters("a", "b")).id == "d1"
    assert deploy(world, adapters("a")).id == "d2"
    assert deploy(world, adapters("b", "a")).id == "d1"


@pytest.mark.parametrize("status", ["DEPLOY_FAILED", "INACTIVE", "DEACTIVATING", "BUILD_FAILED", "FAILED"])
def test_a_dead_deployment_is_not_adopted(world: World, status: str) -> None:
    world.deployment_script = lambda: DeploymentScript([(0, status)])
    deploy(world)
    assert deploy(world).id == "d2"


@pytest.mark.parametrize("answer", ["lost", "500"])
@pytest.mark.parametrize("late", [0.0, 5.0])
def test_a_create_whose_answer_was_lost_is_found_by_what_it_serves(world: World, answer: str, late: float) -> None:
    world.faults, world.late = [Fault(CREATE, answer)], late
    assert deploy(world).id == "d1"
    assert len(world.deployments) == 1


def test_a_create_that_was_not_carried_out_is_made_again(world: World) -> None:
    world.faults = [Fault(CREATE, AnswerLost("gone"), times=2)]
    assert deploy(world).id == "d1"


def test_a_lookup_that_fails_creates_nothing(world: World) -> None:
    for pattern in ("GET /v1/models$", "GET .*/deployments$", "GET .*/config$"):
        world.faults = []
        deploy(world)
        world.faults = [Fault(pattern, away())]
        with pytest.raises(Unreachable):
            deploy(world)
    assert len(world.deployments) == 1


def test_an_older_twin_of_another_process_stays_and_ours_is_deactivated(world: World) -> None:
    request = deployments.template_request(config(), "i-cpu")

    def backdated_twin() -> None:
        world.after_create = lambda: None
        world.add_deployment(request).created -= 5

    world.after_create = backdated_twin
    assert deploy(world).id == "d2"
    assert [each.id for each in world.live_deployments()] == ["d2"]
    assert "was deactivated: d2" in world.heard(Notice)[0].text


def test_a_deployment_that_a_person_made_is_never_deactivated(world: World) -> None:
    for _ in range(2):
        world.add_deployment(deployments.template_request(config(), "i-cpu"))
    assert deploy(world).id == "d1"
    assert len(world.live_deployments()) == 2


def test_labels_that_name_the_checkpoint_spare_the_look_at_its_configuration(world: World) -> None:
    deploy(world)
    plain = world._deployment
    world._deployment = lambda each: {**plain(each), "labels": {"job": "j1", "checkpoint": "checkpoint-20"}}  # type: ignore[method-assign]
    assert deploy(world).id == "d1"
    assert world.called("/config$") == 1


def test_killed_before_or_after_any_effect_and_called_again_there_is_one_deployment() -> None:
    whole = World()
    deploy(whole)
    for when in ("kill_before", "kill_after"):
        for n in range(whole.effects):
            world = World()
            with pytest.raises(Killed):
                deploy(world, **{when: n})
            deploy(world)
            assert len(world.deployments) == 1, (when, n)


# ---------------------------------------------------------------- the request


def test_the_request_is_the_current_clients() -> None:
    definition = config(
        runtime=DeployCheckpointsRuntime(
            environment_variables={"A": "1", "HF_TOKEN": SecretReference(name="hf_access_token")},
            local_server=LocalServer(start_command="python serve.py"),
        )
    )
    assert deployments.template_request(definition, "i-cpu") == {
        "metadata": {"oracle_name": "digits"},
        "weights_sources": [
            {
                "weight_source_type": "B10_CHECKPOINTING",
                "b10_training_checkpoint_weights_source": {
                    "checkpoint": {"training_job_id": "j1", "checkpoint_name": "checkpoint-20"}
                },
            }
        ],
        "inference_stack": {
            "stack_type": "VLLM",
            "environment_variables": [
                {"name": "A", "value": "1", "is_secret_reference": False},
                {"name": "HF_TOKEN", "value": "hf_access_token", "is_secret_reference": True},
            ],
        },
        "instance_type_id": "i-cpu",
        "dry_run": False,
    }


def test_the_local_server_is_an_extension_for_local_platforms_only(world: World) -> None:
    runtime = DeployCheckpointsRuntime(local_server=LocalServer(start_command="python serve.py"))
    seen: list[Any] = []
    route = world._route
    world._route = lambda request, call: (seen.append(request), route(request, call))[1]  # type: ignore[method-assign]
    deploy(world, config(runtime=runtime))
    (create,) = [request for request in seen if request.body and "mutation" in request.body.get("query", "")]
    assert create.local_extension["extensions"]["local_server"]["start_command"] == "python serve.py"
    assert "serve.py" not in str(create.body)


def test_loops_checkpoints_are_deployed_by_their_ids_and_found_again() -> None:
    definition = config(checkpoint_details=CheckpointList(loops_checkpoint_ids=["l1"]))
    request = deployments.template_request(definition, "i")
    assert request["weights_sources"] == [
        {
            "weight_source_type": "B10_LOOPS_CHECKPOINTING",
            "b10_loops_checkpoint_weights_source": {"loops_checkpoint_id": "l1"},
        }
    ]
    assert served_by({"training_checkpoints": {"loops_checkpoint_ids": ["l1"]}}) == asked_for(definition)


@pytest.mark.parametrize(
    "path", ["rank-0/checkpoint-20/", "rank-*/checkpoint-20", "checkpoint-20/", "rank-0/checkpoint-20/model"]
)
def test_a_checkpoint_is_read_from_any_form_of_path(path: str) -> None:
    section = {"artifact_references": [{"training_job_id": "j1", "paths": [path]}]}
    assert served_by({"training_checkpoints": section}) == {("j1", "checkpoint-20")}


@pytest.mark.parametrize("configuration", [None, {}, {"training_checkpoints": None}, {"model_name": "x"}])
def test_a_deployment_of_something_else_serves_no_checkpoint(configuration: Any) -> None:
    assert served_by(configuration) == frozenset()


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (config(checkpoint_details=None), "names no checkpoint"),
        (config(model_name=None), "has no model name"),
        (config(compute=None), "does not say what it runs on"),
        (
            config(compute=Compute(accelerator="H100:8")),
            "No instance type has H100:8.*largest of that kind is h100",
        ),
        (config(compute=Compute(accelerator="L4")), "No instance type has L4.*There is H100"),
        (
            config(
                checkpoint_details=CheckpointList(
                    checkpoints=[FullCheckpoint(training_job_id="j1", checkpoint_name=name) for name in ("a", "b")]
                )
            ),
            "names 2 checkpoints, not all of them LoRA",
        ),
    ],
)
def test_a_definition_that_cannot_be_deployed_is_refused_before_anything_is_created(
    world: World, definition: DeployCheckpointsConfig, message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        deploy(world, definition)
    assert not world.deployments


def test_a_preview_creates_nothing(world: World) -> None:
    assert "checkpoint-20" in (world.run(deployments.preview(config())).truss_config or "")
    assert not world.deployments


def test_a_chosen_checkpoint_takes_its_place_in_the_definition() -> None:
    chosen = Checkpoint.model_validate(
        {
            "training_job_id": "j9",
            "checkpoint_id": "checkpoint-7",
            "created_at": "2026-01-01T00:00:00Z",
            "checkpoint_type": "lora",
            "base_model": "org/base",
            "lora_adapter_config": {"r": 64},
        }
    )
    definition = deployments.with_checkpoint(config(), chosen)
    assert definition.model_name == "digits"
    assert definition.checkpoint_details == CheckpointList(
        base_model_id="org/base",
        checkpoints=[
            LoRACheckpoint(training_job_id="j9", checkpoint_name="checkpoint-7", lora_details=LoRADetails(rank=64))
        ],
    )
    with pytest.raises(DefinitionError, match="its type is unknown"):
        deployments.with_checkpoint(config(), chosen.model_copy(update={"checkpoint_type": None}))


# ---------------------------------------------------------------- instances

INSTANCES = [
    ListedInstance.model_validate(each)
    for each in (
        instance("cpu-large", 0, None, 16, 64),
        instance("cpu-small", 0, None, 4, 16),
        instance("cpu-cluster", 0, None, 4, 16, nodes=2),
        instance("a100-40", 1, "A100-40GB", 12, 85),
        instance("a100-80", 1, "A100", 12, 170),
        instance("h100x8", 8, "H100", 208, 1872),
        instance("h100x2", 2, "H100", 52, 468),
        instance("rtx", 1, "RTX PRO 6000", 12, 100),
    )
]


@pytest.mark.parametrize(
    ("compute", "name"),
    [
        (Compute(), "cpu-small"),
        (Compute(cpu_count=4, memory="16Gi"), "cpu-small"),
        (Compute(cpu_count=5), "cpu-large"),
        (Compute(memory="16.5Gi"), "cpu-large"),
        (Compute(accelerator="A100_40GB"), "a100-40"),
        (Compute(accelerator="A100"), "a100-80"),
        (Compute(accelerator="H100"), "h100x2"),
        (Compute(accelerator="H100:3"), "h100x8"),
        (Compute(accelerator="H100", memory="500Gi"), "h100x8"),
        (Compute(accelerator="RTX_PRO_6000"), "rtx"),
    ],
)
def test_the_smallest_instance_that_fits_is_chosen(compute: Compute, name: str) -> None:
    assert deployments.choose_instance(compute, INSTANCES).name == name
    assert deployments.choose_instance(compute, INSTANCES[::-1]).name == name


# ---------------------------------------------------------------- serving


def wait(world: World, **more: Any) -> Deployment:
    return world.run(deployments.wait_until_serving(deploy(world), **more))


def test_a_deployment_is_got_by_its_ids_through_an_outage(world: World) -> None:
    made = deploy(world)
    world.faults = [Fault("GET .*/deployments/d1$", away(), times=3)]
    assert world.run(deployments.get(made.model_id, made.id, outage=600)).id == made.id
    world.faults = [Fault("GET .*/deployments/d1$", away())]
    with pytest.raises(Unreachable):
        world.run(deployments.get(made.model_id, made.id))


def test_getting_a_deployment_that_is_not_there_says_so(world: World) -> None:
    with pytest.raises(NotFound):
        world.run(deployments.get("m1", "nowhere", outage=600))


def test_a_deployment_is_waited_for_until_it_serves(world: World) -> None:
    assert wait(world).status == "ACTIVE"
    assert [event.status for event in world.heard(DeploymentStatusChanged)] == [status for _, status in SERVES]


@pytest.mark.parametrize("statuses", [[(0, "SCALED_TO_ZERO")], [(0, "UNHEALTHY"), (60, "ACTIVE")]])
def test_scaled_to_zero_is_ready_and_unhealthy_may_pass(world: World, statuses: Any) -> None:
    world.deployment_script = lambda: DeploymentScript(statuses)
    assert wait(world).is_ready


@pytest.mark.parametrize("status", ["BUILD_FAILED", "DEPLOY_FAILED", "FAILED", "INACTIVE", "BUILD_STOPPED"])
def test_a_deployment_that_died_is_an_error_with_its_last_lines(world: World, status: str) -> None:
    world.deployment_script = lambda: DeploymentScript([(0, "BUILDING"), (30, status)])
    with pytest.raises(DeploymentFailed, match=rf"d1 of model m1 is {status}: CUDA out of memory") as caught:
        wait(world)
    assert (caught.value.model_id, caught.value.deployment_id, caught.value.status) == ("m1", "d1", status)


def test_a_dead_deployment_whose_log_cannot_be_read_is_the_same_error(world: World) -> None:
    world.deployment_script = lambda: DeploymentScript([(0, "FAILED")])
    world.faults = [Fault("/logs", broken())]
    with pytest.raises(DeploymentFailed, match="is FAILED"):
        wait(world)


def test_a_wait_without_an_end_ends_and_says_what_it_may_cost(world: World) -> None:
    world.deployment_script = lambda: DeploymentScript([(0, "LOADING_MODEL")])
    with pytest.raises(WaitTimeout, match=r"still LOADING_MODEL after 3600 s.*cost money.*deactivate"):
        wait(world)
    with pytest.raises(WaitTimeout, match="after 60 s"):
        wait(world, limits=Limits(timeout=60))


def test_an_outage_does_not_end_the_wait(world: World) -> None:
    deployment = deploy(world)
    world.faults = [Fault("GET .*/deployments/d1$", away(), times=20)]
    assert world.run(deployments.wait_until_serving(deployment)).is_ready


def test_a_deleted_deployment_is_not_waited_for(world: World) -> None:
    deployment = deploy(world)
    world.deployments.clear()
    with pytest.raises(DeploymentFailed, match="was deleted"):
        world.run(deployments.wait_until_serving(deployment))


def test_a_deployment_that_wakes_up_is_asked_until_it_answers(world: World) -> None:
    deployment = deploy(world)
    assert world.run(deployments.ask(deployment, {"image": []}, path="sync/v1/x")) == {"digit": 7, "path": "sync/v1/x"}
    assert world.called("/model-m1/deployment/d1/sync/v1/x") > 1


def test_a_question_that_is_wrong_is_not_repeated(world: World) -> None:
    deployment = deploy(world)
    world.faults = [Fault("/model-", Rejected("image must be 8 rows", status=400), times=9)]
    with pytest.raises(Rejected):
        world.run(deployments.ask(deployment, {}))
    assert world.called("/model-") == 1
