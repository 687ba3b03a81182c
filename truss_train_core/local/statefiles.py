"""JSON files that are replaced atomically: a reader finds the old state or the new one, never half of one.

They are how the server, the supervisors and whoever comes after a restart tell each other things, so a file that was
written is also on the disk when the call returns, and only the owner may read it (specs hold secrets).
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from truss_train_core.durable import replace_file
from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.runner import JobState, ServerState

SPEC_FILE = "spec.json"
STATE_FILE = "state.json"
STOP_FILE = "stop.json"

Model = TypeVar("Model", bound=BaseModel)
State = TypeVar("State", JobState, ServerState)


def write_json_atomic(path: Path, model: BaseModel) -> None:
    """Replace `path` by `model` as JSON, durably, readable by the owner only.

    Raises:
        OSError: the disk is full or the directory is missing; what was there before is untouched.
    """
    replace_file(path, model.model_dump_json())


def read_json(path: Path, model: type[Model]) -> Model | None:
    """What `path` holds, or None where there is no such file.

    Raises:
        LocalPlatformError: the file is not what it should be: damaged, or written by another version.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise LocalPlatformError(
            f"{path} is not a {model.__name__}: {where or 'content'}: {problem['msg']}.",
            hint="It is damaged, or was written by another version of truss-train.",
        ) from None


class StateFile(Generic[State]):
    """The state of a job or deployment, in the hands of its supervisor, the only one that writes it.

    Attributes:
        state: as it is now; while the disk is full, newer than what the file says.
    """

    def __init__(self, directory: Path, state: State) -> None:
        self.state: State = state
        self._path = directory / STATE_FILE
        self._written: State | None = None

    def update(self, **changes: object) -> None:
        """Change some fields. What the disk has no room for is written with the next update."""
        self.state = self.state.model_copy(update=changes)
        if self.state == self._written:
            return
        self.state = self.state.model_copy(update={"updated_at": datetime.now(timezone.utc)})
        try:
            write_json_atomic(self._path, self.state)
        except OSError:
            return
        self._written = self.state

    def conclude(self, patience: float = 60.0) -> None:
        """Write what is not written yet, waiting up to `patience` seconds for room on the disk."""
        deadline = time.monotonic() + patience
        self.update()
        while self.state != self._written and time.monotonic() < deadline:
            time.sleep(0.5)
            self.update()
