"""Reads a definition from a config.py: a Python file that binds one to a name at its top level.

Files written for truss load unchanged, whether truss is installed or not. While a file is loading, and only then,
`truss_train` and `truss.base.truss_config` are names for this package's definitions, and the file's directory comes
first on the import path. Both are properties of the whole process, so one file loads at a time, and afterwards they
are as they were: modules imported from the file's directory are forgotten again, lest the `helper.py` of one project
be taken for that of another.

A file that reads a `runtime_config.json` beside it (documentation) can be given that file's content instead. Nothing is
written into its directory then, where it would be read by whoever loads the file at the same moment: it runs in a
temporary directory of its own, which has links to everything that stands beside it, and to nothing that lies above.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from truss_train_core import definitions
from truss_train_core.definitions._parameters import RUNTIME_CONFIG, expect_json
from truss_train_core.errors import ConfigFileError

_Wanted = TypeVar("_Wanted", bound=BaseModel)

_PACKAGE = Path(__file__).parent
_TRUSS = {"truss", "truss_train"}
_INSTALLED = {"site-packages", "dist-packages"}

_ONE_AT_A_TIME = threading.RLock()  # reentrant, since a config file may load another


def load_training_project(
    path: str | os.PathLike[str], *, runtime_config: Mapping[str, JsonValue] | None = None
) -> definitions.TrainingProject:
    """Run a config file and return the one TrainingProject that it defines.

    Args:
        path: of the file.
        runtime_config: what the file finds in `runtime_config.json` beside it, and its job in the working directory;
            None leaves it to the file that is there, or is not.

    Raises:
        ConfigFileError: there is no such Python file, it does not run, or it defines none or several.
        DefinitionError: `runtime_config` holds something that JSON has no form for.
    """
    path = Path(path).absolute()
    if runtime_config is None:
        return _load(path, definitions.TrainingProject)
    config = expect_json(runtime_config)
    _compile(path)  # refused by its own name
    with _beside(path, RUNTIME_CONFIG, json.dumps(config, indent=2)) as there:
        try:
            project = _load(there, definitions.TrainingProject)
        except ConfigFileError as error:
            said = error.message.replace(str(there.parent), str(path.parent))
            raise ConfigFileError(said, hint=error.hint) from error
    return project.with_parameters(runtime_config=config)


def load_deploy_checkpoints_config(path: str | os.PathLike[str]) -> definitions.DeployCheckpointsConfig:
    """Run a config file and return the one DeployCheckpointsConfig that it defines.

    Raises:
        ConfigFileError: there is no such Python file, it does not run, or it defines none or several.
    """
    return _load(Path(path).absolute(), definitions.DeployCheckpointsConfig)


@contextmanager
def _beside(path: Path, name: str, text: str) -> Iterator[Path]:
    """A copy of a file in a directory where another stands beside it, and all that stands beside the original."""
    with tempfile.TemporaryDirectory(prefix="truss-train-config-") as made:
        directory = Path(made).resolve()
        for each in path.parent.iterdir():
            if each.name not in (name, path.name):
                (directory / each.name).symlink_to(each)
        (directory / path.name).write_bytes(path.read_bytes())  # a link could lead it back when it asks where it is
        (directory / name).write_text(text)
        yield directory / path.name


def _load(path: Path, wanted: type[_Wanted]) -> _Wanted:
    names = {name: value for name, value in _run(path).items() if isinstance(value, BaseModel)}
    found = {id(value): value for value in names.values() if isinstance(value, wanted)}  # by id: two names, one object
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        several = ", ".join(name for name, value in names.items() if id(value) in found)
        raise ConfigFileError(
            f"{path} defines {len(found)} objects of class {wanted.__name__}: {several}.",
            hint="Keep one of them; the others can have files of their own.",
        )
    others = ", ".join(f"{name} ({type(value).__name__})" for name, value in names.items())
    raise ConfigFileError(
        f"{path} defines no {wanted.__name__}{f', only {others}' if others else ''}.",
        hint="Bind one to a name at the top level of the file.",
    )


def _run(path: Path) -> dict[str, Any]:
    """Run a file; return what its names are bound to."""
    code = _compile(path)
    spec = importlib.util.spec_from_file_location(f"_truss_train_config_{path.stem}", path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    try:
        with _surroundings(path.parent, module):
            exec(code, vars(module))  # noqa: S102 - that is what loading a config.py means
    except (Exception, SystemExit) as error:
        raise ConfigFileError(f"{_place(error, path)}: {_cause(error)}", hint=_hint(error)) from error
    return vars(module)


def _compile(path: Path) -> CodeType:
    """Compile a file, never from a cache: that would miss a change within the same second, as sweeps make them."""
    if path.is_dir():
        raise ConfigFileError(f"{path} is a directory.", hint=f"Name the file in it, such as {path / 'config.py'}.")
    if not path.exists():
        raise ConfigFileError(f"There is no file {path}.")
    if path.suffix != ".py":
        raise ConfigFileError(f"{path} is not a Python file: its name does not end in .py.")
    try:
        return compile(path.read_bytes(), path, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ConfigFileError(f"{path}:{error.lineno}: SyntaxError: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise ConfigFileError(f"{path} cannot be read: {error}") from error


@contextmanager
def _surroundings(directory: Path, module: ModuleType) -> Iterator[None]:
    """What a file finds around it while it runs; put back as it was afterwards."""
    own = {**_aliases(), module.__name__: module}
    with _ONE_AT_A_TIME:
        modules, search_path, dont_write_bytecode = dict(sys.modules), list(sys.path), sys.dont_write_bytecode
        shadowed = _TRUSS | _shadowed(directory)
        hidden = {name: other for name, other in modules.items() if _root(name) in shadowed or name in own}
        for name in hidden:
            del sys.modules[name]
        sys.modules.update(own)
        sys.path.insert(0, str(directory))
        sys.dont_write_bytecode = True  # in the user's directory, where it would be sent along or be stale
        importlib.invalidate_caches()
        try:
            yield
        finally:
            folders = {directory, *(Path(entry).absolute() for entry in sys.path if entry not in search_path)}
            for name, other in list(sys.modules.items()):
                if modules.get(name) is not other and (name in own or _is_from(folders, other)):
                    del sys.modules[name]
            sys.modules.update(hidden)
            sys.path[:] = search_path
            sys.dont_write_bytecode = dont_write_bytecode


def _aliases() -> dict[str, ModuleType]:
    """The modules of truss that config files import, by name."""
    public_api = _module("truss_train.public_api", push=_push)
    truss_train = _module(
        "truss_train", definitions=definitions, public_api=public_api, push=_push,
        __all__=definitions.__all__, __getattr__=_exported,
    )  # fmt: skip
    base = _module("truss.base", truss_config=definitions)
    return {
        "truss_train": truss_train,
        "truss_train.definitions": definitions,
        "truss_train.public_api": public_api,
        "truss": _module("truss", base=base),
        "truss.base": base,
        "truss.base.truss_config": definitions,
    }


def _exported(name: str) -> Any:
    if name not in definitions.__all__:
        raise AttributeError(f"truss_train has no {name!r}")
    return getattr(definitions, name)  # on first use: those of a deployment are not for every file


def _module(name: str, **names: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(names)
    return module


def _push(*_: Any, **__: Any) -> NoReturn:
    raise ConfigFileError("push() is called by the file that it is to read; call it from another file")


def _shadowed(directory: Path) -> set[str]:
    """Imported modules that came from elsewhere, where the directory has its own of that name."""
    local = {file.stem for file in directory.glob("*.py")}
    local |= {file.parent.name for file in directory.glob("*/__init__.py")}
    local -= {_PACKAGE.name, "__main__", *sys.stdlib_module_names}
    return {name for name in local & sys.modules.keys() if not _is_from({directory}, sys.modules[name])}


def _is_from(folders: set[Path], module: ModuleType) -> bool:
    """Whether a module is the user's own and lies in one of these folders."""
    attributes = getattr(module, "__dict__", {})  # asking a lazy module for an attribute could import it
    files = [attributes.get("__file__"), *(attributes.get("__path__") or ())]
    return any(_is_users(Path(file), folders) for file in files if file)


def _is_users(file: Path, folders: set[Path]) -> bool:
    """Whether a file lies in one of these folders, and not among what is installed somewhere below them."""
    if file.is_relative_to(_PACKAGE) or not _INSTALLED.isdisjoint(file.parts):
        return False
    return any(file.is_relative_to(folder) for folder in folders)


def _root(name: str) -> str:
    return name.partition(".")[0]


def _place(error: BaseException, path: Path) -> str:
    """The file and line, of the config file or of a module beside it, in which the error arose."""
    place = str(path)
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if file == path or _is_users(file, {path.parent}):
            place = f"{file}:{line}"
    return place


def _cause(error: BaseException) -> str:
    """The error in one line, without what a field was given."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join([error.title, *map(str, detail['loc'])])}: {detail['msg'].removeprefix('Value error, ')}"
            for detail in error.errors(include_url=False, include_input=False, include_context=False)
        )
    if isinstance(error, ConfigFileError):
        return str(error)
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def _hint(error: BaseException) -> str | None:
    if isinstance(error, ImportError) and _root(error.name or "") in _TRUSS:
        return f"Of truss, a config file finds {', '.join(_aliases())}: this package's definitions."
    return None
