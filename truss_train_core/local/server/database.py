"""What the platform remembers: SQLite in WAL mode, behind SQLAlchemy. Files and logs are not in here.

Times are seconds since the epoch. Transactions are short: `reading` never waits for a writer, `writing` takes the one
writer's place at its beginning, so that what it has read still holds when it writes.
"""

from __future__ import annotations

import logging
import secrets
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Connection, ForeignKey, Index, UniqueConstraint, create_engine, event, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, WriteOnlyMapped, mapped_column, relationship

_LOGGING_NAME = "truss-train"
logging.getLogger(f"sqlalchemy.engine.Engine.{_LOGGING_NAME}").addFilter(lambda record: record.levelno > logging.DEBUG)
"""What the engine tells at that level are rows, and there are secrets in them."""

_ALPHABET = string.ascii_lowercase + string.digits


def new_id() -> str:
    """An id as the API makes them: seven random letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(7))


class _Table(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON, list[dict[str, Any]]: JSON}  # noqa: RUF012 - SQLAlchemy's own form


class Team(_Table):
    """Projects, models and secrets belong to a team; the default one is there from the start."""

    __tablename__ = "teams"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[float]
    is_default: Mapped[bool] = mapped_column(default=False)


class TeamLimit(_Table):
    """The most GPUs of a type that a team's jobs may use at once."""

    __tablename__ = "team_limits"
    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id"), primary_key=True)
    gpu_type: Mapped[str] = mapped_column(primary_key=True)
    max_gpus: Mapped[int]
    updated_at: Mapped[float]


class Project(_Table):
    """A training project. One that is `deleted` is hidden, and goes when its last job has ended."""

    __tablename__ = "projects"
    __table_args__ = (Index("one_project_of_a_name", "team_id", "name", unique=True, sqlite_where=text("NOT deleted")),)
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id"))
    name: Mapped[str]
    created_at: Mapped[float]
    updated_at: Mapped[float]
    deleted: Mapped[bool] = mapped_column(default=False)


class Job(_Table):
    """A training job.

    Attributes:
        seq: counts up, so it orders jobs by creation even within one tick of the clock.
        pool, demand: which capacity it needs ("H100", "CPU") and how much of it, over all nodes.
        body: the `training_job` object of the create request, with environment variables in plain text.
        loaded: the checkpoints it starts from, pinned: {"project_id", "job_id", "checkpoint_name", "folder"} each.
        deleted: hidden; it goes, with its files, when it has ended.
        history: the statuses that it took on, `status` being the last.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index("jobs_of_a_project", "project_id", "seq"), Index("jobs_of_a_status", "status"))
    seq: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True, default=new_id)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str]
    created_at: Mapped[float]
    updated_at: Mapped[float]
    status: Mapped[str]
    error_message: Mapped[str | None] = mapped_column(default=None)
    priority: Mapped[int] = mapped_column(default=0)
    availability_model: Mapped[str]
    node_count: Mapped[int]
    instance_type: Mapped[str]
    pool: Mapped[str]
    demand: Mapped[int]
    checkpoint_sync_status: Mapped[str | None] = mapped_column(default=None)
    body: Mapped[dict[str, Any]] = mapped_column(deferred=True)
    loaded: Mapped[list[dict[str, Any]]] = mapped_column(deferred=True)
    deleted: Mapped[bool] = mapped_column(default=False)
    history: WriteOnlyMapped[StatusChange] = relationship(passive_deletes=True)


class StatusChange(_Table):
    """A status that a job took on, and what was said about it then."""

    __tablename__ = "status_changes"
    seq: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    status: Mapped[str]
    created_at: Mapped[float]
    message: Mapped[str | None]


class Secret(_Table):
    """A secret of a team, in plain text: the data directory is readable by its owner only."""

    __tablename__ = "secrets"
    __table_args__ = (UniqueConstraint("team_id", "name"),)
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id"))
    name: Mapped[str]
    value: Mapped[str]
    created_at: Mapped[float]


class Upload(_Table):
    """Credentials that were handed out for one object, which is there when `complete`."""

    __tablename__ = "uploads"
    key: Mapped[str] = mapped_column(primary_key=True)
    access_key_id: Mapped[str] = mapped_column(unique=True)
    session_token: Mapped[str]
    created_at: Mapped[float]
    complete: Mapped[bool] = mapped_column(default=False)


class Model(_Table):
    """A model: a name under which deployments stand. One that is `deleted` goes when its last deployment has ended."""

    __tablename__ = "models"
    __table_args__ = (Index("one_model_of_a_name", "team_id", "name", unique=True, sqlite_where=text("NOT deleted")),)
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id"))
    name: Mapped[str]
    created_at: Mapped[float]
    deleted: Mapped[bool] = mapped_column(default=False)


class Deployment(_Table):
    """A deployment of checkpoints.

    Attributes:
        status: as the API tells it.
        started: whether it was handed over to be served since it was last wanted.
        wanted: "ACTIVE", or the status it rests in when its process is to be stopped: "INACTIVE", "SCALED_TO_ZERO".
        config: the truss configuration it stands for.
        weights: what it serves: {"project_id", "job_id", "checkpoint_name"} each.
        server: how it is served on this machine (`truss_configs.Server`), or None where nothing here can.
        deleted: hidden; it goes, with its files, when its process has ended.
    """

    __tablename__ = "deployments"
    seq: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True, default=new_id)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), index=True)
    name: Mapped[str]
    created_at: Mapped[float]
    status: Mapped[str]
    wanted: Mapped[str] = mapped_column(default="ACTIVE")
    started: Mapped[bool] = mapped_column(default=False)
    instance_type: Mapped[str]
    config: Mapped[dict[str, Any]]
    weights: Mapped[list[dict[str, Any]]]
    server: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    deleted: Mapped[bool] = mapped_column(default=False)


class Environment(_Table):
    """A stable name of a model ("production") and the deployment that answers there."""

    __tablename__ = "environments"
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[float]
    deployment_id: Mapped[str | None] = mapped_column(default=None)


class Database:
    """The database file, made where there is none. It holds secrets: nobody but its owner may read it."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        path.chmod(0o600)  # SQLite gives the files beside it the same mode
        self._engine = create_engine(
            f"sqlite:///{path}", pool_size=16, max_overflow=64, hide_parameters=True, logging_name=_LOGGING_NAME
        )
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        self._writing = self._engine.execution_options(begin="IMMEDIATE")
        _Table.metadata.create_all(self._writing)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database throughout."""
        with Session(self._engine) as session:
            yield session

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """As `reading`, for a statement that asks for columns only: without a session, which takes as long again."""
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session that is alone in writing, and commits at the end unless there was an error."""
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self._engine.dispose()


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says so, not where sqlite3 guesses
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("begin") == "IMMEDIATE":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:  # takes no lock and cannot fail, so it needs none of what SQLAlchemy does around a statement
        connection.connection.driver_connection.execute("BEGIN")  # type: ignore[union-attr]
