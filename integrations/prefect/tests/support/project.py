"""The training that the tests run, and where its platform is known."""

from __future__ import annotations

from pathlib import Path

BLOCK = "platform"
"""Name of the credentials block under which the tests' platform is known to the server."""
CONFIG = str(Path(__file__).parent.parent / "training" / "config.py")
