"""Draws images/whole-light.svg and images/whole-dark.svg: the whole in one picture, narrow enough for a phone.

python docs/whole_picture.py
"""

from __future__ import annotations

from html import escape
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT = 440, 664
TITLE = "Whoever asks hands a plan to the core, which submits, waits, resumes, chooses and deploys over one API"
LIGHT = {"ink": "#1f2430", "soft": "#525b69", "line": "#9aa4b2", "box": "#f3f5f9", "step": "#fff", "mark": "#3949ab"}
DARK = {"ink": "#e8ebf1", "soft": "#b3bbc8", "line": "#5b6575", "box": "#20252f", "step": "#2b313d", "mark": "#a5aeff"}
ASKING = [("Shell", "truss-train"), ("Python", "Client"), ("Airflow", "operators"), ("Prefect", "tasks")]
STEPS = [
    ("submit", "exactly once: its name is a key"),
    ("wait", "one question for all; the log"),
    ("resume", "from a checkpoint that is whole"),
    ("choose", "the best, by a metric"),
    ("deploy", "once; promote behind a gate"),
]
PLATFORMS = [("Baseten", "GPUs, containers"), ("Local platform", "processes, here")]


def text(x: float, y: float, words: str, size: int = 14, fill: str = "ink", anchor: str = "middle") -> str:
    weight = ' font-weight="600"' if fill != "soft" and size > 13 else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" class="{fill}" text-anchor="{anchor}"{weight}>{escape(words)}</text>'
    )


def box(x: float, y: float, width: float, height: float, kind: str = "box") -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" class="{kind}"/>'


def arrow(path: str, kind: str = "soft") -> str:
    return f'<path d="{path}" class="arrow-{kind}" marker-end="url(#{kind})"/>'


def asking() -> list[str]:
    drawn = [text(220, 18, "Whoever asks begins a run and keeps its record", fill="soft")]
    for index, (name, how) in enumerate(ASKING):
        x = 6 + index * 108
        drawn += [box(x, 30, 104, 52), text(x + 52, 52, name, 15), text(x + 52, 71, how, 13, "soft")]
    drawn += [arrow("M140 88 V120"), text(133, 109, "plan", 13, "soft", "end")]
    return [*drawn, arrow("M300 120 V88"), text(308, 109, "record, events", 13, "soft", "start")]


def core() -> list[str]:
    drawn = [box(6, 126, 428, 300), text(220, 150, "The core: one run, taken up again anywhere", 15)]
    for index, (name, how) in enumerate(STEPS):
        y, mark = 164 + index * 52, "mark" if name == "resume" else "ink"
        drawn += [box(50, y, 340, 36, "step-mark" if name == "resume" else "step")]
        drawn += [text(62, y + 23, name, 15, mark, "start"), text(132, y + 23, how, 14, "soft", "start")]
    drawn += [arrow("M90 200 V214"), arrow("M90 252 V266", "mark"), arrow("M90 356 V370")]
    drawn += [arrow("M50 286 H30 V182 H48", "mark"), arrow("M390 234 H410 V338 H392")]
    sideways = [(22, 234, "broke off", "mark"), (424, 286, "completed", "soft")]
    return drawn + [
        f'<g transform="translate({x} {y}) rotate(-90)">{text(0, 0, said, 12, fill)}</g>'
        for x, y, said, fill in sideways
    ]


def platforms() -> list[str]:
    drawn = [arrow("M50 432 V474"), arrow("M390 474 V432"), text(220, 458, "one management API: Baseten’s")]
    for index, (name, what) in enumerate(PLATFORMS):
        x = 6 + index * 218
        drawn += [box(x, 480, 210, 178), text(x + 105, 504, name, 15), text(x + 105, 522, what, 13, "soft")]
        for row, thing in enumerate(("job", "checkpoints", "deployment")):
            y = 532 + row * 42
            drawn += [box(x + 35, y, 140, 28, "step"), text(x + 105, y + 19, thing, 13)]
            drawn += [arrow(f"M{x + 105} {y - 14} V{y - 1}")] if row else []
    return drawn


def picture(colour: dict[str, str]) -> str:
    style = "".join(f".{name}{{fill:{colour[name]}}}" for name in ("ink", "soft", "mark"))
    style += "".join(f".{kind}{{fill:{colour[kind]};stroke:{colour['line']}}}" for kind in ("box", "step"))
    style += f".step-mark{{fill:{colour['step']};stroke:{colour['mark']};stroke-width:1.6}}"
    style += "".join(f".arrow-{k}{{fill:none;stroke:{colour[k]};stroke-width:1.6}}" for k in ("soft", "mark"))
    heads = "".join(
        f'<marker id="{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" class="{kind}"/></marker>'
        for kind in ("soft", "mark")
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH * 5 // 4}"'
            ' role="img" font-family="system-ui, sans-serif">',
            f"<title>{TITLE}</title><style>{style}</style><defs>{heads}</defs>",
            *asking(),
            *core(),
            *platforms(),
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    (IMAGES / "whole-light.svg").write_text(picture(LIGHT))
    (IMAGES / "whole-dark.svg").write_text(picture(DARK))
