"""What one rank (node) of a job sees: its directories and its environment variables.

Each rank has a directory that stands for the root of a container's file system, and every path that the documentation
or the job's definition names is the same path below it: `/mnt/ckpts` is `<root>/mnt/ckpts`. In a sandbox it is seen at
the path that was named. Without one, code that takes its paths from the BT_ variables, as documented, need not know;
code that spells out `/mnt/ckpts` writes to the machine's own `/mnt/ckpts`, and its checkpoints are not found.

HOME is `/root` below that root. It starts empty, as in a container, so that nothing works here only because this
machine's user is logged in somewhere or has a model cached; what should persist belongs in the documented caches.
TMPDIR alone lies elsewhere, in the system's temporary directory: paths of sockets are limited to about a hundred bytes.

The variables are those of the documentation, those that an installer needs to work behind this machine's proxy or
package mirror, and the user's. Nothing else of the server's environment is passed on: it may hold keys.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.processes.sandbox import Sandbox
from truss_train_core.local.runner import JobSpec

WORKING_DIR = "/b10/workspace"
SCRATCH_DIR = "/mnt/bt-scratch"
CHECKPOINT_DIR = "/mnt/ckpts"
"""Where checkpoints go unless the definition says otherwise (documentation, example of BT_CHECKPOINT_DIR)."""
HOME = "/root"
PROJECT_CACHE, TEAM_CACHE = "user_artifacts", "team_artifacts"
"""Below the directory where a definition mounts its caches."""
TEMPORARY = Path("/tmp")  # noqa: S108 - as a sandbox shows it, where it is the rank's own

_MACHINE = "PATH LANG LANGUAGE LC_ALL LC_CTYPE TZ USER LOGNAME LD_LIBRARY_PATH CUDA_HOME CUDA_VISIBLE_DEVICES"
_NETWORK = (
    "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy SSL_CERT_FILE SSL_CERT_DIR "
    "REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS GIT_SSL_CAINFO AWS_CA_BUNDLE"
)
_INSTALLERS = (
    "PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_NO_INDEX PIP_TRUSTED_HOST PIP_CERT PIP_CLIENT_CERT PIP_PROXY "
    "PIP_CONFIG_FILE PIP_CONSTRAINT PIP_CACHE_DIR PIP_DEFAULT_TIMEOUT PIP_RETRIES PIP_DISABLE_PIP_VERSION_CHECK "
    "UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_NO_INDEX UV_OFFLINE UV_INSECURE_HOST UV_NATIVE_TLS "
    "UV_SYSTEM_CERTS UV_CONFIG_FILE UV_CONSTRAINT UV_CACHE_DIR UV_LINK_MODE UV_HTTP_TIMEOUT UV_KEYRING_PROVIDER"
)
"""Where packages come from; never what would install elsewhere than into the job's own environment (PIP_USER, …)."""
_PASSED_ON = frozenset(f"{_MACHINE} {_NETWORK} {_INSTALLERS}".split())
_PASSED_ON_PREFIXES = ("UV_INDEX",)
_CACHE = "_CACHE_DIR"


@dataclass(frozen=True)
class RankPlaces:
    """The directories of one rank. None where the definition does not ask for the thing."""

    root: Path
    home: Path
    temporary: Path
    venv: Path
    work: Path
    scratch: Path
    checkpoints: Path | None
    loaded: Path | None
    cache: Path | None


def places_of(spec: JobSpec, rank: int) -> RankPlaces:
    """Where things are for this rank; nothing is created."""
    root = spec.directory / "work" / f"rank-{rank}"
    has_cache = spec.project_cache is not None or spec.team_cache is not None
    return RankPlaces(
        root=root,
        home=below(root, HOME),
        temporary=temporary_directory(spec.directory) / str(rank),
        venv=spec.directory / "venv" / f"rank-{rank}",
        work=below(root, WORKING_DIR),
        scratch=below(root, SCRATCH_DIR),
        checkpoints=below(root, spec.checkpoint_dir or CHECKPOINT_DIR) if spec.checkpointing else None,
        loaded=below(root, spec.load_dir) if spec.load_dir else None,
        cache=below(root, spec.cache_mount) if has_cache else None,
    )


def as_sandboxed(places: RankPlaces) -> RankPlaces:
    """The places of a rank where its commands see them in a sandbox."""

    def seen(place: Path) -> Path:
        return Path("/") / place.relative_to(places.root)

    return RankPlaces(
        root=Path("/"),
        home=seen(places.home),
        temporary=TEMPORARY,
        venv=places.venv,
        work=seen(places.work),
        scratch=seen(places.scratch),
        checkpoints=places.checkpoints and seen(places.checkpoints),
        loaded=places.loaded and seen(places.loaded),
        cache=places.cache and seen(places.cache),
    )


def sandbox_of(spec: JobSpec, places: RankPlaces, needed: Iterable[Path]) -> Sandbox:
    """The sandbox of a rank. `needed` is what its virtual environment needs beside the system."""
    seen = as_sandboxed(places)
    own = [(getattr(places, field.name), getattr(seen, field.name)) for field in fields(places) if field.name != "root"]
    return Sandbox(
        hidden=spec.directory.parents[1],
        readable=(*needed, *named_files(os.environ)),
        writable=(*((place, at) for place, at in own if place is not None), *_caches(spec, seen)),
        work=seen.work,
    )


def named_files(environ: Mapping[str, str]) -> list[Path]:
    """Files and directories that are named by variables that are passed on, such as certificates; not the caches."""
    named = {**passed_on(environ), **_installer_settings(environ)}
    values = [value for name, value in named.items() if name != "PATH" and not name.endswith(_CACHE)]
    parts = {part for value in values for part in value.split(os.pathsep) if part.startswith("/") and part != "/"}
    return [Path(part) for part in sorted(parts) if Path(part).exists()]


