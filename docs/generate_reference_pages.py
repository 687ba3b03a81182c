"""Writes reference/: the public names of the three distributions, with their signatures and what their docstrings say.

    make docs

The code is read, not imported, so neither Airflow nor Prefect has to be installed. The declarations are formatted by
ruff, as all code in pages is.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
SOURCES = [ROOT, ROOT / "integrations" / "airflow", ROOT / "integrations" / "prefect"]

MODULES = {
    "truss_train_core": ["testing"],
    "airflow_provider_truss_train": ["operators", "decorators", "sensors", "assets", "hooks"],
    "prefect_truss_train": [],
}
"""The distributions, and modules that have a page beside those that a distribution names in its `__all__`."""

_WRITTEN = "<!-- Written by docs/generate_reference_pages.py; change the docstrings, and run `make docs`. -->"
_CALLED_BY_ENGINES = {"execute", "execute_complete", "on_kill", "poke", "serialize"}
Public = tuple[str, griffe.Object]


def main() -> None:
    index = ["# Reference", _WRITTEN, "What may be imported, and no more: any other name may change without notice."]
    written = {"index"}
    FOLDER.mkdir(exist_ok=True)
    for module in modules():
        names = list(public(module))
        if not names:
            continue
        page = f"{module.path}.md"
        index.append(f"## [`{module.path}`]({page})\n\n{first_sentence(module)}")
        index.append(
            "\n".join(f"- [`{name}`]({page}#{name.lower()}) {first_sentence(it)}".rstrip() for name, it in names)
        )
        (FOLDER / page).write_text("\n\n".join(parts_of(module, names)) + "\n")
        written.add(module.path)
    (FOLDER / "index.md").write_text("\n\n".join(index) + "\n")
    for gone in {page.stem for page in FOLDER.glob("*.md")} - written:
        (FOLDER / f"{gone}.md").unlink()


def modules() -> Iterator[griffe.Object]:
    """The modules that have a page."""
    for name, beside in MODULES.items():
        package = griffe.load(
            name,
            search_paths=SOURCES,
            docstring_parser="google",
            docstring_options={"warnings": False},
            resolve_aliases=True,
        )
        yield package
        rooms = [str(each) for each in package.exports or [] if package[str(each)].is_module]
        yield from (package[room] for room in [*rooms, *beside])


def public(module: griffe.Object) -> Iterator[Public]:
    """The names that a module says it has; where it says nothing, what it defines and does not hide."""
    for name in module.exports or [name for name, it in module.members.items() if it.is_public and not it.is_alias]:
        it = module[str(name)]
        it = it.final_target if it.is_alias else it
        if not it.is_module and (it.docstring or it.is_class or module.exports):
            yield str(name), it


def parts_of(module: griffe.Object, names: list[Public]) -> Iterator[str]:
    """A page."""
    yield f"# `{module.path}`"
    yield _WRITTEN
    yield from said(module)
    for name, it in names:
        yield f"## `{name}`"
        yield f"```python\n{stub(it, name)}\n```"
        yield from said(it)
        for method in methods(it):
            yield f"### `{name}.{method.name}`"
            yield f"```python\n{stub(method, method.name)}\n```"
            yield from said(method)


def methods(it: griffe.Object) -> list[griffe.Object]:
    """What a class can be asked to do: its own public functions that say what they do."""
    own = [each for each in it.functions.values() if each.is_public and each.docstring and not each.is_alias]
    return [each for each in own if each.name not in _CALLED_BY_ENGINES]


def stub(it: griffe.Object, name: str) -> str:
    """What one would write to declare it."""
    if isinstance(it, griffe.Attribute):
        value = "" if it.value is None else f" = {it.value}"
        return f"{name}: {it.annotation}{value}" if it.annotation else f"{name}{value}"
    if isinstance(it, griffe.Function):
        return call(it, name, "async def" if "async" in it.labels else "def")
    bases = [str(base) for base in getattr(it, "bases", []) if not str(base).startswith("_")]
    made = it.members.get("__init__")
    written = isinstance(made, griffe.Function) and "dataclass" not in it.labels
    body = [call(made, "__init__", "def")] if written else fields(it)
    head = f"class {name}({', '.join(bases)}):" if bases else f"class {name}:"
    return head + (" ..." if not body else "\n" + textwrap.indent("\n".join(body), "    "))


def fields(it: griffe.Object) -> list[str]:
    """What the body of a class declares for its users."""
    public = [each for each in it.attributes.values() if each.is_public and not each.is_alias]
    declared = [each for each in public if "class-attribute" in each.labels or each.value is None]
    inner = ("ClassVar", "Final")
    return [
        stub(each, each.name)
        for each in declared
        if each.name != "model_config" and "property" not in each.labels and not str(each.annotation).startswith(inner)
    ]


def call(it: griffe.Function, name: str, keyword: str) -> str:
    """A function's head."""
    arguments = []
    for each in it.parameters:
        if each.kind is griffe.ParameterKind.keyword_only and not any(one.startswith("*") for one in arguments):
            arguments.append("*")
        stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(each.kind, "")
        annotation = f": {each.annotation}" if each.annotation else ""
        default = "" if stars or each.default is None else f" = {each.default}"
        arguments.append(f"{stars}{each.name}{annotation}{default}")
    returns = f" -> {it.returns}" if it.returns else ""
    return f"{keyword} {name}({', '.join(arguments)}){returns}: ..."


def said(it: griffe.Object) -> Iterator[str]:
    """A docstring as Markdown."""
    for section in it.docstring.parsed if it.docstring else []:
        if section.kind is griffe.DocstringSectionKind.text:
            yield section.value
        elif section.kind in (griffe.DocstringSectionKind.parameters, griffe.DocstringSectionKind.attributes):
            yield "\n".join(f"- {code(each.name)}: {flat(each.description)}" for each in section.value)
        elif section.kind is griffe.DocstringSectionKind.raises:
            yield "Raises:"
            yield "\n".join(
                f"- {code(str(each.annotation).strip('()'))}: {flat(each.description)}" for each in section.value
            )
        elif section.kind in (griffe.DocstringSectionKind.returns, griffe.DocstringSectionKind.yields):
            yield f"{section.kind.value.title()}: {' '.join(flat(each.description) for each in section.value)}"
        else:
            raise ValueError(f"{it.path}: a docstring has a section {section.kind.value!r}, which no page has yet")


def first_sentence(it: griffe.Object) -> str:
    text = flat(it.docstring.value.split("\n\n")[0]) if it.docstring else ""
    return re.split(r"(?<=[.])\s+(?=[A-Z`])", text)[0]


def code(names: str) -> str:
    return ", ".join(f"`{name.strip()}`" for name in names.split(","))


def flat(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
