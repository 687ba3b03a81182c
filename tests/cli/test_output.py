import io
import json
import re
from datetime import datetime, timedelta, timezone

import pytest
from rich.console import Console

from truss_train_core.api.models import LogLine
from truss_train_core.cli import output
from truss_train_core.cli.jobs import trend
from truss_train_core.cli.logs import print_log
from truss_train_core.values import Value


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0:00"), (7.9, "0:07"), (750, "12:30"), (11045, "3:04:05"), (2 * 86400 + 60, "2 d 0:01:00"), (-3, "0:00")],
)
def test_a_duration_reads_like_a_clock(seconds: float, said: str) -> None:
    assert output.duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (12_345, "12.1 KiB"), (123_456, "121 KiB"), (8e12, "7.3 TiB")],
)
def test_a_size_has_a_unit_and_three_figures(count: float, said: str) -> None:
    assert output.size(count) == said


@pytest.mark.parametrize(
    ("value", "said"), [(None, "–"), (0.0, "0.0000"), (0.98765, "0.9877"), (3e-5, "3.000e-05"), (float("nan"), "nan")]
)
def test_a_figure_fits_a_column(value: float | None, said: str) -> None:
    assert output.figure(value) == said


def test_how_long_ago_is_said_in_the_largest_whole_unit() -> None:
    now = datetime.now(timezone.utc)
    assert output.ago(now) == "just now"
    assert output.ago(now - timedelta(minutes=4, seconds=2)) == "4 min ago"
    assert output.ago(now - timedelta(days=3, hours=5)) == "3 d ago"


def test_a_status_is_said_as_people_say_it() -> None:
    assert output.status_text("TRAINING_JOB_DEPLOY_FAILED").plain == "deploy failed"
    assert output.status_text("SOMETHING_NEW").plain == "something new"


def test_json_has_models_that_were_only_fields_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    class Inner(Value):
        at: datetime

    class Outer(Value):
        inner: Inner

    inner = Outer.model_validate({"inner": {"at": "2026-01-02T00:00:00Z"}}).inner
    output.print_json({"all": [inner, (inner,)]}, indent=None)
    at = {"at": "2026-01-02T00:00:00Z"}
    assert json.loads(capsys.readouterr().out) == {"all": [at, [at]]}


def test_json_keeps_letters_can_be_one_line_and_is_json_even_with_nan(capsys: pytest.CaptureFixture[str]) -> None:
    at = datetime(2026, 1, 2, tzinfo=timezone.utc)
    output.print_json({"name": "größe", "at": at, "loss": float("nan")}, indent=None)
    text = capsys.readouterr().out
    assert "größe" in text
    assert text.count("\n") == 1
    assert json.loads(text) == {"name": "größe", "at": "2026-01-02T00:00:00Z", "loss": None}


@pytest.mark.parametrize(
    ("forced", "said"), [(False, "Warning: disk full\n"), (True, "\x1b[1;33mWarning:\x1b[0m disk full\n")]
)
def test_messages_have_colours_on_a_terminal_alone(
    forced: bool, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    if forced:
        monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    output.warn("disk full")
    assert capsys.readouterr().err == said


def test_a_trend_goes_from_the_lowest_bar_to_the_highest() -> None:
    assert trend([0.0, 0.5, 1.0]) == "▁▅█"
    assert trend([3.0, 3.0]) == "▁▁"
    assert len(trend([float(n) for n in range(100)])) == 24


def logged(message: str, *, terminal: bool, replicas: bool = False, level: str | None = None) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=40, markup=False, highlight=False, emoji=False)
    line = LogLine(timestamp="1750000000000000000", message=message, replica="g00r1", level=level)
    print_log(console, [line], replicas=replicas)
    return file.getvalue()


def test_a_log_line_elsewhere_than_on_a_terminal_has_no_control_characters() -> None:
    text = logged("\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07 10%\r 20%\x08\n", terminal=False)
    assert text.endswith(" 20%\n")
    assert all(character.isprintable() or character == "\n" for character in text)


def test_a_log_line_on_a_terminal_keeps_its_colours_and_nothing_else() -> None:
    text = logged("\x1b[31mred\x1b[0m\x1b[2J\x1b]0;title\x07\x1bc", terminal=True)
    assert "\x1b[31m" in text
    assert re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip("\n").isprintable()


def test_a_long_log_line_is_not_broken() -> None:
    assert logged("x" * 300, terminal=False).count("\n") == 1


def test_log_lines_are_not_markup() -> None:
    assert "[bold]loss[/bold] :rocket:" in logged("[bold]loss[/bold] :rocket:", terminal=False)


def test_a_log_line_names_its_replica_where_there_are_several() -> None:
    assert "g00r1" in logged("hello", terminal=False, replicas=True)
    assert "g00r1" not in logged("hello", terminal=False)
