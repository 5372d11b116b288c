"""The pictures of the lessons: python -m lessons.figure draws them all anew into figures/lessons."""

import re
import sys
import time
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

matplotlib.use("Agg")  # no display needed

LESSONS = Path(__file__).parent
FOLDER = LESSONS.parent / "figures" / "lessons"
saving = False  # a lesson that is only tried leaves no file behind


def save(picture: Figure | Image.Image, name: str) -> None:
    """A lesson's picture, as figures/lessons/<name>.png."""
    if saving:
        FOLDER.mkdir(parents=True, exist_ok=True)
        if isinstance(picture, Figure):
            picture.savefig(FOLDER / f"{name}.png", dpi=110, bbox_inches="tight")
        else:
            picture.save(FOLDER / f"{name}.png", optimize=True)
    if isinstance(picture, Figure):
        plt.close(picture)


def blocks(page: Path) -> list[str]:
    """The Python of a lesson."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def main() -> None:
    from lessons import figure  # this very module, by the name that the lessons know it by

    figure.saving = True
    for page in sorted(LESSONS.glob("[0-9]*.md")):
        start, names = time.perf_counter(), {}  # type: ignore[var-annotated]
        for block in blocks(page):
            exec(block, names)
        print(f"{page.name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
