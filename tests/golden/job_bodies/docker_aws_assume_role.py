"""ECR with a role that Baseten assumes."""

from truss.base.truss_config import DockerAuthType
from truss_train import AWSAssumeRoleDockerAuth, DockerAuth, Image, TrainingJob, TrainingProject

auth = DockerAuth(
    auth_method=DockerAuthType.AWS_ASSUME_ROLE,
    registry="registry.example.com",
    aws_assume_role_docker_auth=AWSAssumeRoleDockerAuth(role_arn="arn:aws:iam::1:role/pull", region="us-west-2"),
)

project = TrainingProject(
    name="docker-auth", job=TrainingJob(image=Image(base_image="registry.example.com/trainer:1", docker_auth=auth))
)
