"""The definitions: what they accept, refuse, warn of, keep to themselves and turn into."""

import copy
import json
import pickle
import subprocess
import sys
import warnings

import pydantic
import pytest

from truss_train_core import definitions
from truss_train_core.definitions import (
    Accelerator,
    AcceleratorSpec,
    AvailabilityModel,
    BasetenCheckpoint,
    CacheConfig,
    Checkpoint,
    CheckpointList,
    Compute,
    DeployCheckpointsConfig,
    DeployCheckpointsRuntime,
    DockerAuth,
    DockerAuthType,
    FullCheckpoint,
    Image,
    InteractiveSession,
    InteractiveSessionTrigger,
    LoadCheckpointConfig,
    LocalServer,
    LoopsCheckpoint,
    LoRACheckpoint,
    LoRADetails,
    ModelWeightsFormat,
    Runtime,
    SecretReference,
    TrainingJob,
    TrainingProject,
    WeightsAuth,
    WeightsSource,
    WhisperCheckpoint,
)

MODELS = [
    value
    for value in (getattr(definitions, name) for name in definitions.__all__)
    if isinstance(value, type) and issubclass(value, pydantic.BaseModel)
]


def job(**fields) -> TrainingJob:
    return TrainingJob(image=Image(base_image="python:3.11-slim"), **fields)


def checkpoint(cls=FullCheckpoint, **fields):
    return cls(training_job_id="gvpql31", checkpoint_name="checkpoint-24", **fields)


# What is documented


@pytest.mark.parametrize(
    ("cls", "defaults"),
    [
        ("TrainingProject", {"name": ..., "job": ..., "team_name": None}),
        ("TrainingJob", {"image": ..., "name": None}),
        ("Image", {"base_image": ..., "docker_auth": None}),
        ("AWSIAMDockerAuth", {"access_key_secret_ref": ..., "secret_access_key_secret_ref": ...}),
        ("GCPServiceAccountJSONDockerAuth", {"service_account_json_secret_ref": ...}),
        ("Compute", {"node_count": 1, "cpu_count": 1, "memory": "2Gi", "accelerator": None}),
        ("AcceleratorSpec", {"accelerator": None, "count": 1}),
        (
            "Runtime",
            {"start_commands": [], "environment_variables": {}, "cache_config": None, "load_checkpoint_config": None},
        ),
        ("SecretReference", {"name": ...}),
        ("CheckpointingConfig", {"enabled": False, "checkpoint_path": None, "volume_size_gib": None}),
        (
            "CacheConfig",
            {
                "enabled": False,
                "enable_legacy_hf_mount": False,
                "require_cache_affinity": True,
                "mount_base_path": "/root/.cache",
            },
        ),
        ("LoadCheckpointConfig", {"enabled": False, "download_folder": "/tmp/loaded_checkpoints"}),
        ("DeployCheckpointsConfig", {"checkpoint_details": None, "model_name": None, "runtime": None, "compute": None}),
        ("DeployCheckpointsRuntime", {"environment_variables": {}}),
        ("CheckpointList", {"download_folder": "/tmp/training_checkpoints", "base_model_id": None, "checkpoints": []}),
        ("FullCheckpoint", {"training_job_id": ..., "checkpoint_name": ..., "model_weight_format": "full"}),
        ("LoRACheckpoint", {"training_job_id": ..., "checkpoint_name": ..., "model_weight_format": "lora"}),
        ("LoRADetails", {"rank": 16}),
    ],
)
def test_fields_have_the_documented_names_and_defaults(cls, defaults):
    fields = getattr(definitions, cls).model_fields
    found = {
        name: ... if fields[name].is_required() else fields[name].get_default(call_default_factory=True)
        for name in defaults
    }
    assert found == defaults


def test_enums_have_the_documented_values():
    documented = {"T4", "L4", "A10G", "V100", "A100", "A100_40GB", "H100", "H100_40GB", "H200", "B200"}
    assert documented | {"L40S", "RTX_PRO_6000", "B300", "GB300"} == {member.value for member in Accelerator}
    assert {"lora", "full", "whisper"} == {member.value for member in ModelWeightsFormat}
    assert {"dedicated", "spot"} == {member.value for member in AvailabilityModel}
    assert {member.value for member in DockerAuthType} == {
        "AWS_IAM",
        "AWS_OIDC",
        "AWS_ASSUME_ROLE",
        "GCP_OIDC",
        "GCP_SERVICE_ACCOUNT_JSON",
        "REGISTRY_SECRET",
    }


