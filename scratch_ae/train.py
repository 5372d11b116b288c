"""Train an experiment: python -m scratch_ae.train rose"""

import contextlib
import json
import math
import shutil
import textwrap
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import Parser, UserError, __version__, checkpoint, command, garden
from .data import species_folders
from .experiments import EXPERIMENTS, PRESETS, Experiment, experiment_from
from .figures import draw
from .run import Limits, Progress, Run, say, train

GARDEN = 300  # rendered pictures of each species
OVERRIDES = ("batch_size", "learning_rate", "tv_weight", "latent", "kernel_size", "augment", "epochs")


def parser() -> Parser:
    p = Parser(prog="python -m scratch_ae.train", description="Train an experiment and draw its pictures.")
    p.add_argument("experiment", help=", ".join(EXPERIMENTS))
    p.add_argument("--data", type=Path, metavar="DIR", help="folder that holds one folder of pictures per species")
    p.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (runs/EXPERIMENT)")
    p.add_argument("--preset", choices=tuple(PRESETS), help="quick takes minutes (the default), full hours")
    p.add_argument("--epochs", type=int, metavar="N", help="train for so many passes over the training images in total")
    p.add_argument("--steps", type=int, metavar="N", help="train for so many batches in total")
    p.add_argument("--minutes", type=float, metavar="M", help="train for so long, from now")
    p.add_argument("--resume", action="store_true", help="continue the run in the folder")
    p.add_argument("--batch-size", type=int, metavar="B", help="images per step")
    p.add_argument("--learning-rate", type=float, metavar="L", help="of Adam, for half the way; then it falls to 0")
    p.add_argument("--tv-weight", type=float, metavar="W", help="weight of total variation in the loss, 0 to 1")
    p.add_argument("--latent", type=int, metavar="K", help="numbers an image is squeezed into")
    p.add_argument("--kernel-size", type=int, metavar="3|4", help="of the transposed convolutions")
    p.add_argument("--augment", action="store_true", default=None, help="mirror and shift the images at random")
    p.add_argument("--seed", type=int, metavar="S", help="of the weights and of the order of images (0)")
    p.add_argument("--threads", type=int, metavar="T", help="threads that compute (one per processor)")
    p.add_argument("--track", type=Path, metavar="FILE", help="the picture to watch (the first training image)")
    p.add_argument("--preview", choices=("auto", "window", "off"), default="auto", help="a window for it (auto)")
    p.add_argument("--no-cache", action="store_true", help="decode the pictures in every epoch, and keep none on disk")
    p.add_argument("--overwrite", action="store_true", help="replace an earlier run in the same folder")
    p.add_argument("--version", action="version", version=f"scratch_ae {__version__}")
    return p


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    experiment, out = understood(options)
    if options.resume:
        arrays, header = resumed(options, out)
        experiment = as_begun(options, header, out / checkpoint.NAME)
    options.seed, options.preset = options.seed or 0, options.preset or "quick"
    run = Run(experiment, options.data or find_data(experiment), options)
    describe(experiment, options.preset, run.limits)
    print(run.model.summary())
    if options.resume:
        run.resume(out, arrays, header)
        finished = run.done() == 1  # but perhaps its pictures are not drawn
        say(f"The run in {out} is finished: {run.adam.t} steps. With more --epochs or --steps it goes on." if finished
            else f"Going on with epoch {run.epoch}, after {run.adam.t} steps.")  # fmt: skip
        if header["threads"] != options.threads:
            say(f"It began with --threads {header['threads']}; with {options.threads} the last bits differ.")
        if run.generator.unusable:
            say(f"{len(run.generator.unusable)} files that could not be used before are left out again.")
    else:
        run.begin(out, options.overwrite)
    try:
        stopped = train(run)
        if run.generator.unusable:
            say(f"{len(run.generator.unusable)} of the training files could not be used.")
        run.preview.close()
        run.preview.save(out / "tracked.webp")
        for file in draw(out, options.data, options.threads, (run.all["training"], run.all["held_out"])):
            say(str(file))
        say(f"The network is in {out / checkpoint.NAME}.{best_held_out(out)}")
    except OSError as problem:
        saved = "What was saved before is whole: mend this, and go on with --resume."
        saved = saved if (out / checkpoint.NAME).exists() else "Mend this, and begin again."
        raise UserError(f"{problem}. {saved}") from None
    finally:
        with contextlib.suppress(OSError):  # on a full disk it fails again
            run.log.close()
    return 128 + stopped if stopped else 0


def best_held_out(out: Path) -> str:
    """A sentence on when held-out images came out best, if at least 0.1 dB better than at the end."""
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    found = [(entry["held_out"]["psnr"], entry["epoch"]) for entry in log if "held_out" in entry]
    if not found or max(found)[0] < found[-1][0] + 0.1:
        return ""
    psnr, epoch = max(found)
    return f" Held-out images came out best after epoch {epoch}, at {psnr:.2f} dB; since then it has been memorising."


# ---- before ---------------------------------------------------------------------------------------------------------


