"""The pictures of a run: python -m scratch_ae.figures runs/rose

true against predicted, of training and of held-out images; for rose the average of two codes; for sunflower the plane
that the flowers were squeezed into; for iris_calendula the average of two codes and the way from an iris to a
calendula; for flowers a histogram of each latent number; and for all the curves of loss and PSNR.

Shown are the first images in hash order (by the CRC-32 of the file's name, which is as good as a draw), the species
taken in turn.
"""

import io
import json
import math
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from . import UserError, checkpoint, command
from .data import ImageGenerator, fingerprint, image_files, load_images, species_folders, split
from .losses import psnr
from .model import AutoEncoder

TILE, GAP, MARGIN = 128, 4, 16  # pixels: the side of a picture on a sheet, and the space between two and around all
TRAINING, HELD_OUT = "#0072b2", "#d55e00"  # blue and vermilion, which the colour-blind can tell apart
PICTURES = ("pairs_training", "pairs_held_out", "blend", "morph", "alphas", "histograms", "curves")


def draw(
    run: Path | str, data: Path | None = None, threads: int | None = None,
    parts: tuple[list[Path], list[Path]] | None = None,
) -> list[Path]:  # fmt: skip
    """Draw a run's pictures into its folder figures/, and return their files. UserError where a part is missing.

    `data` is where its pictures are now, if they moved; `parts` are the files learnt from and held out, if known.
    """
    run = Path(run)
    file = run / checkpoint.NAME
    model = AutoEncoder.load(file, threads)
    experiment, header = model.experiment, checkpoint.read(file)[1]
    if "data" not in header:
        raise UserError(f"{file} is not a run's checkpoint: it does not say what it was trained on")
    data = data or Path(header["data"])
    training, held_out = parts or split(image_files(species_folders(data, experiment.species)))
    # Else images never seen might be called training images.
    if not parts and fingerprint(training + held_out) != header["files"]:
        raise UserError(f"the pictures in {data} are not those that the run in {run} began with; name their folder")
    (run / "figures").mkdir(exist_ok=True)
    drawn: list[Path] = []

    def save(name: str, picture: Image.Image) -> None:
        drawn.append(run / "figures" / f"{name}.png")
        picture.save(drawn[-1], optimize=True)

    images, files = shown(model, training)
    if not files:
        raise UserError(f"none of the pictures in {data} can be read any more")
    codes = model.encode(images)
    save("pairs_training", pairs(model, images, f"{experiment.name}: training images, true | predicted"))
    unseen, _ = shown(model, held_out)
    if len(unseen):
        save("pairs_held_out", pairs(model, unseen, f"{experiment.name}: held-out images, true | predicted"))
    if experiment.name == "rose" and len(images) > 1:
        save("blend", blend(model, images[-2:], codes[-2:], "Two roses, and the average of their codes decoded"))
    if experiment.name == "sunflower" and len(images) > 2 and experiment.latent == 2:
        save("morph", morph(model, codes[0], codes[2]))
    firsts = {file.parent.name: k for k, file in reversed(list(enumerate(files)))}  # where each species is first shown
    if experiment.name == "iris_calendula" and len(firsts) == 2:
        two = [firsts[name] for name in experiment.species]
        title = "An iris, a calendula, and the average of their codes decoded"
        save("blend", blend(model, images[two], codes[two], title))
        save("alphas", alphas(model, *codes[two]))
    if experiment.name == "flowers":
        save("histograms", histograms(all_codes(model, training), all_codes(model, held_out if len(unseen) else [])))
    save("curves", curves(run / "log.jsonl", experiment.name))
    return drawn


def shown(model: AutoEncoder, files: Sequence[Path]) -> tuple[np.ndarray, list[Path]]:
    """The images (N,H,W,C) float32 that the sheets show, and their files: fewer where there are fewer."""
    e = model.experiment
    by_species: dict[str, list[Path]] = {}
    for file in files:
        by_species.setdefault(file.parent.name, []).append(file)
    turns = chain.from_iterable(zip_longest(*(by_species[name] for name in sorted(by_species))))
    images, used = load_images([file for file in turns if file], e.size, e.channels, e.pairs, report=lambda _: None)
    return images.astype(np.float32) / 255, used


