"""The container image, and how a private registry lets it be pulled."""

from __future__ import annotations

from pydantic import model_validator

from ._base import Choice, Definition, Text
from ._secrets import SecretReference


class DockerAuthType(Choice):
    """Ways to authenticate with a registry. AWS_ASSUME_ROLE is newer than the published API schema."""

    AWS_IAM = "AWS_IAM"
    AWS_OIDC = "AWS_OIDC"
    AWS_ASSUME_ROLE = "AWS_ASSUME_ROLE"
    GCP_OIDC = "GCP_OIDC"
    GCP_SERVICE_ACCOUNT_JSON = "GCP_SERVICE_ACCOUNT_JSON"
    REGISTRY_SECRET = "REGISTRY_SECRET"  # noqa: S105 - a name


class AWSIAMDockerAuth(Definition):
    """ECR with the access key of an IAM user."""

    access_key_secret_ref: SecretReference
    secret_access_key_secret_ref: SecretReference


class AWSOIDCDockerAuth(Definition):
    """ECR with a role that trusts Baseten's identity provider."""

    role_arn: Text
    region: Text


class AWSAssumeRoleDockerAuth(Definition):
    """ECR with a role that Baseten's own AWS account may assume."""

    role_arn: Text
    region: Text


class GCPOIDCDockerAuth(Definition):
    """Google's registries with workload identity federation."""

    service_account: Text
    workload_identity_provider: Text


class GCPServiceAccountJSONDockerAuth(Definition):
    """Google's registries with the key file of a service account."""

    service_account_json_secret_ref: SecretReference


class RegistrySecretDockerAuth(Definition):
    """Any registry, with a secret that holds `username:password`."""

    secret_ref: SecretReference


class DockerAuth(Definition):
    """Authentication with a registry: a method, and the one settings object that is named after it."""

    auth_method: DockerAuthType
    registry: str
    aws_iam_docker_auth: AWSIAMDockerAuth | None = None
    aws_oidc_docker_auth: AWSOIDCDockerAuth | None = None
    aws_assume_role_docker_auth: AWSAssumeRoleDockerAuth | None = None
    gcp_oidc_docker_auth: GCPOIDCDockerAuth | None = None
    gcp_service_account_json_docker_auth: GCPServiceAccountJSONDockerAuth | None = None
    registry_secret_docker_auth: RegistrySecretDockerAuth | None = None

    @model_validator(mode="after")
    def _settings_fit_method(self) -> DockerAuth:
        needed = f"{self.auth_method.lower()}_docker_auth"
        given = {name for name, value in self if name.endswith("_docker_auth") and value is not None}
        if given != {needed}:
            names = ", ".join(sorted(given)) or "none"
            raise ValueError(f"auth_method {self.auth_method} needs {needed} and no other; given: {names}")
        return self


class Image(Definition):
    """The container image that every node starts from."""

    base_image: Text
    docker_auth: DockerAuth | None = None
