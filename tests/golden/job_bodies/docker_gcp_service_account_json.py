"""Google with a key file."""

from truss.base.truss_config import DockerAuthType
from truss_train import (
    DockerAuth,
    GCPServiceAccountJSONDockerAuth,
    Image,
    SecretReference,
    TrainingJob,
    TrainingProject,
)

auth = DockerAuth(
    auth_method=DockerAuthType.GCP_SERVICE_ACCOUNT_JSON,
    registry="registry.example.com",
    gcp_service_account_json_docker_auth=GCPServiceAccountJSONDockerAuth(
        service_account_json_secret_ref=SecretReference(name="gcp_key")
    ),
)

project = TrainingProject(
    name="docker-auth", job=TrainingJob(image=Image(base_image="registry.example.com/trainer:1", docker_auth=auth))
)
