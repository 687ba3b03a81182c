"""The page of the command line says what the code has."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_the_code_has() -> None:
    generator = runpy.run_path(str(DOCS / "generate_cli_page.py"))
    assert (DOCS / "cli.md").read_text() == generator["page"](), "run: python docs/generate_cli_page.py"
