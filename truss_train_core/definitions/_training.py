"""A training job and the project it belongs to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, JsonValue, field_validator, model_validator
from typing_extensions import Self

from ._base import Choice, Definition, Text
from ._checkpoints import CheckpointingConfig, LoadCheckpointConfig
from ._compute import Compute
from ._docker import Image
from ._parameters import Parameter, as_variables, expect_json
from ._secrets import EnvironmentVariables, SecretReference
from ._weights import WeightsSource

DEFAULT_INTERACTIVE_SESSION_TIMEOUT_MINUTES = 8 * 60


class CacheConfig(Definition):
    """Directories that outlive the job, shared by the project's jobs and by the team's.

    Attributes:
        enabled: off by default.
        enable_legacy_hf_mount: also mount the old Hugging Face cache.
        require_cache_affinity: run only where the cache is; the job fails when its GPU type is not there.
        mount_base_path: directory under which they are mounted.
    """

    enabled: bool = False
    enable_legacy_hf_mount: bool = False
    require_cache_affinity: bool = True
    mount_base_path: str = "/root/.cache"


class Runtime(Definition):
    """What runs in a job's containers, and with what around it.

    Attributes:
        start_commands: run one after the other, the same on every node.
        environment_variables: strings and secret references by name; not shown in reprs.
        enable_cache: deprecated; becomes a `cache_config` and is None ever after.
    """

    start_commands: list[str] = Field(default=[])
    environment_variables: EnvironmentVariables = Field(default={}, repr=False)
    enable_cache: bool | None = Field(default=None, frozen=True)
    checkpointing_config: CheckpointingConfig = Field(default_factory=CheckpointingConfig)
    load_checkpoint_config: LoadCheckpointConfig | None = None
    cache_config: CacheConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _replace_enable_cache(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("enable_cache") is None:
            return data
        if data.get("cache_config") is not None:
            raise ValueError("enable_cache is deprecated and cannot stand beside cache_config; remove enable_cache")
        warnings.warn("enable_cache is deprecated; use cache_config", DeprecationWarning, stacklevel=3)
        enabled = data["enable_cache"]
        cache = {"enabled": enabled, "enable_legacy_hf_mount": enabled}
        return {**data, "enable_cache": None, "cache_config": cache}


class InteractiveSessionTrigger(Choice):
    """When a session opens. With ON_FAILURE the container is kept, and paid for, until the session times out."""

    ON_STARTUP = "on_startup"
    ON_FAILURE = "on_failure"
    ON_DEMAND = "on_demand"


class InteractiveSessionProvider(Choice):
    """What one works with in a session."""

    VS_CODE = "vs_code"
    CURSOR = "cursor"
    SSH = "ssh"


class InteractiveSessionAuthProvider(Choice):
    """Whose account one signs in with."""

    GITHUB = "github"
    MICROSOFT = "microsoft"


class InteractiveSession(Definition):
    """Remote access to a job's container. `timeout_minutes` of -1 means without limit."""

    trigger: InteractiveSessionTrigger = InteractiveSessionTrigger.ON_DEMAND
    timeout_minutes: int = DEFAULT_INTERACTIVE_SESSION_TIMEOUT_MINUTES
    session_provider: InteractiveSessionProvider = InteractiveSessionProvider.VS_CODE
    auth_provider: InteractiveSessionAuthProvider = InteractiveSessionAuthProvider.MICROSOFT

    @field_validator("timeout_minutes")
    @classmethod
    def _check_timeout(cls, minutes: int) -> int:
        if minutes < 1 and minutes != -1:
            raise ValueError("must be a number of minutes, or -1 for no limit")
        return minutes


class Workspace(Definition):
    """Which files are sent, where that is more or less than the config file's own directory.

    Attributes:
        workspace_root: directory to send instead; it must contain the config file's.
        external_dirs: directories outside of it to send along, at its top level.
        exclude_dirs: directories at its top level to leave out.

    Relative paths start at the config file's directory.
    """

    workspace_root: str | None = None
    external_dirs: list[str] = Field(default=[])
    exclude_dirs: list[str] = Field(default=[])