def test_defaults_are_not_shared_between_objects():
    job().runtime.start_commands.append("python train.py")
    assert job().runtime.start_commands == []


# What is accepted beyond that


@pytest.mark.parametrize(
    ("enum", "text", "member"),
    [
        (Accelerator, "h100", Accelerator.H100),
        (Accelerator, "A100-40GB", Accelerator.A100_40GB),
        (AvailabilityModel, "SPOT", AvailabilityModel.SPOT),
        (DockerAuthType, "aws_iam", DockerAuthType.AWS_IAM),
        (InteractiveSessionTrigger, "on-failure", InteractiveSessionTrigger.ON_FAILURE),
    ],
)
def test_enums_are_found_by_their_text_in_any_natural_case(enum, text, member):
    assert enum(text) is member
    assert pydantic.TypeAdapter(enum).validate_python(text) is member
    assert pydantic.TypeAdapter(enum).validate_json(json.dumps(text)) is member


def test_enum_members_format_as_their_text():
    assert f"{Accelerator.H100} {AvailabilityModel.SPOT}" == "H100 spot"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("H100", "H100"),
        ("H100:8", "H100:8"),
        ("h200:2", "H200:2"),
        (Accelerator.L4, "L4"),
        ({"accelerator": "B200", "count": "4"}, "B200:4"),
        (AcceleratorSpec(accelerator=Accelerator.T4, count=2), "T4:2"),
        (AcceleratorSpec(), ""),
    ],
)
def test_accelerators_are_objects_text_or_dicts(given, text):
    assert str(Compute(accelerator=given).accelerator) == text


def test_an_accelerator_is_sent_as_an_object_never_as_text():
    compute = Compute(accelerator="H100:8")
    sent = {"accelerator": "H100", "count": 8}
    assert compute.model_dump()["accelerator"] == sent
    assert json.loads(compute.model_dump_json())["accelerator"] == sent


@pytest.mark.parametrize(
    ("reference", "sent"),
    [
        (
            BasetenCheckpoint.from_latest_checkpoint(project_name="p"),
            {"typ": "baseten_latest_checkpoint", "project_name": "p", "job_id": None},
        ),
        (
            BasetenCheckpoint.from_named_checkpoint("checkpoint-24", job_id="j"),
            {"typ": "baseten_named_checkpoint", "checkpoint_name": "checkpoint-24", "job_id": "j"},
        ),
        (
            BasetenCheckpoint.from_named_checkpoint("checkpoint-24", project_name="p"),
            {"typ": "baseten_named_checkpoint", "checkpoint_name": "checkpoint-24", "project_name": "p"},
        ),
        (
            LoopsCheckpoint.from_checkpoint("r", "step-1", target="sampler"),
            {"typ": "loops_checkpoint", "run_id": "r", "checkpoint_name": "step-1", "target": "sampler"},
        ),
    ],
)
def test_checkpoint_references_can_be_dicts_with_or_without_their_type(reference, sent):
    assert reference.model_dump() == sent
    untyped = {name: value for name, value in sent.items() if name != "typ"}
    assert LoadCheckpointConfig(checkpoints=[sent, untyped]).checkpoints == [reference, reference]


def test_enable_cache_becomes_a_cache_config():
    with pytest.warns(DeprecationWarning, match="use cache_config"):
        runtime = Runtime(enable_cache=True)
    assert runtime.cache_config == CacheConfig(enabled=True, enable_legacy_hf_mount=True)
    assert runtime.enable_cache is None
    with pytest.warns(DeprecationWarning, match="use cache_config"):
        assert Runtime(enable_cache=False).cache_config == CacheConfig(enabled=False)


def test_what_is_given_is_not_changed():
    given = {"environment_variables": {"A": {"name": "a"}}, "enable_cache": True}
    before = copy.deepcopy(given)
    with pytest.warns(DeprecationWarning, match="enable_cache"):
        Runtime.model_validate(given)
    assert given == before


@pytest.mark.parametrize(
    ("text", "size"), [("2Gi", 2 * 2**30), ("1.5G", 1_500_000_000), ("512Mi", 2**29), ("1000", 1000)]
)
def test_memory_is_a_number_and_a_unit(text, size):
    assert Compute(memory=text).memory_bytes == size


