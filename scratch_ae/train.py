"""Train an experiment: python -m scratch_ae.train rose"""

import argparse
import json
import math
import os
import shutil
import signal
import sys
import textwrap
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import UserError, __version__, checkpoint, command, garden
from .data import ImageGenerator, image_files, load_images, species_folders, split
from .experiments import EXPERIMENTS, Experiment
from .figures import PICTURES, draw
from .losses import psnr, ssim
from .model import FEW, AutoEncoder
from .optim import Adam, cosine
from .parallel import shards
from .preview import Preview

EVALUATED = 128  # images of each part, after each epoch
GARDEN = 300  # rendered pictures of each species
PHOTOGRAPHS = "https://www.kaggle.com/datasets/l3llff/flowers"


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{message}. See: python -m scratch_ae.train --help")


def parser() -> Parser:
    p = Parser(prog="python -m scratch_ae.train", description="Train an experiment and draw its pictures.")
    p.add_argument("experiment", help=", ".join(EXPERIMENTS))
    p.add_argument("--data", type=Path, metavar="DIR", help="folder that holds one folder of pictures a species")
    p.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (runs/EXPERIMENT)")
    p.add_argument("--epochs", type=int, metavar="N", help="train for so many passes over the training images")
    p.add_argument("--steps", type=int, metavar="N", help="train for so many batches")
    p.add_argument("--minutes", type=float, metavar="M", help="train for so long")
    p.add_argument("--batch-size", type=int, metavar="B", help="images a step")
    p.add_argument("--learning-rate", type=float, metavar="L", help="of Adam, at the start")
    p.add_argument("--tv-weight", type=float, metavar="W", help="weight of the total variation in the loss, 0 to 1")
    p.add_argument("--latent", type=int, metavar="K", help="numbers that an image is squeezed into")
    p.add_argument("--kernel-size", type=int, metavar="3|4", help="of the transposed convolutions")
    p.add_argument("--seed", type=int, default=0, metavar="S", help="of the weights and of the order of images (0)")
    p.add_argument("--threads", type=int, metavar="T", help="threads that compute (one a processor)")
    p.add_argument("--track", type=Path, metavar="FILE", help="the picture to watch (the first training image)")
    modes = ("auto", "window", "off")
    p.add_argument("--preview", choices=modes, default="auto", help="the window that shows it (auto)")
    p.add_argument("--overwrite", action="store_true", help="replace an earlier run in the same folder")
    p.add_argument("--version", action="version", version=f"scratch_ae {__version__}")
    return p


def main(arguments: list[str]) -> int:
    options, experiment, out = understood(arguments)
    run = Run(experiment, options.data or find_data(experiment), options)
    preview = Preview(run.tracked, run.tracked_title, options.preview, report=say)
    limits = Limits(experiment, options)
    describe(experiment, limits)
    print(run.model.summary())
    run.begin(out)
    interrupted = train(run, limits, preview)
    if run.generator.unusable:
        say(f"{len(run.generator.unusable)} of the training files could not be used.")
    preview.close()
    preview.save(out / "tracked.webp")
    for file in draw(out):
        say(str(file))
    return 130 if interrupted else 0


# ---- before ---------------------------------------------------------------------------------------------------------


def understood(arguments: list[str]) -> tuple[argparse.Namespace, Experiment, Path]:
    """The options, the experiment with what they override, and the folder of the results. UserError: a mistake."""
    options = parser().parse_args(arguments)
    if options.experiment not in EXPERIMENTS:
        raise UserError(f"there is no experiment {options.experiment!r}, take one of: {', '.join(EXPERIMENTS)}")
    for name, least in (("steps", 1), ("threads", 1), ("seed", 0)):
        if (value := getattr(options, name)) is not None and value < least:
            raise UserError(f"--{name} must be at least {least}, got {value}")
    if options.minutes is not None and not 0 < options.minutes < math.inf:
        raise UserError(f"--minutes must be above 0, got {options.minutes}")
    if options.track and not options.track.is_file():
        raise UserError(f"there is no picture {options.track}; give --track the file to watch")
    names = ("batch_size", "learning_rate", "tv_weight", "latent", "kernel_size", "epochs")
    overridden = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    experiment = replace(EXPERIMENTS[options.experiment], **overridden)
    out = options.out or Path("runs") / experiment.name
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give --out a folder")
    if (out / "checkpoint.npz").exists() and not options.overwrite:
        raise UserError(f"{out} holds a trained network. Choose another folder with --out, or give --overwrite.")
    return options, experiment, out


def describe(experiment: Experiment, limits: "Limits") -> None:
    """Print the experiment, saying what was overridden in it, and how long it will be trained."""
    usual = asdict(EXPERIMENTS[experiment.name])
    parts = []
    for name, value in asdict(experiment).items():
        if name not in ("name", "epochs", "pairs"):
            text = (" ".join(map(str, value)) or "all that are there") if isinstance(value, tuple) else value
            parts.append(f"{name} {text}{'' if value == usual[name] else ' (overridden)'}")
    length = [f"{value} {name}" for name, value in vars(limits).items() if name != "start" and value]
    text = f"{experiment.name}: {', '.join(parts)}; for {' or '.join(length)}"
    print(textwrap.fill(text, shutil.get_terminal_size().columns))


