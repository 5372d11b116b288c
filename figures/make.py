"""The pictures and the numbers that README shows, each by a command from the repository's root.

python -m figures.make garden             train the four experiments on the rendered garden: pictures and results
python -m figures.make record RUN NAME    the results of a run, numbers alone, as results/NAME.jsonl
python -m figures.make studies DIR        six trainings of 6,000 steps on the roses in DIR: what a change gains
python -m figures.make readme             the curves, and the tables of README, from results/
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

from scratch_ae import UserError, checkpoint, command, train
from scratch_ae.bench import environment
from scratch_ae.data import image_files, load_images, split
from scratch_ae.experiments import EXPERIMENTS
from scratch_ae.figures import HELD_OUT, TRAINING, chart, decorate
from scratch_ae.garden import SPECIES, plant
from scratch_ae.model import AutoEncoder

HERE = Path(__file__).parent
RESULTS, README = HERE / "results", HERE.parent / "README.md"
PAUSE = 60  # seconds between two lines of a log, from which on the run had been stopped
POINTS = 100  # evaluations of a run that are kept, at most, beside the last
ORIGINAL = {  # measured off its pictures
    "rose": "27.3 / 0.77", "sunflower": "16.3 / 0.42", "iris_calendula": "26.9 / 0.78", "flowers": "21.2 / 0.60",
}  # fmt: skip
PICTURES = {  # of the garden's runs, and their names here
    "rose": {"figures/pairs_training.png": "rose_pairs.png", "figures/pairs_held_out.png": "rose_held_out.png",
             "figures/blend.png": "rose_blend.png", "tracked.webp": "rose_tracked.webp"},
    "sunflower": {"figures/pairs_training.png": "sunflower_pairs.webp", "figures/morph.png": "sunflower_morph.webp"},
    "iris_calendula": {"figures/alphas.png": "iris_calendula_way.png"},
    "flowers": {"figures/pairs_training.png": "flowers_pairs.webp", "figures/histograms.png": "flowers_histograms.png"},
}  # fmt: skip
STUDIES = {  # what each is given beside the default, in train's words
    "default": [], "no total variation": ["--tv-weight", "0"], "kernel size 4": ["--kernel-size", "4"],
    "latent 16": ["--latent", "16"], "latent 64": ["--latent", "64"], "mirrored and shifted": ["--augment"],
}  # fmt: skip
MOST = 400  # KiB of a picture


def main(arguments: list[str]) -> int:
    match arguments:
        case ["garden"]:
            garden()
        case ["record", run, name]:
            record(Path(run), name)
        case ["studies", data]:
            studies(Path(data))
        case ["readme"]:
            draw_curves()
            README.write_text(with_tables(README.read_text()))
        case _:
            raise UserError(f"one of:\n{__doc__.split(chr(10), 2)[2].strip()}")
    return 0


# ---- results ------------------------------------------------------------------------------------------------------


def record(run: Path, name: str, **more: Any) -> None:
    """Write results/NAME.jsonl: what the run was, on which machine, its evaluations, and the last one, over all.

    The machine is the one that this is called on: call it where the run was.
    """
    begun, *entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    found, points, losses, seconds, before = {}, [], [], 0.0, begun["time"]
    for entry in entries:
        seconds += entry["time"] - before if 0 <= entry["time"] - before < PAUSE else 0  # a clock may be set back
        before = entry["time"]
        where = {key: entry[key] for key in ("step", "epoch")} | {"minutes": round(seconds / 60, 3)}
        if "loss" in entry:
            losses.append(entry["loss"])
        elif "training" in entry:
            parts = {part: rounded(entry[part]) for part in ("training", "held_out") if part in entry}
            points.append(where | {"loss": round(float(np.mean(losses)), 6)} | parts)
            losses.clear()
        elif "all" in entry:
            found = where | {"all": {part: rounded(values) for part, values in entry["all"].items()}}
    if not entries or "all" not in entries[-1]:
        raise UserError(f"the run in {run} has not come to its end, go on with --resume")
    every = -(-len(points) // POINTS)
    machine = {key: value for key, value in environment().items() if value != "absent"}
    header = {key: begun[key] for key in ("experiment", "version", "seed", "threads", "images")}
    lines = [header | {"machine": machine} | more, *points[:-1][::every], points[-1], found]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(RESULTS / f"{name}.jsonl")


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def read(name: str) -> list[dict]:
    """The lines of results/NAME.jsonl: header, evaluations, and the last one."""
    return [json.loads(line) for line in (RESULTS / f"{name}.jsonl").read_text().splitlines()]


# ---- trainings ----------------------------------------------------------------------------------------------------


def garden() -> None:
    """Train on rendered flowers, in runs/garden, where that is not done yet; copy the pictures, record the results."""
    plant(Path("data/garden"), SPECIES, train.GARDEN)
    for name, pictures in PICTURES.items():
        run = Path("runs/garden") / name
        if (run / checkpoint.NAME).exists() and AutoEncoder.load(run / checkpoint.NAME).experiment != EXPERIMENTS[name]:
            raise UserError(f"{run} was trained when {name} was another experiment; remove it")
        finish(run, [name, "--data", "data/garden"])
        for made, kept in pictures.items():
            show(run / made, HERE / kept)
        record(run, f"{name}_garden")


def finish(run: Path, arguments: list[str]) -> None:
    """Train, or go on where it was stopped."""
    resume = ["--resume"] if (run / checkpoint.NAME).exists() else []
    if train.main([*arguments, "--out", str(run), "--preview", "off", *resume]):
        raise KeyboardInterrupt


def show(made: Path, kept: Path) -> None:
    """Copy a run's picture to where README shows it; as WebP where it is named so, smaller where it is too large."""
    if made.suffix == kept.suffix:
        shutil.copy(made, kept)
    else:
        with Image.open(made) as image:
            image.save(kept, quality=85, method=6)
    if kept.stat().st_size > MOST * 1024:
        with Image.open(kept) as image:
            if kept.suffix == ".png":
                image.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(kept, optimize=True)
            else:
                first, *rest = [frame.copy() for frame in ImageSequence.Iterator(image)]
                durations = [100] * len(rest) + [2000]
                first.save(kept, save_all=True, append_images=rest, duration=durations, quality=60, method=6)
    if kept.stat().st_size > MOST * 1024:
        raise UserError(f"{kept} has {kept.stat().st_size // 1024} KiB, more than {MOST}")


