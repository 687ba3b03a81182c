"""What a handler raises to refuse a call; the app turns it into the API's error body."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError


class Problem(Exception):
    """A call that is answered with an error.

    Attributes:
        status: HTTP status.
        message: what is wrong, for which object, and what to do.
        code: the API's own code, "VALIDATION_ERROR" for a body that is wrong, else None.
    """

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code

    @property
    def body(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message} if self.code else {"message": self.message}


def invalid(message: str) -> Problem:
    """400: the request is wrong as it stands, and nothing was created."""
    return Problem(400, message, "VALIDATION_ERROR")


def missing(kind: str, name: str, known: Iterable[str] = ()) -> Problem:
    """404: there is no such object. `known` are those that there are, where naming them helps."""
    names = sorted(known)
    return Problem(404, f"There is no {kind} {name!r}" + (f"; there are {', '.join(names)}." if names else "."))


def from_validation(error: ValidationError, where: str = "") -> Problem:
    """One sentence for each thing that is wrong with a body. Says where, never what was given: it may be a secret."""
    sentences = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        place = ".".join(str(part) for part in (where, *problem["loc"]) if part != "")
        sentences.append(f"{place}: {problem['msg']}" if place else problem["msg"])
    return invalid("; ".join(sentences))
