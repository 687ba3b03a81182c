"""ECR with a role that trusts Baseten."""

from truss.base.truss_config import DockerAuthType
from truss_train import AWSOIDCDockerAuth, DockerAuth, Image, TrainingJob, TrainingProject

auth = DockerAuth(
    auth_method=DockerAuthType.AWS_OIDC,
    registry="registry.example.com",
    aws_oidc_docker_auth=AWSOIDCDockerAuth(role_arn="arn:aws:iam::1:role/pull", region="us-west-2"),
)

project = TrainingProject(
    name="docker-auth", job=TrainingJob(image=Image(base_image="registry.example.com/trainer:1", docker_auth=auth))
)