def understood(options: Namespace) -> tuple[Experiment, Path]:
    """The experiment with the options applied, and the results folder. UserError: a mistake."""
    if options.experiment not in EXPERIMENTS:
        raise UserError(f"there is no experiment {options.experiment!r}; choose one of: {', '.join(EXPERIMENTS)}")
    for name, least in (("steps", 1), ("threads", 1), ("seed", 0)):
        if (value := getattr(options, name)) is not None and value < least:
            raise UserError(f"--{name} must be at least {least}, got {value}")
    if options.minutes is not None and not 0 < options.minutes < math.inf:
        raise UserError(f"--minutes must be above 0, got {options.minutes}")
    if options.track and not options.track.is_file():
        raise UserError(f"there is no picture {options.track}; give --track the file to watch")
    overridden = {name: getattr(options, name) for name in OVERRIDES if getattr(options, name) is not None}
    experiment = replace(PRESETS[options.preset or "quick"][options.experiment], **overridden)
    out = options.out or Path("runs") / experiment.name
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give --out a folder")
    if options.resume and options.overwrite:
        raise UserError("--resume goes on with a run and --overwrite replaces it: give one of the two")
    if checkpoint.there(out) and not (options.overwrite or options.resume):
        raise UserError(f"{out} holds a trained network. Continue it with --resume, replace it with --overwrite, or "
                        "choose another folder with --out.")  # fmt: skip
    return experiment, out


def resumed(options: Namespace, out: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays and header of the checkpoint to go on from. UserError if it is damaged or not this experiment's."""
    file, before = out / checkpoint.NAME, out / checkpoint.BEFORE
    try:
        arrays, header = checkpoint.read(file)
    except UserError as problem:
        if not before.exists():
            raise
        what = problem if file.exists() else f"There is no {file}."
        raise UserError(f"{what} The checkpoint before it is {before}: copy that to {file.name}.") from None
    if "evaluated" not in header:  # a mere network, or a run from before presets
        raise UserError(f"{file} holds a network, but no run that scratch_ae {__version__} can go on with")
    if newer(header["version"]):
        raise UserError(f"{file} was written by scratch_ae {header['version']}; this is {__version__}: install that")
    begun = {**header["experiment"], "seed": header["seed"], "preset": header["preset"]}
    given: dict[str, Any] = {name: getattr(options, name) for name in (*OVERRIDES, "seed", "preset")}
    for name, value in {**given, "name": options.experiment}.items():
        if value is not None and value != begun.get(name) and name != "epochs":
            raise UserError(f"the run in {out} was begun with {name.replace('_', '-')} {begun.get(name)}, not {value}")
    film = Path(header["track"] or "")  # which would change midway
    if options.track and options.track.resolve().parts[-2:] != film.parts[-2:]:  # folder and name: it may have moved
        raise UserError(f"the run in {out} tracks {header['track'] or 'the first training image'}; leave --track out")
    return arrays, header


def as_begun(options: Namespace, header: dict, file: Path) -> Experiment:
    """The experiment that a run was begun with; fills in the options that were not given."""
    if not (options.steps or options.epochs or options.minutes):
        options.steps, options.epochs, options.minutes = header["limits"]
        if header["evaluated"][0] == 1:  # it is finished, and minutes would start over
            options.steps = header["t"]
    options.data = options.data or Path(header["data"])
    options.seed, options.preset = header["seed"], header["preset"]
    options.threads = options.threads or header["threads"]
    options.track = options.track or (Path(header["track"]) if header["track"] else None)
    experiment = experiment_from(header["experiment"], file)
    return replace(experiment, epochs=options.epochs or experiment.epochs)


def newer(version: str) -> bool:
    """Whether a version is later than ours; only its numbers are compared."""
    ours, other = ([int(part) for part in v.split(".") if part.isdigit()] for v in (__version__, version))
    return other > ours


def describe(experiment: Experiment, preset: str, limits: Limits) -> None:
    """Print the experiment, marking what was overridden, and how long it will be trained."""
    usual = asdict(PRESETS[preset][experiment.name])
    parts = []
    for name, value in asdict(experiment).items():
        if name not in ("name", "epochs", "pairs") and value is not False:
            text = (" ".join(map(str, value)) or "all that are there") if isinstance(value, tuple) else value
            parts.append(f"{name} {text}{'' if value == usual[name] else ' (overridden)'}")
    length = [f"{getattr(limits, name)} {name}" for name in ("steps", "epochs", "minutes") if getattr(limits, name)]
    name = experiment.name if preset == "quick" else f"{experiment.name}, preset {preset}"
    text = f"{name}: {', '.join(parts)}; for {' or '.join(length)}"
    print(textwrap.fill(text, shutil.get_terminal_size().columns))


def find_data(experiment: Experiment) -> Path:
    """data/flowers if the species are there, else the garden in data/garden, rendered now if it is not there yet."""
    photographs, rendered = Path("data/flowers"), Path("data/garden")
    with contextlib.suppress(UserError):  # they are not there
        species_folders(photographs, experiment.species)
        print(f"Learning from the photographs in {photographs}.")
        return photographs
    species = experiment.species or tuple(garden.SPECIES)
    print(f"Learning from rendered flowers in {rendered}, since there are no photographs of them in {photographs}.")
    print("Photographs: python -m scratch_ae.download, or name a folder of your own with --data.")
    try:
        with Progress() as bar:
            garden.plant(rendered, species, GARDEN, progress=bar.update)
    except OSError as problem:
        raise UserError(f"{problem}. Work in a folder you can write to, or name pictures with --data.") from None
    return rendered


if __name__ == "__main__":
    command(main)