def all_codes(model: AutoEncoder, files: Sequence[Path]) -> np.ndarray:
    """The codes (N, latent) of all images, streamed."""
    e, codes = model.experiment, [np.empty((0, model.experiment.latent), np.float32)]
    if files:
        generator = ImageGenerator(files, e.size, min(64, len(files)), channels=e.channels, report=lambda _: None)
        codes += [model.encode(images) for images in generator.epoch(0)]
    return np.concatenate(codes)


# ---- sheets of images ---------------------------------------------------------------------------------------------


def sheet(images: Sequence[np.ndarray] | np.ndarray, columns: int, title: str, labels: Sequence[str] = (),
          tile: int = TILE, group: int = 1) -> Image.Image:  # fmt: skip
    """Images (H,W,C) in [0,1], row by row under a title, each with a label below it where there are labels.

    Every `group` columns there is a wider gap, so that what belongs together stands together.
    """
    line, small = ImageFont.load_default(18), ImageFont.load_default(13)
    columns = min(columns, len(images))
    x = [MARGIN + k * (tile + GAP) + k // group * (3 * GAP if group > 1 else 0) for k in range(columns)]
    below = 20 if labels else 0
    step, top = tile + below + (3 if group > 1 else 1) * GAP, MARGIN + 36
    width = max(x[-1] + tile + MARGIN, int(line.getlength(title)) + 2 * MARGIN)
    picture = Image.new("RGB", (width, top + math.ceil(len(images) / columns) * step + MARGIN), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((width / 2, MARGIN + 12), title, "black", line, anchor="mm")
    indent = (width - x[-1] - tile - MARGIN) // 2
    for k, image in enumerate(images):
        left, upper = x[k % columns] + indent, top + k // columns * step
        picture.paste(tile_of(image, tile), (left, upper))
        if labels:
            pen.text((left + tile / 2, upper + tile + 10), labels[k], "black", small, anchor="mm")
    return picture


def tile_of(image: np.ndarray, side: int) -> Image.Image:
    """An image (H,W,C) in [0,1] as a picture of this many pixels a side."""
    pixels = (image * 255 + 0.5).astype(np.uint8)
    picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).convert("RGB")
    return picture.resize((side, side), Image.Resampling.BICUBIC)


def pairs(model: AutoEncoder, images: np.ndarray, title: str) -> Image.Image:
    """True against predicted, two pairs a row, or four if there are many, with the PSNR below each."""
    predicted = model.reconstruct(images)
    tiles = [image for pair in zip(images, predicted, strict=True) for image in pair]
    labels = [label for value in psnr(predicted, images) for label in ("true", f"{value:.1f} dB")]
    return sheet(tiles, 8 if len(images) > 8 else 4, title, labels, group=2)


def blend(model: AutoEncoder, images: np.ndarray, codes: np.ndarray, title: str) -> Image.Image:
    """Two images, what is left of each, and what the average of their codes decodes to."""
    tiles = [images[0], *model.decode(np.stack([codes[0], codes.mean(0), codes[1]])), images[1]]
    return sheet(tiles, 5, title, ["true", "predicted", "average of both", "predicted", "true"])


def alphas(model: AutoEncoder, a: np.ndarray, b: np.ndarray) -> Image.Image:
    """Nine steps from one code to the other, decoded."""
    weights = np.arange(1, 10, dtype=np.float32) / 10
    images = model.decode(np.stack([(1 - alpha) * a + alpha * b for alpha in weights]))
    return sheet(images, 3, "(1 - alpha) iris + alpha calendula", [f"alpha {alpha:.1f}" for alpha in weights])


def morph(model: AutoEncoder, a: np.ndarray, b: np.ndarray) -> Image.Image:
    """400 points of the plane, decoded: the square that has these two codes as opposite corners.

    They span a rectangle along the axes too, but a mere sliver where they nearly agree in either number.
    """
    half = (b - a) / 2
    turned = half[::-1] * np.array([1, -1], np.float32)  # from the middle to the top right corner
    steps = np.linspace(0, 1, 20, dtype=np.float32)[:, None]
    grid = a + steps * (half + turned) + steps[:, None] * (half - turned)
    title = "400 points of the plane, from the first sunflower (top left) to the third (bottom right)"
    return sheet(model.decode(grid.reshape(-1, 2)), 20, title, tile=48)


# ---- charts -------------------------------------------------------------------------------------------------------


def histograms(training: np.ndarray, held_out: np.ndarray) -> Image.Image:
    """Each latent number's distribution over the whole set, training and held out separately."""
    columns = min(4, training.shape[1])
    rows = math.ceil(training.shape[1] / columns)
    figure = Figure((2.6 * columns, 1.9 * rows + 0.7), layout="constrained")
    for k in range(training.shape[1]):
        axes = figure.add_subplot(rows, columns, k + 1)
        bins = np.histogram_bin_edges(np.concatenate([training[:, k], held_out[:, k]]), 40).tolist()
        axes.hist(training[:, k], bins, density=True, color=TRAINING, alpha=0.75, label="training")
        if len(held_out):
            axes.hist(held_out[:, k], bins, density=True, color=HELD_OUT, histtype="step", label="held out")
        axes.set_title(f"latent number {k + 1}", fontsize=9)
        axes.set_yticks([])
        axes.tick_params(labelsize=8)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    figure.suptitle(f"The codes of all {len(training) + len(held_out)} images, in 40 bins, as densities", fontsize=11)
    return chart(figure)


def curves(log: Path, name: str) -> Image.Image:
    """Loss and PSNR over steps, from a run's log."""
    try:
        entries = [json.loads(line) for line in log.read_text().splitlines()]
    except ValueError as problem:  # not JSON, or not even text
        raise UserError(f"{log} is damaged ({problem}); train with --resume, which repairs its end") from None
    steps = [entry for entry in entries if "loss" in entry]
    evaluations = [entry for entry in entries if "training" in entry]
    if not steps:
        raise UserError(f"{log} holds no steps to draw")
    figure = Figure((9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    window = max(1, len(steps) // 100)
    starts = range(0, len(steps) - window + 1, window)  # of whole windows: a few steps more would only be noise
    means = [np.mean([s["loss"] for s in steps[k : k + window]]) for k in starts]
    left.plot([steps[k]["step"] for k in starts], means, color=TRAINING)
    left.set_yscale("log", subs=[2, 3, 5, 7])  # ticks between the powers of ten, as many as have room for a label
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter("{x:g}")
    decorate(left, f"{name}: training loss" + (f", mean of {window} steps" if window > 1 else ""), "loss")
    for part, style, colour in (("training", ".-", TRAINING), ("held_out", ".--", HELD_OUT)):
        points = [(e["step"], e[part]["psnr"]) for e in evaluations if part in e]
        if points:
            label = f"{part.replace('_', ' ')}, at the end {points[-1][1]:.1f} dB"
            right.plot(*zip(*points, strict=True), style, color=colour, label=label, markersize=4)
    decorate(right, f"{name}: PSNR", "dB")
    if evaluations:
        right.legend(frameon=False)
    return chart(figure)


def decorate(axes: Axes, title: str, y: str) -> None:
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("step")
    axes.set_ylabel(y)
    axes.locator_params(axis="x", nbins=6)  # or long step numbers run into each other
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def chart(figure: Figure) -> Image.Image:
    """The figure as a picture; without pyplot, so no display is asked for."""
    stream = io.BytesIO()
    figure.savefig(stream, dpi=100)
    return Image.open(stream).convert("RGB")


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2) or arguments[0].startswith("-"):
        raise UserError("name the folder of one run, as in: python -m scratch_ae.figures runs/rose, and after it the "
                        "folder of the pictures, if they have moved")  # fmt: skip
    for file in draw(arguments[0], Path(arguments[1]) if len(arguments) == 2 else None):
        print(file)
    return 0


if __name__ == "__main__":
    command(main)