def test_models_of_truss_are_read_by_their_fields():
    def of_truss(cls, /, **fields):
        namespace = {"__module__": "truss_train.definitions", "__annotations__": dict.fromkeys(fields, object)}
        return type(cls, (pydantic.BaseModel,), namespace)(**fields)

    accelerator = of_truss("AcceleratorSpec", accelerator="H100", count=2)
    variables = {"A": "a", "B": of_truss("SecretReference", name="b")}
    theirs = of_truss(
        "TrainingJob",
        image=of_truss("Image", base_image="python:3.11-slim"),
        compute=of_truss("Compute", accelerator=accelerator),
        runtime=of_truss("Runtime", environment_variables=variables),
    )
    ours = job(
        compute=Compute(accelerator="H100:2"),
        runtime=Runtime(environment_variables={"A": "a", "B": SecretReference(name="b")}),
    )
    assert TrainingProject(name="p", job=theirs).job == ours


# What is refused


@pytest.mark.parametrize("text", ["H100:2:3", "H100:", "H100:0", "H100:-1", "H100:x", ":8", ""])
def test_an_accelerator_text_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="is not TYPE or TYPE:COUNT"):
        Compute(accelerator=text)


def test_an_unknown_accelerator_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'H1000' is not one of T4, .*H100, .*RTX_PRO_6000"):
        Compute(accelerator="H1000:8")


@pytest.mark.parametrize("memory", ["lots", "", "Gi", "2GiB", "2gi", "2 Gi", "-1Gi", "1.Gi", "2Gi\n"])
def test_memory_of_another_form_is_refused(memory):
    with pytest.raises(ValueError, match="is not a number with one of k, M, G"):
        Compute(memory=memory)


@pytest.mark.parametrize(
    ("cls", "field"),
    [
        (Compute, "node_count"),
        (Compute, "cpu_count"),
        (AcceleratorSpec, "count"),
        (definitions.CheckpointingConfig, "volume_size_gib"),
        (LoRADetails, "rank"),
        (InteractiveSession, "timeout_minutes"),
    ],
)
def test_counts_below_one_are_refused_when_built_and_when_assigned(cls, field):
    with pytest.raises(ValueError, match=field):
        cls(**{field: 0})
    existing = cls()
    before = getattr(existing, field)
    with pytest.raises(ValueError, match=field):
        setattr(existing, field, 0)
    assert getattr(existing, field) == before


def test_a_session_without_limit_is_minus_one():
    assert InteractiveSession(timeout_minutes=-1).timeout_minutes == -1
    with pytest.raises(ValueError, match="-1 for no limit"):
        InteractiveSession(timeout_minutes=-2)


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
def test_an_unknown_field_is_named_with_the_nearest_known_one(cls):
    known = list(cls.model_fields)[-1]
    with pytest.raises(ValueError, match=f"no field '{known}_'; did you mean '{known}'"):
        cls.model_validate({f"{known}_": 1})


def test_assigning_an_unknown_field_is_refused_with_the_nearest_known_one():
    with pytest.raises(ValueError, match="Compute: there is no field 'node_counts'; did you mean 'node_count'"):
        Compute().node_counts = 2


def test_the_latest_checkpoint_of_nothing_is_refused():
    with pytest.raises(ValueError, match="needs a project_name, a job_id, or both"):
        BasetenCheckpoint.from_latest_checkpoint()


def test_a_named_checkpoint_of_nothing_is_refused():
    with pytest.raises(ValueError, match="needs a job_id, a project_name, or both"):
        BasetenCheckpoint.from_named_checkpoint("checkpoint-24")


@pytest.mark.parametrize("reference", [3, {"typ": "another"}, {"checkpoint_name": ""}])
def test_what_is_no_checkpoint_reference_is_refused(reference):
    with pytest.raises(ValueError, match=r"checkpoints\.0"):
        LoadCheckpointConfig(checkpoints=[reference])


def test_enable_cache_beside_cache_config_is_refused():
    with pytest.raises(ValueError, match="remove enable_cache"):
        Runtime(enable_cache=True, cache_config=CacheConfig(enabled=True))