def _caches(spec: JobSpec, places: RankPlaces) -> Iterator[tuple[Path, Path]]:
    """The persistent caches that a rank asks for, each with where it finds it."""
    if places.cache is not None and spec.project_cache is not None:
        yield spec.project_cache, places.cache / PROJECT_CACHE
    if places.cache is not None and spec.team_cache is not None:
        yield spec.team_cache, places.cache / TEAM_CACHE
    if spec.legacy_hf_cache is not None:
        yield spec.legacy_hf_cache, places.home / ".cache" / "huggingface"


def below(root: Path, path: str) -> Path:
    """A container's path below the directory that stands for its root, which it cannot climb out of.

    A relative path is taken from the working directory.
    """
    return root / posixpath.normpath(posixpath.join(WORKING_DIR, path)).lstrip("/")


def temporary_directory(directory: Path) -> Path:
    """The short temporary directory of a job or deployment, to be removed when it has ended."""
    digest = hashlib.sha256(str(directory).encode()).hexdigest()[:10]
    return Path(tempfile.gettempdir()) / f"tt-{os.getuid()}-{digest}"


def create(places: RankPlaces, spec: JobSpec) -> None:
    """Make the directories of a rank. The persistent caches are linked to where the definition mounts them.

    In a sandbox they are mounted there.
    """
    for place in (places.home, places.work, places.scratch, places.checkpoints, places.loaded, places.cache):
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
    create_temporary(places.temporary)
    for cache, at in _caches(spec, places):
        cache.mkdir(parents=True, exist_ok=True)
        if not spec.sandboxed:
            at.parent.mkdir(parents=True, exist_ok=True)
            at.symlink_to(cache.resolve())


def create_temporary(temporary: Path) -> None:
    """Make a directory below `temporary_directory`, closed to other users.

    Raises:
        LocalPlatformError: another user of this machine took the name.
    """
    parent = temporary.parent
    parent.mkdir(mode=0o700, exist_ok=True)
    if parent.lstat().st_uid != os.getuid():
        raise LocalPlatformError(f"{parent} belongs to another user.", hint="Remove it, or set TMPDIR.")
    temporary.mkdir(exist_ok=True)


def variables(spec: JobSpec, rank: int, places: RankPlaces) -> dict[str, str]:
    """The BT_ variables of the documentation, and those that are only seen on the wire."""
    values: dict[str, str | Path | None] = {
        "BT_TRAINING_JOB_ID": spec.job_id,
        "BT_TRAINING_JOB_NAME": spec.job_name,
        "BT_TRAINING_PROJECT_ID": spec.project_id,
        "BT_TRAINING_PROJECT_NAME": spec.project_name,
        "BT_NUM_GPUS": str(spec.gpus),
        "BT_RETRY_COUNT": str(spec.retry_count),
        "BT_WORKING_DIR": places.work if spec.baseten_workdir else None,
        "BT_SCRATCH_DIR": places.scratch,
        "BT_CHECKPOINT_DIR": places.checkpoints,
        "BT_LOAD_CHECKPOINT_DIR": places.loaded,
        "BT_RW_CACHE_DIR": places.cache,
        "BT_PROJECT_CACHE_DIR": places.cache and spec.project_cache and places.cache / PROJECT_CACHE,
        "BT_TEAM_CACHE_DIR": places.cache and spec.team_cache and places.cache / TEAM_CACHE,
        "BT_GROUP_SIZE": str(spec.node_count),
        "BT_LEADER_ADDR": "127.0.0.1",
        "BT_NODE_RANK": str(rank),
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def process_environment(
    environ: Mapping[str, str], *, venv: Path, home: Path, temporary: Path, user: Mapping[str, str]
) -> dict[str, str]:
    """What a job's or a deployment's process starts with: this machine's share, its own places, the user's variables.

    The user's win, except that the virtual environment stays in front of their PATH. `$NAME` in values is not expanded.
    """
    own = {
        "LANG": "C.UTF-8",
        **passed_on(environ),
        **_installer_settings(environ),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "VIRTUAL_ENV": str(venv),
        "PYTHONUNBUFFERED": "1",
        **user,
    }
    return {**own, "PATH": f"{venv / 'bin'}{os.pathsep}{own.get('PATH') or os.defpath}"}


def with_own_caches(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """The server's environment for a sandbox, which the caches of pip and uv are to stay out of: a job may not trust
    another's, nor the user theirs. They lie below `home` instead.
    """
    kept = {name: value for name, value in environ.items() if not name.endswith(_CACHE)}
    return {**kept, "XDG_CACHE_HOME": str(home / ".cache")}


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the server's environment reaches other processes."""
    return {name: environ[name] for name in environ if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)}


def supervisor_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a supervisor starts with: enough to find its Python, its package and the user's caches; no keys."""
    names = ("HOME", "TMPDIR", "PYTHONPATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    return {**passed_on(environ), **{name: environ[name] for name in names if name in environ}}


def _installer_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Point pip and uv to the user's own configuration and caches, which they would look for in HOME."""
    home = Path(environ.get("HOME") or Path.home())
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    pip_config, uv_config = config / "pip" / "pip.conf", config / "uv" / "uv.toml"
    settings = {
        "UV_CACHE_DIR": cache / "uv",
        "PIP_CACHE_DIR": cache / "pip",
        "UV_CONFIG_FILE": uv_config if uv_config.exists() else None,
        "PIP_CONFIG_FILE": pip_config if pip_config.exists() else None,
    }
    return {name: str(path) for name, path in settings.items() if path is not None and name not in environ}
