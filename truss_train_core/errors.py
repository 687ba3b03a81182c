"""Every error this package raises, on one page.

    TrussTrainError
    ├── ConfigFileError        (ValueError)       a config.py cannot be read as a definition
    ├── DefinitionError        (ValueError)       a definition cannot be carried out as it stands
    ├── PackageError           (ValueError)       the working directory cannot be archived
    ├── RemoteError            (LookupError)      no such remote, or no key for it
    ├── UploadError            (ConnectionError)  the archive did not reach object storage
    ├── ApiError                                  the API answered, with an error
    │   ├── Unauthorized       (PermissionError)  401: the key is wrong
    │   ├── Forbidden          (PermissionError)  403: the key may not do this
    │   ├── NotFound           (LookupError)      404
    │   ├── Rejected           (ValueError)       any other 4xx: the request is wrong as it stands
    │   ├── RateLimited                           429, past the deadline for repeating
    │   ├── ServerError                           5xx, past the deadline for repeating
    │   └── UnexpectedAnswer                      an answer that is not what the API promises
    ├── Unreachable            (ConnectionError)  no connection; nothing was asked
    ├── AnswerLost             (ConnectionError)  asked, no answer; it may have been carried out
    ├── WaitTimeout            (TimeoutError)     a wait passed its limit; the job goes on
    ├── BudgetSpent            (TimeoutError)     a run has used what it may, or is late; its job was stopped
    ├── JobNotFound            (LookupError)      no job matches
    ├── JobFailed                                 a job ended otherwise than completed
    ├── NoUsableCheckpoint     (LookupError)      nothing to choose, resume from or deploy
    ├── DeploymentFailed                          a deployment will not become ready
    │   └── PromotionRefused                      a gate let a deployment not pass; nothing has changed
    ├── DatasetNotFound        (FileNotFoundError) no dataset where one was looked for
    ├── DatasetUnavailable     (ConnectionError)  whoever keeps a dataset does not say which version there is
    ├── RunFailed                                 a run used up its budgets
    └── LocalPlatformError     (RuntimeError)     the platform on this machine cannot do it

Each says what failed and for which object; `hint` says what to do next, and `str()` is both. They carry no keys and
no secrets, and survive pickling, so that a workflow engine can hand them from a worker to its server.
"""

from __future__ import annotations


class TrussTrainError(Exception):
    """Base of all errors of this package.

    Attributes:
        message: what failed, in one line, with the job, project or file it is about.
        hint: what to do next, or None.
    """

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class ConfigFileError(TrussTrainError, ValueError):
    """A config.py is missing, does not run, or does not hold exactly one definition. Nothing was created."""


class DefinitionError(TrussTrainError, ValueError):
    """A definition lacks what is needed, or asks for what the account does not have. Nothing was created."""


class PackageError(TrussTrainError, ValueError):
    """The working directory cannot be archived: a broken link, too large, a bad workspace. Nothing was created."""


class RemoteError(TrussTrainError, LookupError):
    """The remote is not configured, or there is no key for it. Nothing was sent anywhere."""


class UploadError(TrussTrainError, ConnectionError):
    """The archive did not reach object storage. No job was created; pushing again is safe."""


class ApiError(TrussTrainError):
    """The API answered with an error.

    Attributes:
        status: HTTP status, e.g. 404; 200 for a GraphQL error.
        code: the API's own code, e.g. "VALIDATION_ERROR", or None.
        request_id: to give to support, or None where the answer had none.
    """

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        status: int = 0,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.request_id = request_id


class Unauthorized(ApiError, PermissionError):
    """401: the key is missing, wrong or revoked. Repeating does not help."""


class Forbidden(ApiError, PermissionError):
    """403: the key is good but may not do this."""


class NotFound(ApiError, LookupError):
    """404: no such object, or not one that this key can see."""


class Rejected(ApiError, ValueError):
    """400, 409, 422 and other 4xx: the request is wrong as it stands. Nothing was created."""


class RateLimited(ApiError):
    """429, still after repeating until the deadline. The request was not carried out.

    Attributes:
        retry_after: seconds that the server asked to wait, or None.
    """

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        status: int = 429,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, status=status, code=code, request_id=request_id)
        self.retry_after = retry_after


class ServerError(ApiError):
    """5xx, still after repeating until the deadline, to a call that is safe to repeat."""


class UnexpectedAnswer(ApiError):
    """The answer is not JSON, or lacks what the API promises: a proxy's page, or a newer API."""


class Unreachable(TrussTrainError, ConnectionError):
    """No connection to the API, so nothing was asked and nothing was done."""


class AnswerLost(TrussTrainError, ConnectionError):
    """A call that must not be blindly repeated was sent and no answer came: it may or may not have been carried out.

    Raised to users only where the outcome cannot be looked up by name.
    """


class WaitTimeout(TrussTrainError, TimeoutError):
    """A wait passed its limit. What was waited for is still running and may cost money."""


class BudgetSpent(TrussTrainError, TimeoutError):
    """The attempts of a run have used the time, GPU-hours or money they may, or the deadline of the run has passed.

    Its job was stopped, or the message says not. Repeating does not help: the budget has to be raised.
    """


class JobNotFound(TrussTrainError, LookupError):
    """No job matches what was asked for."""


class JobFailed(TrussTrainError):
    """A job ended otherwise than completed. It no longer runs.

    Attributes:
        job_id, status: which job, and its final status, e.g. "TRAINING_JOB_FAILED".
    """

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        job_id: str | None = None,
        status: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.job_id = job_id
        self.status = status


class NoUsableCheckpoint(TrussTrainError, LookupError):
    """No checkpoint is complete, has the metric, or can be deployed. The message says what each lacked."""


class DeploymentFailed(TrussTrainError):
    """A deployment ended in a state from which it does not become ready, or failed where it was to answer.

    Attributes:
        model_id, deployment_id, status: which deployment, and its last status, e.g. "DEPLOY_FAILED".
    """

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        model_id: str | None = None,
        deployment_id: str | None = None,
        status: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.model_id = model_id
        self.deployment_id = deployment_id
        self.status = status


class PromotionRefused(DeploymentFailed):
    """A gate let a deployment not pass. What answered answers on; the refused one still serves and may cost money.

    Attributes:
        reason: what the gate said.
    """

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        model_id: str | None = None,
        deployment_id: str | None = None,
        status: str | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(message, hint=hint, model_id=model_id, deployment_id=deployment_id, status=status)
        self.reason = reason


class RunFailed(TrussTrainError):
    """A run ended without what it was for: its budgets are used up, or it failed twice at the same place."""


class DatasetNotFound(TrussTrainError, FileNotFoundError):
    """There is no dataset at an address, or none that may be read. It may come yet."""


class DatasetUnavailable(TrussTrainError, ConnectionError):
    """Whoever keeps a dataset did not answer, or with an error. Looking again may help."""


class LocalPlatformError(TrussTrainError, RuntimeError):
    """The local platform cannot start or cannot do what was asked: a port in use, a full disk, newer data."""
