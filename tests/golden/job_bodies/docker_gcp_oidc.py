"""Google with workload identity federation."""

from truss.base.truss_config import DockerAuthType
from truss_train import DockerAuth, GCPOIDCDockerAuth, Image, TrainingJob, TrainingProject

auth = DockerAuth(
    auth_method=DockerAuthType.GCP_OIDC,
    registry="registry.example.com",
    gcp_oidc_docker_auth=GCPOIDCDockerAuth(
        service_account="puller@example.iam.gserviceaccount.com", workload_identity_provider="projects/1/p"
    ),
)

project = TrainingProject(
    name="docker-auth", job=TrainingJob(image=Image(base_image="registry.example.com/trainer:1", docker_auth=auth))
)
