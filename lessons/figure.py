"""The pictures of the lessons, and what their blocks print: python -m lessons.figure makes all of it anew.

`python -m lessons.figure 09 12` does so for these lessons.
"""

import contextlib
import io
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure, SubFigure
from PIL import Image

matplotlib.use("Agg")  # no display needed

LESSONS = Path(__file__).parent
FOLDER = LESSONS.parent / "figures" / "lessons"
LEFT, RIGHT, WIDTH = 0.1, 0.99, 7.5  # of a strip: where pictures begin and end, as parts of its width; inches
saving = False  # a lesson that is only tried leaves no file behind


def strip(rows: Sequence[Sequence[np.ndarray]], names: Sequence[str], titles: Sequence[str] = (),
          into: Figure | SubFigure | None = None) -> Figure | SubFigure:  # fmt: skip
    """Rows of images (H,W,C), each row with its name on the left, each column with its title above.

    `into` is what to draw into, or None for a new figure. Columns are (RIGHT - LEFT) / count of the width apart, so
    that a chart below can stand under them. Without names (`[""]`) the pictures begin at the left edge.
    """
    left, count, above = LEFT if any(names) else 1 - RIGHT, max(map(len, rows)), 0.3 if titles else 0.05  # inches
    if into is None:
        cell = 1.04 * WIDTH * (RIGHT - left) / count
        into = plt.figure(figsize=(WIDTH, cell * len(rows) + above + 0.05))
    top = 1 - above * into.dpi / into.bbox.height
    into.subplots_adjust(left=left, right=RIGHT, top=top, bottom=0.02, wspace=0.04, hspace=0.04)
    axes = into.subplots(len(rows), count, squeeze=False)
    for line, images, name in zip(axes, rows, names, strict=True):
        for ax, image in zip(line, images, strict=False):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(name, fontsize=11)
    for ax, title in zip(axes[0], titles, strict=False):
        ax.set_title(title, fontsize=10)
    return into


def write(picture: Figure | Image.Image, file: Path | io.BytesIO) -> None:
    """A picture as PNG."""
    if isinstance(picture, Figure):
        picture.savefig(file, format="png", dpi=110, bbox_inches="tight")
    else:
        picture.save(file, format="png", optimize=True)


def save(picture: Figure | Image.Image, name: str) -> None:
    """A lesson's picture: written as figures/lessons/<name>.png, or else shown where IPython runs, in Jupyter say."""
    ipython = sys.modules.get("IPython")  # only there if the learner works in it
    if saving:
        FOLDER.mkdir(parents=True, exist_ok=True)
        write(picture, FOLDER / f"{name}.png")
    elif ipython and ipython.get_ipython():
        from IPython.display import display

        write(picture, shown := io.BytesIO())
        display(Image.open(shown))
    if isinstance(picture, Figure):
        plt.close(picture)


BLOCK = re.compile(r"^```python\n(.*?)^```$(\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


def outputs(page: Path) -> Iterator[tuple[str, str]]:
    """Run the blocks of a lesson one after the other: what the lesson says that each prints, and what it prints."""
    names: dict[str, object] = {}
    text = page.read_text()
    for block in BLOCK.finditer(text):
        lines_above = "\n" * (text[: block.start()].count("\n") + 1)  # so that a traceback names the lesson's line
        with contextlib.redirect_stdout(io.StringIO()) as stream:
            exec(compile(lines_above + block[1], page, "exec"), names)
        yield block[3] or "", "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def main() -> None:
    from lessons import figure  # this very module, by the name that the lessons know it by

    figure.saving, pages = True, sorted(LESSONS.glob("[0-9]*.md"))
    if unknown := set(sys.argv[1:]) - {page.name[:2] for page in pages}:
        sys.exit(f"there is no lesson {', '.join(sorted(unknown))}; give numbers of two digits, as 03, or none for all")
    for page in pages:
        if page.name[:2] in sys.argv[1:] or not sys.argv[1:]:
            start, printed = time.perf_counter(), (new for _, new in outputs(page))

            def with_output(block: re.Match[str], printed: Iterator[str] = printed) -> str:
                text = next(printed)
                return f"```python\n{block[1]}```" + f"\n\n```text\n{text}```" * bool(text)

            page.write_text(BLOCK.sub(with_output, page.read_text()))
            print(f"{page.name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