def studies(data: Path) -> None:
    """The same steps of the rose, with one thing changed each time: five to ten minutes each, on two cores."""
    for k, (name, options) in enumerate(STUDIES.items()):
        run, file = Path("runs/studies") / str(k), f"study_{k}"
        if not (RESULTS / f"{file}.jsonl").exists():
            finish(run, ["rose", "--data", str(data), "--steps", "6000", *options])
            training, _ = split(image_files([data / "rose"]))
            record(run, file, study=name, lattice=round(lattice(AutoEncoder.load(run / checkpoint.NAME), training), 3))


def lattice(model: AutoEncoder, files: list[Path]) -> float:
    """How much more a network's pictures alternate from pixel to pixel than the true ones: 1 is alike.

    In blocks of 16x16, so that texture, which alternates here so and there otherwise, cancels: the squared sums of
    pixels times +-1, alternating across, down, and both, summed over blocks, channels and images.
    """
    e = model.experiment
    true = load_images(files, e.size, e.channels, 128, report=lambda _: None)[0].astype(np.float32) / 255
    sign = (-1.0) ** np.arange(16)
    patterns = np.stack([np.ones((16, 1)) * sign, sign[:, None] * np.ones(16), sign[:, None] * sign])

    def energy(images: np.ndarray) -> float:
        N, H, W, C = images.shape
        blocks = images.reshape(N, H // 16, 16, W // 16, 16, C)
        return float((np.einsum("niajbc,pab->nijcp", blocks, patterns) ** 2).sum())

    return energy(model.reconstruct(true)) / energy(true)


# ---- README -------------------------------------------------------------------------------------------------------


def draw_curves() -> None:
    """PSNR of training and held-out photographs over minutes, an experiment a panel, to curves.png."""
    there = [name for name in EXPERIMENTS if (RESULTS / f"{name}.jsonl").exists()]
    columns, rows = min(2, len(there)), -(-len(there) // 2)
    figure = Figure((4.5 * columns + 2 * (columns == 1), 3 * rows), layout="constrained")
    for k, name in enumerate(there):
        axes = figure.add_subplot(rows, columns, k + 1)
        _, *points, _ = read(name)
        for part, style, colour in (("training", "-", TRAINING), ("held_out", "--", HELD_OUT)):
            axes.plot([p["minutes"] for p in points], [p[part]["psnr"] for p in points], style, color=colour,
                      label=part.replace("_", " "))  # fmt: skip
        axes.legend(frameon=False, loc="center right")
        decorate(axes, f"{name}, photographs", "PSNR, dB")
        axes.set_xlabel("minutes")
    chart(figure).save(HERE / "curves.png", optimize=True)


def with_tables(text: str) -> str:
    """README with what stands between <!-- name --> and <!-- end --> made anew."""
    for name, made in (("photographs", table("")), ("garden", table("_garden")), ("studies", studies_table())):
        before, begin, after = text.partition(f"<!-- {name} -->\n")
        text = before + begin + (made + after[after.index("<!-- end -->") :] if begin else after)
    return text


def both(values: dict[str, float]) -> str:
    return f"{values['psnr']:.1f} / {values['ssim']:.2f}"


def table(suffix: str) -> str:
    """The experiments whose results there are, of photographs or, with the suffix, of the garden."""
    original = " the original, training |" if not suffix else ""
    rows = [f"| experiment | learnt and held out | processor | minutes | training | held out |{original}"]
    rows.append("|---|---|---|---|---|---|" + "---|" * bool(original))
    for name in EXPERIMENTS:
        if (RESULTS / f"{name}{suffix}.jsonl").exists():
            header, *_, last = read(name + suffix)
            parts = [last["all"][part] for part in ("training", "held_out")]
            processor = header["machine"]["processor"].replace("(R)", "").removesuffix(" Processor")
            cells = [f"`{name}`", " and ".join(f"{part['images']:,}" for part in parts), processor]
            cells += [f"{last['minutes']:.0f}", *map(both, parts), *([ORIGINAL[name]] if original else [])]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def studies_table() -> str:
    rows = ["| what is changed | training | held out | lattice |", "|---|---|---|---|"]
    for file in sorted(RESULTS.glob("study_*.jsonl")):
        header, *_, last = read(file.stem)
        cells = header["study"], *(both(last["all"][part]) for part in ("training", "held_out")), header["lattice"]
        rows.append("| {} | {} | {} | {:.2f} |".format(*cells))
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    command(main)
