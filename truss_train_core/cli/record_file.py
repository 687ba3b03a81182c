"""The file in which a run's record is kept: replaced as a whole, and on the disk before the run goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from truss_train_core.cli.failures import BadOptions
from truss_train_core.durable import replace_file
from truss_train_core.errors import TrussTrainError
from truss_train_core.runs import RunRecord


class RecordNotKept(TrussTrainError, OSError):
    """The record of a run could not be written, and so the run did not go on. The record before it is still there."""


@dataclass(frozen=True)
class RecordFile:
    """A record on disk. Only its owner can read it."""

    path: Path

    def read(self) -> RunRecord:
        """The record that was kept last.

        Raises:
            BadOptions: there is no such file, or it holds no record.
        """
        try:
            return RunRecord.model_validate_json(self.path.read_bytes())
        except OSError as error:
            raise BadOptions(f"{self.path} cannot be read: {error.strerror}.") from error
        except ValidationError as error:
            raise BadOptions(f"{self.path} is not the record of a run.") from error

    def write(self, record: RunRecord) -> None:
        """Keep a record: whenever the machine stops, there is this one or the one before, whole.

        Raises:
            RecordNotKept: it could not be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self.path, record.model_dump_json(indent=2) + "\n")
        except OSError as error:
            raise RecordNotKept(
                f"The record of the run cannot be kept in {self.path}: {error.strerror}.",
                hint="The run did not go on; a job or deployment that it was waiting for does.",
            ) from error
