"""What travels with a job: the working directory, looked at once, before anything is created remotely.

The result is a value: files with the names they will have in the archive, and what stays behind with the reason.

Rules beyond the ignore lists:
  * Files arrive as regular files. A symbolic link is followed, to a file or a directory, inside the tree or out of it:
    its content travels under the link's name, because the target's path means nothing on another machine.
  * A link that leads nowhere is an error; a link to a directory around itself, a socket, a pipe or a device stays
    behind and is reported.
  * Directories without files do not travel.
  * With a workspace, paths are relative to the directory of the config file, and names in the archive are relative to
    `workspace_root`, so that the config file may be one level down or more. `exclude_dirs` are direct children of it;
    `external_dirs` lie outside and arrive at the top level.

Sources: documentation, and what the current client does, except that links arrive and nothing is dropped in silence.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truss_train_core.definitions._parameters import RUNTIME_CONFIG
from truss_train_core.errors import PackageError
from truss_train_core.package.ignore import ENVIRONMENT_MARKS, IgnoreRules, Reason

if TYPE_CHECKING:
    from truss_train_core.definitions import Workspace

SIZE_LIMIT = 5 * 1024**3
"""Bytes that a working directory may hold. Documentation advises to stay under 1 GB."""


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """A file that travels.

    Attributes:
        arcname: its path in the archive, with forward slashes.
        source: path of where its content is read.
        size: bytes, when it was looked at.
        mode: 0o755 if anyone may execute it, otherwise 0o644.
        modified_ns: when it was last written, in nanoseconds since the epoch, when it was looked at.
        content: what it holds, where that was made for this job; None where it is read from `source`.
    """

    arcname: str
    source: str
    size: int
    mode: int
    modified_ns: int
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A path that stays behind.

    Attributes:
        arcname: the path it would have had in the archive; a directory, which ends with a slash, is named once.
        reason: whose rule it was.
        pattern: the line that matched, or None where it was not a pattern.
        files, size: how many files and bytes; None for a directory that was not looked into, because leaving it out
            surprises nobody and it may be huge.
    """

    arcname: str
    reason: Reason
    pattern: str | None = None
    files: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """A working directory, ready to be archived.

    Attributes:
        root: the directory that becomes the top of the archive, and the job's working directory.
        files: what travels, sorted by `arcname`.
        left_out: what stays behind, sorted by `arcname`.
    """

    root: Path
    files: tuple[PackagedFile, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of content; the archive is a little larger."""
        return sum(file.size for file in self.files)


@dataclass
class _Found:
    files: list[PackagedFile] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def prepare(
    source_dir: Path, workspace: Workspace | None = None, *, runtime_config: Mapping[str, Any] | None = None
) -> Package:
    """Look at the working directory and decide what travels. Reads no file but `.truss_ignore`.

    Args:
        source_dir: the directory of the config file.
        workspace: widens or narrows it.
        runtime_config: travels as `runtime_config.json` beside the config file, in the place of a file of that name.
            Nothing is written into the directory, which other jobs may be made of at the same moment.

    Raises:
        PackageError: the directory or the workspace is not what it should be; a link leads nowhere; something cannot
            be read; there is more than `SIZE_LIMIT`.
    """
    source_dir = source_dir.resolve()
    if not source_dir.is_dir():
        raise PackageError(f"The working directory {source_dir} is not a directory.")
    root = _workspace_root(source_dir, workspace)
    excluded = _excluded_names(source_dir, root, workspace)
    rules = IgnoreRules.of(root)
    _expect_to_travel(source_dir.relative_to(root), rules)

    found = _Found()
    _gather(root, "", rules, excluded, (), found)
    for directory in _external_dirs(source_dir, root, workspace):
        _expect_to_travel(Path(directory.name), rules)
        _gather(directory, f"{directory.name}/", rules, frozenset(), (), found)

    files = {file.arcname: file for file in found.files}
    if runtime_config is not None:
        made = _runtime_config(source_dir, root, runtime_config)
        files[made.arcname] = made
    package = Package(
        root=root,
        files=tuple(files[arcname] for arcname in sorted(files)),
        left_out=tuple(sorted(found.left_out, key=lambda path: path.arcname)),
    )
    _check_size(package)
    return package


def _runtime_config(source_dir: Path, root: Path, config: Mapping[str, Any]) -> PackagedFile:
    path = source_dir / RUNTIME_CONFIG
    content = json.dumps(config, indent=2).encode()
    return PackagedFile(path.relative_to(root).as_posix(), str(path), len(content), 0o644, 0, content)


# --- workspace ---


def _workspace_root(source_dir: Path, workspace: Workspace | None) -> Path:
    if workspace is None or workspace.workspace_root is None:
        return source_dir
    root = (source_dir / workspace.workspace_root).resolve()
    if not root.is_dir():
        raise PackageError(f"workspace_root {workspace.workspace_root!r} is not a directory: {root}.")
    if not source_dir.is_relative_to(root):
        raise PackageError(
            f"workspace_root {root} does not contain the directory of the config file, {source_dir}.",
            hint="It is relative to the config file, for example '..'.",
        )
    return root


def _excluded_names(source_dir: Path, root: Path, workspace: Workspace | None) -> frozenset[str]:
    names = set()
    for given in workspace.exclude_dirs if workspace else ():
        path = source_dir / given
        path = path.parent.resolve() / path.name  # itself not resolved: a link is excluded by its own name
        if path.parent != root or path.name in ("", ".."):
            raise PackageError(
                f"exclude_dirs: {given!r} is {path}, which is not directly in {root}.",
                hint="It is relative to the config file; .truss_ignore can leave out what lies deeper.",
            )
        if source_dir.is_relative_to(path):
            raise PackageError(f"exclude_dirs: {given!r} would leave out the config file's own directory.")
        names.add(path.name)
    return frozenset(names)


def _external_dirs(source_dir: Path, root: Path, workspace: Workspace | None) -> Iterator[Path]:
    taken = {path.name: root for path in root.iterdir()}
    for given in workspace.external_dirs if workspace else ():
        path = (source_dir / given).resolve()
        if not path.is_dir():
            raise PackageError(f"external_dirs: {given!r} is not a directory: {path}.")
        if path.is_relative_to(root):
            continue  # it travels with the root anyway
        if root.is_relative_to(path):
            raise PackageError(
                f"external_dirs: {given!r} contains the working directory {root}.", hint="Make it the workspace_root."
            )
        if path.name in taken:
            raise PackageError(
                f"external_dirs: {given!r} would arrive as {path.name!r}, as something of {taken[path.name]} does.",
                hint="Rename one of the two.",
            )
        taken[path.name] = path.parent
        yield path


def _expect_to_travel(directory: Path, rules: IgnoreRules) -> None:
    """Refuse to leave out what was asked for: the config file's directory, or one of `external_dirs`."""
    for part in (directory, *directory.parents):
        if part.name and (matched := rules.match(f"{part.as_posix()}/")):
            reason, pattern = matched
            raise PackageError(
                f"{directory} is asked for, but left out by {pattern!r} ({reason.value}).",
                hint=f"Bring it back with a line '!{part.as_posix()}/' in .truss_ignore, or rename it.",
            )


# --- the tree ---


def _gather(
    directory: Path,
    prefix: str,
    rules: IgnoreRules,
    excluded: frozenset[str],
    around: tuple[tuple[int, int], ...],
    found: _Found,
) -> None:
    """Add what is in `directory` to `found`; `around` identifies the directories it lies in, to notice a cycle."""
    try:
        status = directory.stat()
        with os.scandir(directory) as listed:
            entries = sorted(listed, key=attrgetter("name"))
    except OSError as error:
        raise _unreadable(directory, error) from error
    mark = next((entry.name for entry in entries if entry.name in ENVIRONMENT_MARKS), None)
    if mark and prefix:
        found.left_out.append(LeftOut(prefix, Reason.ALWAYS, f"*/{mark}"))
        return
    around = (*around, (status.st_dev, status.st_ino))
    for entry in entries:
        if entry.name in excluded:
            found.left_out.append(LeftOut(f"{prefix}{entry.name}/", Reason.EXCLUDE_DIRS))
        else:
            _take(entry, prefix + entry.name, rules, around, found)


def _take(
    entry: os.DirEntry[str], arcname: str, rules: IgnoreRules, around: tuple[tuple[int, int], ...], found: _Found
) -> None:
    """Add one path, with everything below it, to what travels or to what stays behind."""
    status, failure = _status(entry)
    is_directory = status is not None and stat.S_ISDIR(status.st_mode)
    if is_directory:
        arcname += "/"
    if matched := rules.match(arcname):
        found.left_out.append(_left_out(Path(entry), arcname, *matched))
    elif status is None:
        raise _unreadable(Path(entry), failure) from failure
    elif is_directory:
        if (status.st_dev, status.st_ino) in around:
            found.left_out.append(LeftOut(arcname, Reason.LINK_CYCLE))
        else:
            _gather(Path(entry), arcname, rules, frozenset(), around, found)
    elif stat.S_ISREG(status.st_mode):
        if not os.access(entry, os.R_OK):
            raise _unreadable(Path(entry))
        mode = 0o755 if status.st_mode & 0o111 else 0o644
        found.files.append(PackagedFile(arcname, entry.path, status.st_size, mode, status.st_mtime_ns))
    else:
        found.left_out.append(LeftOut(arcname, Reason.SPECIAL_FILE, files=1, size=0))


def _status(entry: os.DirEntry[str]) -> tuple[os.stat_result | None, OSError | None]:
    try:
        return entry.stat(), None
    except OSError as error:
        return None, error


def _unreadable(path: Path, error: OSError | None = None) -> PackageError:
    cause = error.strerror if error else "Permission denied"
    try:
        what = f"is a link to {path.readlink()}, which cannot be followed"
    except OSError:
        what = "cannot be read"
    return PackageError(f"{path} {what}: {cause}.", hint="Remove it, or leave it out with a line in .truss_ignore.")


def _left_out(path: Path, arcname: str, reason: Reason, pattern: str) -> LeftOut:
    if not arcname.endswith("/"):
        return LeftOut(arcname, reason, pattern, files=1, size=path.lstat().st_size)
    if reason is not Reason.BUILT_IN:
        return LeftOut(arcname, reason, pattern)
    inside = [Path(top, name) for top, _, names in os.walk(path) for name in names]
    return LeftOut(arcname, reason, pattern, len(inside), sum(file.lstat().st_size for file in inside))


def _check_size(package: Package) -> None:
    if package.size <= SIZE_LIMIT:
        return
    places: Counter[str] = Counter()
    for file in package.files:
        parts = file.arcname.split("/")
        places["/".join(parts[:2]) + ("/" if len(parts) > 2 else "")] += file.size
    largest = ", ".join(f"{place} ({human_size(size)})" for place, size in places.most_common(3))
    raise PackageError(
        f"{package.root} holds {human_size(package.size)}, more than the limit of {human_size(SIZE_LIMIT)}; "
        f"most of it in {largest}.",
        hint="Leave data out with .truss_ignore and read it from object storage, a cache or weights.",
    )


# --- saying what was done ---

_INTRODUCTIONS = {
    Reason.BUILT_IN: "Left out by the built-in list, which a .truss_ignore file replaces",
    Reason.ALWAYS: "Always left out",
    Reason.IGNORE_FILE: "Left out by .truss_ignore",
    Reason.EXCLUDE_DIRS: "Left out by exclude_dirs",
    Reason.SPECIAL_FILE: "Left out, as they are not regular files",
    Reason.LINK_CYCLE: "Left out, as they link to a directory around themselves",
}


def describe(package: Package) -> list[str]:
    """Lines for a person: what travels, then what stays behind, a line for each reason, examples for each pattern."""
    lines = [f"{_count(len(package.files))}, {human_size(package.size)}, from {package.root}"]
    for reason, introduction in _INTRODUCTIONS.items():
        by_pattern: defaultdict[str | None, list[LeftOut]] = defaultdict(list)
        for path in package.left_out:
            if path.reason is reason:
                by_pattern[path.pattern].append(path)
        if by_pattern:
            lines.append(f"{introduction}: {', '.join(_examples(paths) for paths in by_pattern.values())}")
    return lines


def _examples(paths: list[LeftOut]) -> str:
    largest = max(paths, key=lambda path: path.size or 0)
    text = largest.arcname
    if largest.files is not None and largest.size is not None:
        count = f"{_count(largest.files)}, " if text.endswith("/") else ""
        text += f" ({count}{human_size(largest.size)})"
    return f"{text} and {len(paths) - 1:,} more of this kind" if len(paths) > 1 else text


def _count(files: int) -> str:
    return f"{files:,} file{'' if files == 1 else 's'}"


def human_size(size: float) -> str:
    """A number of bytes for a person, e.g. "4.0 GiB"."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
