"""The loss of a run as a picture."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

from truss_train_core.curves import Curve, Measured, as_address, joined, loss_curve

SVG = "{http://www.w3.org/2000/svg}"


def lines(picture: str) -> list[tuple[str, int]]:
    """The lines of a picture: their classes, and how many points they have."""
    drawn = ElementTree.fromstring(picture).iter(f"{SVG}polyline")
    return [(line.attrib["class"], len(line.attrib["points"].split())) for line in drawn]


def words(picture: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def falling(*steps: int) -> dict[float, float]:
    return {float(step): 1 / step for step in steps}


def test_training_and_evaluation_loss_are_drawn_and_nothing_else() -> None:
    curves = {"eval_loss": Curve(falling(2, 4)), "loss": Curve(falling(1, 2, 3, 4)), "accuracy": Curve(falling(1, 2))}
    picture = loss_curve(curves)

    assert picture
    assert lines(picture) == [("line loss", 4), ("line eval_loss", 2)]
    assert {"1", "4", "0.25"} <= set(words(picture))


def test_where_an_attempt_went_on_and_what_was_chosen_are_marked() -> None:
    curves = joined(
        [
            Measured("a", 1, None, [{"step": step, "loss": 1.0} for step in (1, 2, 3)]),
            Measured("b", 2, 2, [{"step": step, "loss": 0.5} for step in (3, 4)]),
        ]
    )
    picture = loss_curve(curves, resumed=[(2, 2)], chosen=4)

    assert picture
    assert lines(picture) == [("line loss", 4), ("line loss", 1)]  # the second is what was set aside
    assert {"attempt 2", "chosen: 4"} <= set(words(picture))


def test_one_loss_is_no_curve() -> None:
    assert loss_curve({"loss": Curve(falling(1))}) is None
    assert loss_curve({"accuracy": Curve(falling(1, 2, 3))}) is None


def test_a_flat_curve_is_drawn() -> None:
    assert loss_curve({"loss": Curve({1.0: 2.0, 2.0: 2.0})})


def test_a_long_curve_stays_small_and_keeps_its_end() -> None:
    picture = loss_curve({"loss": Curve(falling(*range(1, 100_000)))})

    assert picture
    assert len(picture) < 10_000
    assert lines(picture)[0][1] <= 300
    assert "99999" in words(picture)


def test_a_picture_can_be_an_address() -> None:
    scheme, content = as_address("<svg/>").split(",")

    assert (scheme, base64.b64decode(content)) == ("data:image/svg+xml;base64", b"<svg/>")
