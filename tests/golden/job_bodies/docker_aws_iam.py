"""ECR with an access key."""

from truss.base.truss_config import DockerAuthType
from truss_train import AWSIAMDockerAuth, DockerAuth, Image, SecretReference, TrainingJob, TrainingProject

auth = DockerAuth(
    auth_method=DockerAuthType.AWS_IAM,
    registry="registry.example.com",
    aws_iam_docker_auth=AWSIAMDockerAuth(
        access_key_secret_ref=SecretReference(name="key_id"), secret_access_key_secret_ref=SecretReference(name="key")
    ),
)

project = TrainingProject(
    name="docker-auth", job=TrainingJob(image=Image(base_image="registry.example.com/trainer:1", docker_auth=auth))
)
