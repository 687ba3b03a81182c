"""A PostgreSQL for the time of a test: in a directory of its own, reached through a socket in that directory alone."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

STARTS_WITHIN = 60.0
"""Seconds that the server may take until it answers."""


class NoPostgres(RuntimeError):
    """There is no PostgreSQL on this machine, or nobody whom it could run as; the message says which."""


@contextmanager
def metadata_database() -> Iterator[dict[str, str]]:
    """The settings of an Airflow that keeps its metadata as in production; in SQLite where there is no PostgreSQL."""
    with ExitStack() as stack:
        try:
            address = stack.enter_context(postgres())
            settings = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address, "AIRFLOW__CORE__PARALLELISM": "16"}
        except NoPostgres as reason:
            warnings.warn(f"Airflow keeps its metadata in SQLite. {reason}", stacklevel=2)
            settings = {"AIRFLOW__CORE__PARALLELISM": "6"}  # its API server answers few at a time then
        yield settings


@contextmanager
def postgres() -> Iterator[str]:
    """Start a server with an empty database; yields its address for SQLAlchemy, and ends it with all its data.

    Raises:
        NoPostgres: it cannot be started here.
    """
    programs, owner = _programs(), _owner()
    home = Path(tempfile.mkdtemp(prefix="postgres-"))  # a socket's path has to be short, and belong to the owner
    try:
        if owner:
            os.chown(home, owner["user"], owner["group"])
        make = ["--username=airflow", "--auth=trust", "--encoding=UTF8", "--no-sync", f"--pgdata={home / 'data'}"]
        _run([programs / "initdb", *make], owner)
        settings = ("listen_addresses=", f"unix_socket_directories={home}", "fsync=off", "max_connections=300")
        command: list[Any] = [programs / "postgres", "-D", home / "data"]
        command += [part for setting in settings for part in ("-c", setting)]
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd=home, **owner)
        try:
            _wait_for(server, programs, home)
            _run([programs / "createdb", "--host", home, "--username=airflow", "airflow"], owner)
            yield f"postgresql+psycopg2://airflow@/airflow?host={home}"
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nobody needs what it holds
            server.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _programs() -> Path:
    """Where the server's programs are: on the PATH, or where Debian keeps them, the newest."""
    on_path = shutil.which("initdb")
    found = [Path(on_path)] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_release)
    if not found:
        raise NoPostgres("PostgreSQL is not installed: there is no initdb.")
    return found[-1].resolve().parent


def _release(program: Path) -> float:
    return float(program.parts[-3])


def _owner() -> dict[str, Any]:
    """Whom the server runs as, in the words of `subprocess`: whoever we are; but it refuses to be run by root."""
    if os.geteuid() != 0:
        return {}
    for user in (entry for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody")):
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise NoPostgres("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody.")


def _run(command: list[Any], owner: dict[str, Any]) -> None:
    subprocess.run(command, check=True, capture_output=True, cwd="/", **owner)


def _wait_for(server: subprocess.Popen[bytes], programs: Path, home: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while subprocess.run([programs / "pg_isready", "--host", home], capture_output=True).returncode != 0:
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"PostgreSQL did not start: {(home / 'log').read_text()}")
        time.sleep(0.1)
