import pytest
import typer
from pydantic import BaseModel, ValidationError

from truss_train_core import errors
from truss_train_core.cli import failures, main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.JobFailed("it failed"), 1),
        (errors.DeploymentFailed("it failed"), 1),
        (errors.RunFailed("it failed"), 1),
        (errors.NoUsableCheckpoint("there is none"), 1),
        (errors.WaitTimeout("too long"), 1),
        (errors.ConfigFileError("no file"), 2),
        (errors.PackageError("broken link"), 2),
        (errors.RemoteError("no such remote"), 2),
        (errors.JobNotFound("no job"), 2),
        (failures.BadOptions("--a and --b"), 2),
        (errors.Unauthorized("wrong key", status=401), 3),
        (errors.Unreachable("no answer"), 3),
        (errors.LocalPlatformError("port in use"), 3),
        (OSError(28, "No space left on device", "/tmp/x"), 3),
        (KeyError("oops"), 3),
    ],
)
def test_an_error_has_the_exit_code_of_its_kind(error: Exception, code: int) -> None:
    assert failures.report(error) == code


def test_an_error_is_a_line_and_its_hint_another(capsys: pytest.CaptureFixture[str]) -> None:
    failures.report(errors.ConfigFileError("There is no file a.py.", hint="Name one."))
    printed = capsys.readouterr()
    assert printed.err == "Error: There is no file a.py.\nName one.\n"
    assert printed.out == ""


def test_a_validation_error_names_the_fields_and_not_what_they_were_given(capsys: pytest.CaptureFixture[str]) -> None:
    class Thing(BaseModel):
        count: int
        word: str

    with pytest.raises(ValidationError) as raised:
        Thing.model_validate({"count": "s3cret", "word": 3})
    failures.report(raised.value)
    text = capsys.readouterr().err
    assert text.startswith("Error: Thing.count: ")
    assert "Thing.word: " in text
    assert "s3cret" not in text
    assert text.count("\n") == 1


def test_a_traceback_is_shown_only_when_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        {}["oops"]
    except KeyError as error:
        oops = error
    failures.report(oops)
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("TRUSS_TRAIN_DEBUG", "1")
    failures.report(oops)
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_says_what_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as left, failures.interruptible(lambda: ["Job a goes on.", "Stop it: …"]):
        raise KeyboardInterrupt
    assert left.value.exit_code == 130
    assert capsys.readouterr().err == "Job a goes on.\nStop it: …\n"


def test_a_wrong_option_is_one_line_and_names_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.invoke(["jobs", "--nope"]) == 2
    assert capsys.readouterr().err == "Error: No such option: --nope\nSee truss-train jobs --help.\n"