@pytest.mark.parametrize("settings", [{}, {"registry_secret_docker_auth": {"secret_ref": {"name": "login"}}}])
def test_docker_settings_must_fit_their_method(settings):
    with pytest.raises(ValueError, match="AWS_OIDC needs aws_oidc_docker_auth and no other"):
        DockerAuth(auth_method="AWS_OIDC", registry="r", **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"aws_oidc_role_arn": "arn"},
        {"aws_oidc_role_arn": "arn", "aws_oidc_region": ""},
        {"aws_oidc_role_arn": "arn", "aws_oidc_region": "us-west-2", "auth_secret_name": "s"},
    ],
)
def test_weights_settings_must_fit_their_method(settings):
    with pytest.raises(ValueError, match="AWS_OIDC needs aws_oidc_region and aws_oidc_role_arn and nothing else"):
        WeightsAuth(auth_method="aws_oidc", **settings)


@pytest.mark.parametrize(
    "source",
    ["owner/repo", "ftp://host/x", "bt://project/latest", "s3://", "s3:///path", "s3://bucket/x@main", "hf:///x"],
)
def test_weights_of_unknown_origin_are_refused(source):
    with pytest.raises(ValueError, match="source"):
        WeightsSource(source=source, mount_location="/w")


def test_weights_are_mounted_at_different_absolute_paths():
    with pytest.raises(ValueError, match="absolute path"):
        WeightsSource(source="hf://owner/repo", mount_location="w")
    with pytest.raises(ValueError, match="more than one source is mounted at /w"):
        job(weights=[WeightsSource(source=f"hf://owner/{name}", mount_location="/w") for name in "ab"])


def test_the_secret_of_weights_is_named_once():
    auth = WeightsAuth(auth_method="CUSTOM_SECRET", auth_secret_name="a")
    with pytest.raises(ValueError, match="not in both"):
        WeightsSource(source="s3://b/p", mount_location="/w", auth=auth, auth_secret_name="a")


# Deploying


@pytest.mark.parametrize("rank", definitions.LORA_RANKS)
def test_documented_lora_ranks_do_not_warn(rank):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert LoRADetails(rank=rank).rank == rank


def test_another_lora_rank_warns_where_it_is_written():
    with pytest.warns(UserWarning, match="rank 7 is not one of the documented") as caught:
        assert LoRADetails(rank=7).rank == 7
    assert caught[0].filename == __file__


def test_a_list_of_checkpoints_keeps_what_each_kind_has_of_its_own():
    checkpoints = [checkpoint(LoRACheckpoint, lora_details=LoRADetails(rank=64)), checkpoint(WhisperCheckpoint)]
    listed = CheckpointList(checkpoints=checkpoints)
    for dumped in (listed.model_dump(), json.loads(listed.model_dump_json())):
        assert dumped["checkpoints"][0]["lora_details"] == {"rank": 64}
        assert CheckpointList.model_validate(dumped) == listed


def test_a_checkpoint_written_as_a_dict_is_of_the_class_of_its_format():
    listed = CheckpointList(
        checkpoints=[
            {"training_job_id": "j", "checkpoint_name": "c", "model_weight_format": "LoRA", "lora_details": {"rank": 8}}
        ]
    )
    assert listed.checkpoints == [
        LoRACheckpoint(training_job_id="j", checkpoint_name="c", lora_details=LoRADetails(rank=8))
    ]
    with pytest.raises(ValueError, match=r"checkpoints\.0\n.*no field 'lora_detail'; did you mean 'lora_details'"):
        CheckpointList(checkpoints=[{"model_weight_format": "lora", "lora_detail": {}}])


def test_a_checkpoint_has_the_format_of_its_class():
    assert checkpoint(model_weight_format="FULL") == checkpoint()
    assert checkpoint(Checkpoint, model_weight_format="lora").model_weight_format is ModelWeightsFormat.LORA
    with pytest.raises(ValueError, match="model_weight_format"):
        checkpoint(FullCheckpoint, model_weight_format="lora")


def test_checkpoints_of_jobs_and_of_loops_runs_are_not_deployed_together():
    with pytest.raises(ValueError, match="cannot be deployed together"):
        CheckpointList(checkpoints=[checkpoint()], loops_checkpoint_ids=["l"])


def test_the_local_server_is_in_no_dump():
    runtime = DeployCheckpointsRuntime(local_server=LocalServer(start_command="python serve.py --port $PORT"))
    config = DeployCheckpointsConfig(model_name="digits", runtime=runtime)
    assert config.runtime.local_server.predict_endpoint == "/v1/predict"
    for dumped in (str(config.model_dump()), config.model_dump_json(), str(config.model_dump(include={"runtime"}))):
        assert "serve.py" not in dumped
        assert "local_server" not in dumped


