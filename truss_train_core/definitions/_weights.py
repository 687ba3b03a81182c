"""Model weights that are mounted into a job's containers from where they are kept."""

from __future__ import annotations

from pydantic import field_validator, model_validator

from ._base import Choice, Definition, Text


class WeightsAuthMethod(Choice):
    """Ways to authenticate with the place that holds the weights."""

    CUSTOM_SECRET = "CUSTOM_SECRET"  # noqa: S105 - a name
    AWS_OIDC = "AWS_OIDC"
    AWS_ASSUME_ROLE = "AWS_ASSUME_ROLE"
    GCP_OIDC = "GCP_OIDC"


_SETTINGS = {
    WeightsAuthMethod.CUSTOM_SECRET: {"auth_secret_name"},
    WeightsAuthMethod.AWS_OIDC: {"aws_oidc_role_arn", "aws_oidc_region"},
    WeightsAuthMethod.AWS_ASSUME_ROLE: {"aws_assume_role_arn", "aws_assume_role_region"},
    WeightsAuthMethod.GCP_OIDC: {"gcp_oidc_service_account", "gcp_oidc_workload_id_provider"},
}


class WeightsAuth(Definition):
    """Authentication for a source of weights: a method, and all of that method's settings and no others."""

    auth_method: WeightsAuthMethod
    auth_secret_name: str | None = None
    aws_oidc_role_arn: str | None = None
    aws_oidc_region: str | None = None
    aws_assume_role_arn: str | None = None
    aws_assume_role_region: str | None = None
    gcp_oidc_service_account: str | None = None
    gcp_oidc_workload_id_provider: str | None = None

    @model_validator(mode="after")
    def _settings_fit_method(self) -> WeightsAuth:
        needed = _SETTINGS[self.auth_method]
        given = {name for name, value in self if name != "auth_method" and value}
        if given != needed:
            needs, names = " and ".join(sorted(needed)), ", ".join(sorted(given)) or "none"
            raise ValueError(f"auth_method {self.auth_method} needs {needs} and nothing else; given: {names}")
        return self


_BUCKETS = ("s3", "gs", "azure", "r2", "cw")
_SCHEMES = ("hf", *_BUCKETS, "https")


class WeightsSource(Definition):
    """Weights to fetch and where to mount them; they are mirrored before the job starts, at no GPU cost.

    Attributes:
        source: `hf://owner/repo[@revision]`, `s3://bucket/path`, `gs://…`, `azure://account/container/path`,
            `r2://account_id.bucket/path`, `cw://…` or `https://…`. Training does not take the `bt://` of deployments.
        mount_location: absolute path in the container.
        auth, auth_secret_name: authentication; the name of a secret may stand in either, not in both.
        allow_patterns, ignore_patterns: shell patterns of files to take and to leave.
    """

    source: Text
    mount_location: Text
    auth: WeightsAuth | None = None
    auth_secret_name: str | None = None
    allow_patterns: list[str] | None = None
    ignore_patterns: list[str] | None = None

    @field_validator("source")
    @classmethod
    def _check_source(cls, source: str) -> str:
        scheme, _, path = source.partition("://")
        if scheme not in _SCHEMES or not path or path.startswith("/"):
            raise ValueError(f"must be one of {', '.join(f'{scheme}://…' for scheme in _SCHEMES)}")
        if scheme in _BUCKETS and "@" in path:
            raise ValueError(f"only hf:// sources have an @revision, {scheme}:// ones do not")
        return source

    @field_validator("mount_location")
    @classmethod
    def _check_mount_location(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError("must be an absolute path")
        return path

    @model_validator(mode="after")
    def _one_secret(self) -> WeightsSource:
        if self.auth_secret_name and self.auth and self.auth.auth_secret_name:
            raise ValueError("auth_secret_name may be given here or in auth, not in both")
        return self
