"""Every kind of place that weights come from, and every way to authenticate with it."""

from truss.base.truss_config import WeightsAuth, WeightsAuthMethod, WeightsSource
from truss_train import Image, TrainingJob, TrainingProject

weights = [
    WeightsSource(
        source="hf://owner/repo@main",
        mount_location="/w/hf",
        auth_secret_name="hf_access_token",
        allow_patterns=["*.safetensors"],
        ignore_patterns=["*.md"],
    ),
    WeightsSource(
        source="s3://bucket/path",
        mount_location="/w/s3",
        auth=WeightsAuth(
            auth_method=WeightsAuthMethod.AWS_OIDC,
            aws_oidc_role_arn="arn:aws:iam::1:role/read",
            aws_oidc_region="us-west-2",
        ),
    ),
    WeightsSource(
        source="s3://bucket/other",
        mount_location="/w/s3-other",
        auth=WeightsAuth(
            auth_method=WeightsAuthMethod.AWS_ASSUME_ROLE,
            aws_assume_role_arn="arn:aws:iam::1:role/read",
            aws_assume_role_region="us-west-2",
        ),
    ),
    WeightsSource(
        source="gs://bucket/path",
        mount_location="/w/gs",
        auth=WeightsAuth(
            auth_method=WeightsAuthMethod.GCP_OIDC,
            gcp_oidc_service_account="reader@example.iam.gserviceaccount.com",
            gcp_oidc_workload_id_provider="projects/1/locations/global/workloadIdentityPools/p/providers/b",
        ),
    ),
    WeightsSource(
        source="azure://account/container/path",
        mount_location="/w/azure",
        auth=WeightsAuth(auth_method=WeightsAuthMethod.CUSTOM_SECRET, auth_secret_name="azure"),
    ),
    WeightsSource(source="r2://account.bucket/path", mount_location="/w/r2"),
    WeightsSource(source="cw://bucket/path", mount_location="/w/cw"),
    WeightsSource(source="https://example.com/model.bin", mount_location="/w/https"),
]

project = TrainingProject(name="weights", job=TrainingJob(image=Image(base_image="python:3.11-slim"), weights=weights))
