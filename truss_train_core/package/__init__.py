"""From a working directory to an archive in object storage.

`prepare` looks at the directory, decides what travels and says what stays behind; `archive` turns the result into a
stream of tar bytes; `upload` sends that stream to S3 while it is being made. Nothing here knows the management API,
and nothing is copied: no temporary directory, no archive on disk, no file held in memory.
"""

from truss_train_core.package.gather import LeftOut, Package, PackagedFile, describe, prepare
from truss_train_core.package.ignore import Reason
from truss_train_core.package.origin import git_info, user_env
from truss_train_core.package.s3 import UploadTarget, upload
from truss_train_core.package.tar import archive, archive_size

__all__ = [
    "LeftOut",
    "Package",
    "PackagedFile",
    "Reason",
    "UploadTarget",
    "archive",
    "archive_size",
    "describe",
    "git_info",
    "prepare",
    "upload",
    "user_env",
]
