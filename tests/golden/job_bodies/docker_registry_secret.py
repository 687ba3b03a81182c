"""Any registry with a user name and password."""

from truss.base.truss_config import DockerAuthType
from truss_train import DockerAuth, Image, RegistrySecretDockerAuth, SecretReference, TrainingJob, TrainingProject

auth = DockerAuth(
    auth_method=DockerAuthType.REGISTRY_SECRET,
    registry="registry.example.com",
    registry_secret_docker_auth=RegistrySecretDockerAuth(secret_ref=SecretReference(name="registry_login")),
)

project = TrainingProject(
    name="docker-auth", job=TrainingJob(image=Image(base_image="registry.example.com/trainer:1", docker_auth=auth))
)