def find_data(experiment: Experiment) -> Path:
    """data/flowers where the species are there, or else the garden in data/garden, rendered now where it is not yet."""
    photographs, rendered = Path("data/flowers"), Path("data/garden")
    wanted = experiment.species or ("*",)
    if all(any(photographs.glob(f"{name}/*")) for name in wanted):
        print(f"Learning from the photographs in {photographs}.")
        return photographs
    species = experiment.species or tuple(garden.SPECIES)
    print(f"Learning from rendered flowers in {rendered}, since there are no photographs of them in {photographs}.")
    print(f"Photographs: download {PHOTOGRAPHS} and unpack it there, or name a folder with --data.")
    missing = sum(not (rendered / name / f"{k:05d}.jpg").exists() for name in species for k in range(GARDEN))
    if missing:
        with Progress() as bar:

            def progress(written: int) -> None:
                bar.update(written / missing, f"{written} of {missing} pictures rendered")

            garden.plant(rendered, species, GARDEN, progress=progress)
    return rendered


# ---- a run ----------------------------------------------------------------------------------------------------------


class Run:
    """Everything that training changes, and the folder that it is written to."""

    def __init__(self, experiment: Experiment, data: Path, options: argparse.Namespace):
        e = self.experiment = experiment
        self.data, self.seed = data, options.seed
        training, held_out = split(image_files(species_folders(data, e.species)))
        self.generator = ImageGenerator(training, e.size, e.batch_size, options.seed, e.channels, report=say)
        images, files = self.generator.images(EVALUATED)
        self.parts = {"training": images}
        self.parts["held_out"], _ = load_images(held_out, e.size, e.channels, EVALUATED, report=say)
        print(f"{len(training)} images to learn from, {len(held_out)} held out.")
        if not held_out:
            print("With a single image none can be held out, so nothing will tell whether more than it is learnt.")
        if not files:
            raise UserError(f"none of the {len(training)} training images in {data} can be used; give other pictures")
        if options.track:
            images, files = load_images([options.track], e.size, e.channels, 1, report=say)
            if not files:
                raise UserError(f"--track {options.track} cannot be used; give a picture")
        self.tracked = images[0].astype(np.float32) / 255
        seen = {file.resolve() for file in training}
        self.tracked_title = f"{e.name}, {'a training image' if files[0].resolve() in seen else files[0].name}"
        self.model = AutoEncoder(e, options.seed, options.threads)
        self.adam = Adam(self.model.parameters())
        self.counts = {"training": len(training), "held_out": len(held_out)}

    def begin(self, out: Path) -> None:
        """Make the folder of the results, or empty it, and begin the log."""
        out.mkdir(parents=True, exist_ok=True)
        for name in ("checkpoint.npz", "log.jsonl", "tracked.webp"):
            (out / name).unlink(missing_ok=True)
        for name in PICTURES:
            (out / "figures" / f"{name}.png").unlink(missing_ok=True)
        self.out, self.log = out, open(out / "log.jsonl", "w", buffering=1)  # noqa: SIM115  (open as long as the run)
        threads, experiment = self.model.team.threads, asdict(self.experiment)
        self.write(version=__version__, experiment=experiment, seed=self.seed, threads=threads, images=self.counts)

    def step(self, images: np.ndarray, epoch: int, rate: float) -> float:
        """Learn from one batch, and return its loss."""
        value, gradients = self.model.loss_and_gradients(images)
        self.finite(value, "loss")
        self.adam.step(gradients, rate, self.model.team.map)
        self.write(step=self.adam.t, epoch=epoch, loss=value, rate=rate)
        return value

    def finite(self, value: float, name: str) -> None:
        """Raise UserError where training has diverged, before anything is saved."""
        if not math.isfinite(value):
            rate = self.experiment.learning_rate
            raise UserError(f"the {name} is {value} after {self.adam.t} steps; try a --learning-rate below {rate:.2g}")

    def evaluate(self, epoch: int) -> dict[str, dict[str, float]]:
        """Mean PSNR and SSIM over the fixed images of each part, at the present weights."""
        quality: dict[str, dict[str, float]] = {}
        for name, images in self.parts.items():
            if len(images):
                true = images.astype(np.float32) / 255
                quality[name] = self.quality(self.model.reconstruct(true), true)
                self.finite(quality[name]["psnr"], "PSNR")
        self.write(step=self.adam.t, epoch=epoch, **quality)
        return quality

    def quality(self, predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
        """Mean PSNR and SSIM, in shards: a few images at a time stay in the cache."""

        def measure(shard: slice) -> tuple[np.ndarray, np.ndarray]:
            return psnr(predicted[shard], true[shard]), ssim(predicted[shard], true[shard])

        values = zip(*self.model.team.map(measure, shards(len(true), -(-len(true) // FEW))), strict=True)
        return {name: float(np.concatenate(parts).mean()) for name, parts in zip(("psnr", "ssim"), values, strict=True)}

    def save(self, epoch: int) -> None:
        """The whole state: parameters under their names, Adam's moments under m. and v. in front of them."""
        arrays = dict(self.model.parameters())
        for moment in ("m", "v"):
            arrays |= {f"{moment}.{name}": array for name, array in getattr(self.adam, moment).items()}
        header = {"experiment": asdict(self.experiment), "data": str(self.data.resolve()), "seed": self.seed,
                  "epoch": epoch, "t": self.adam.t, "version": __version__}  # fmt: skip
        checkpoint.write(self.out / "checkpoint.npz", arrays, header)

    def write(self, **entry: object) -> None:
        """One line of the log; 'time' is the one field that differs when a run is repeated."""
        self.log.write(json.dumps({**entry, "time": round(time.time(), 3)}) + "\n")


class Limits:
    """How far training is, from 0 to 1: by epochs, steps or minutes, whichever is nearest to its end."""

    def __init__(self, experiment: Experiment, options: argparse.Namespace):
        self.steps, self.minutes = options.steps, options.minutes
        self.epochs = options.epochs if self.steps or self.minutes else experiment.epochs
        self.start = time.perf_counter()

    def progress(self, steps: int, epochs: float) -> float:
        elapsed = (time.perf_counter() - self.start) / 60
        parts = (self.steps, steps), (self.epochs, epochs), (self.minutes, elapsed)
        return min(max(done / limit for limit, done in parts if limit is not None), 1.0)


def train(run: Run, limits: Limits, preview: Preview) -> bool:
    """Train until a limit or Ctrl-C, whether it was the latter; after each epoch evaluate and save."""
    epoch, images_seen, done, quality, start = 0, 0, 0.0, "", time.perf_counter()
    with Interrupt() as interrupt, Progress() as bar:
        while epoch == 0 or (done < 1 and not interrupt.pressed):  # one batch at least, so that there is what to save
            epoch += 1
            for k, images in enumerate(run.generator.epoch(epoch), 1):
                loss = run.step(images, epoch, cosine(run.experiment.learning_rate, done))
                if preview.wanted(run.adam.t):
                    preview.show(run.model.reconstruct(run.tracked[None])[0], run.adam.t, epoch, loss)
                images_seen += len(images)
                speed = images_seen / (time.perf_counter() - start)
                done = limits.progress(run.adam.t, epoch - 1 + k / len(run.generator))
                bar.update(done, f"step {run.adam.t} loss {loss:.4f}{quality} {speed:.0f} images/s")
                if done == 1 or interrupt.pressed:
                    break
            if done < 1:
                done = limits.progress(run.adam.t, epoch)  # where files were skipped, an epoch ends before its time
            results = run.evaluate(epoch)
            run.save(epoch)
            quality = f" PSNR {results['training']['psnr']:.1f}"
            parts = [f"{n.replace('_', ' ')} {r['psnr']:5.2f} dB, SSIM {r['ssim']:.3f}" for n, r in results.items()]
            say(f"epoch {epoch:3}, step {run.adam.t:5}: " + ";  ".join(parts))
        if interrupt.pressed:
            say("Stopped and saved; now the figures are drawn. Ctrl-C once more ends at once.")
        preview.wanted(run.adam.t)
        preview.show(run.model.reconstruct(run.tracked[None])[0], run.adam.t, epoch, loss, last=True)
    run.log.close()
    return interrupt.pressed


class Interrupt:
    """Inside, the first Ctrl-C only sets `pressed`; a second one, then or later, ends the program at once."""

    def __enter__(self) -> "Interrupt":
        self.pressed, self.before = False, signal.signal(signal.SIGINT, self.press)
        return self

    def press(self, *_: object) -> None:
        self.pressed = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def __exit__(self, *_: object) -> None:
        if not self.pressed:
            signal.signal(signal.SIGINT, self.before)


class Progress:
    """A bar with the time left on a terminal; elsewhere a line every half minute."""

    def __init__(self) -> None:
        layout = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        self.bar = tqdm(total=1.0, bar_format=layout, disable=not sys.stderr.isatty(), dynamic_ncols=True)
        self.start = self.last = time.perf_counter()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def update(self, done: float, text: str) -> None:
        now = time.perf_counter()
        if not self.bar.disable:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(done - self.bar.n)
        elif now - self.last > 30:
            self.last, left = now, (now - self.start) * (1 - done) / max(done, 1e-6)
            say(f"{done:4.0%} {text}, {left / 60:.0f} min left")


def say(line: str) -> None:
    """A line that does not run into the bar; and if nobody reads any more, training goes on."""
    try:
        tqdm.write(line)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    command(main)