# Secrets


def test_values_of_environment_variables_are_in_no_repr_and_no_error():
    secret = "hunter2"
    runtime = Runtime(environment_variables={"TOKEN": secret})
    deploy = DeployCheckpointsConfig(runtime=DeployCheckpointsRuntime(environment_variables={"TOKEN": secret}))
    shown = [
        repr(runtime),
        str(runtime),
        repr(job(runtime=runtime)),
        repr(TrainingProject(name="p", job=job(runtime=runtime))),
    ]
    shown += [repr(deploy), str(deploy)]
    for wrong in (
        {"environment_variables": secret},
        {"environment_variables": {"TOKEN": [secret]}},
        {"environment_variables": {"TOKEN": {"name": [secret]}}},
        {"environment_variables": {"TOKEN": secret}, "start_command": secret},
    ):
        with pytest.raises(ValueError, match="Runtime") as caught:
            Runtime.model_validate(wrong)
        shown.append(str(caught.value))
    with pytest.raises(ValueError, match="environment_variables") as caught:
        runtime.environment_variables = {"TOKEN": [secret]}
    shown.append(str(caught.value))
    assert not [text for text in shown if secret in text]


def test_an_environment_variable_is_text_or_a_reference():
    with pytest.raises(
        ValueError, match=r"environment_variables\.EPOCHS\n.*a string or a SecretReference is needed, not int"
    ):
        Runtime(environment_variables={"EPOCHS": 3})


# As values


def test_a_project_survives_json_pickle_and_copy():
    project = TrainingProject(
        name="p",
        team_name="t",
        job=job(
            compute=Compute(accelerator="H100:8", availability_model="spot"),
            runtime=Runtime(
                environment_variables={"A": "a", "B": SecretReference(name="b")},
                load_checkpoint_config=LoadCheckpointConfig(
                    enabled=True, checkpoints=[LoopsCheckpoint.from_checkpoint("r", "c")]
                ),
            ),
        ),
    )
    assert TrainingProject.model_validate_json(project.model_dump_json()) == project
    assert TrainingProject.model_validate(project.model_dump()) == project
    assert pickle.loads(pickle.dumps(project)) == copy.deepcopy(project) == project


def test_the_body_is_a_copy():
    training_job = job(runtime=Runtime(start_commands=["a"]))
    training_job.wire_body()["runtime"]["start_commands"].append("b")
    assert training_job.runtime.start_commands == ["a"]


def test_everything_exported_exists_and_truss_names_are_among_it():
    assert all(hasattr(definitions, name) for name in definitions.__all__)
    assert {
        *("Accelerator", "AcceleratorSpec", "AvailabilityModel", "AWSAssumeRoleDockerAuth", "AWSIAMDockerAuth"),
        *("AWSOIDCDockerAuth", "BasetenCheckpoint", "CacheConfig", "CheckpointingConfig", "CheckpointList", "Compute"),
        *("DeployCheckpointsConfig", "DeployCheckpointsRuntime", "DockerAuth", "DockerAuthType", "FullCheckpoint"),
        *("GCPOIDCDockerAuth", "GCPServiceAccountJSONDockerAuth", "Image", "InteractiveSession"),
        *("InteractiveSessionAuthProvider", "InteractiveSessionProvider", "InteractiveSessionTrigger"),
        *("LoadCheckpointConfig", "LoopsCheckpoint", "LoRACheckpoint", "LoRADetails", "ModelWeightsFormat"),
        *("RegistrySecretDockerAuth", "Runtime", "SecretReference", "TrainingJob", "TrainingProject", "WeightsAuth"),
        *("WeightsAuthMethod", "WeightsSource", "WhisperCheckpoint", "Workspace"),
    } <= set(definitions.__all__)


def test_definitions_need_no_http_client():
    code = "import sys, truss_train_core.definitions; sys.exit('httpx' in sys.modules or 'obstore' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_default_list_or_dict_is_its_objects_own() -> None:
    first, second = definitions.Runtime(), definitions.Runtime()
    first.start_commands.append("true")
    first.environment_variables["A"] = "1"
    assert (second.start_commands, second.environment_variables) == ([], {})