class TrainingJob(Definition):
    """One training job.

    Attributes:
        name: shown in lists; the server makes one up when it is None.
        priority: higher leaves the queue earlier; None counts as 0.
        enable_baseten_workdir: run in `/b10/workspace` instead of the image's own working directory. The API's default
            is False and the SDK's is True, which is why it is always sent.
    """

    image: Image
    compute: Compute = Field(default_factory=Compute)
    runtime: Runtime = Field(default_factory=Runtime)
    interactive_session: InteractiveSession | None = None
    name: Text | None = None
    priority: int | None = None
    workspace: Workspace | None = None
    weights: list[WeightsSource] = Field(default=[])
    enable_baseten_workdir: bool = True

    @field_validator("weights")
    @classmethod
    def _mounts_differ(cls, weights: list[WeightsSource]) -> list[WeightsSource]:
        mounts = [source.mount_location for source in weights]
        if twice := {mount for mount in mounts if mounts.count(mount) > 1}:
            raise ValueError(f"more than one source is mounted at {', '.join(sorted(twice))}")
        return weights

    def wire_body(
        self,
        *,
        artifacts: Sequence[Mapping[str, str]] = (),
        truss_user_env: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The `training_job` object of a create request, ready for JSON, with the nulls that truss 0.18 sends.

        Args:
            artifacts: where the archives of the working directory are: `{"s3_bucket": …, "s3_key": …}` each.
            truss_user_env: what the API is told of the sender: versions, and the state of its git checkout.

        Plain values of environment variables are part of it: do not log it.
        """
        body = self.model_dump(mode="json")
        body["runtime"]["artifacts"] = [dict(artifact) for artifact in artifacts]
        body["truss_user_env"] = None if truss_user_env is None else dict(truss_user_env)
        return body


class TrainingProject(Definition):
    """A job, and the project that it is created in. A project is made when there is none of its name.

    Attributes:
        team_name: whose project it is; None leaves that to the account.
        runtime_config: what the job finds in `runtime_config.json`, beside the config file; None for no such file, or
            the one that is there. Sent along with the working directory, which is left as it is.
    """

    name: Text
    job: TrainingJob
    team_name: Text | None = None
    runtime_config: dict[str, JsonValue] | None = None

    def with_parameters(
        self,
        environment: Mapping[str, Parameter] | None = None,
        *,
        runtime_config: Mapping[str, JsonValue] | None = None,
    ) -> Self:
        """The definition, for a job with these hyperparameters. Not for secrets: parameters are shown.

        Args:
            environment: environment variables, over those of the definition. Numbers and booleans arrive as JSON
                writes them: 0.1, 5, true.
            runtime_config: what `runtime_config.json` holds, values of any JSON type; over what there is of the same
                names. A config file that reads the file itself is given it by `load_training_project`.

        Raises:
            DefinitionError: a name cannot be that of an environment variable, or is one of a secret; or a value is
                something else than a parameter can be.
        """
        own = self.job.runtime.environment_variables
        secrets = {name for name, value in own.items() if isinstance(value, SecretReference)}
        variables = as_variables(environment or {}, secrets)
        runtime = self.job.runtime.model_copy(update={"environment_variables": {**own, **variables}})
        config = self.runtime_config
        if runtime_config is not None:
            config = {**(config or {}), **expect_json(runtime_config)}
        job = self.job.model_copy(update={"runtime": runtime})
        return self.model_copy(update={"job": job, "runtime_config": config})

    def wire_body(self) -> dict[str, Any]:
        """The `training_project` object of an upsert request: the name, and the team's where there is one."""
        return self.model_dump(mode="json", exclude={"job", "runtime_config"}, exclude_none=True)
