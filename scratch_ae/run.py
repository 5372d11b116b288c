"""A run: all that training changes, saved so that it resumes to the bit, and the loop that changes it."""

import errno
import json
import math
import os
import signal
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from . import UserError, __version__, checkpoint
from .cache import cached
from .data import ImageGenerator, fingerprint, image_files, load_images, species_folders, split
from .experiments import Experiment
from .figures import PICTURES
from .losses import psnr, ssim
from .model import FEW, AutoEncoder
from .optim import Adam, cooldown
from .parallel import shards
from .preview import Preview

try:
    import fcntl
except ImportError:  # Windows, where two runs in one folder are not noticed
    fcntl = None  # type: ignore[assignment]

EVALUATED = 128  # images of each part, after an epoch
HUNDREDTH, STEPS = 0.01, 500  # of the way, or steps, before an epoch's end is evaluated again
CACHE = Path("data/.cache")  # hidden, or in data/ itself it would be taken for a species
# Adam's mean square remembers 100 steps, not the usual 1000. After 8,000 steps 252 photographed sunflowers had
# 18.1 dB instead of 17.8; after 2,800 steps 512 irises and calendulas had 23.0 instead of 22.7.
BETA2 = 0.99
SAVED = 1000  # steps from one checkpoint to the next within an epoch: a few minutes


class Run:
    """Everything that training changes, and the folder that it is written to."""

    def __init__(self, experiment: Experiment, data: Path, options: Namespace):
        e = self.experiment = experiment
        self.data, self.seed, self.preset = data, options.seed, options.preset
        training, held_out = split(image_files(species_folders(data, e.species)))
        self.limits = Limits(e, options)
        self.say_once = cache(say)  # for unusable files: each is named once
        self.generator = ImageGenerator(training, e.size, e.batch_size, options.seed, e.channels, e.augment,
                                        report=self.say_once)  # fmt: skip
        if not options.no_cache and self.limits.progress(len(self.generator), 1) < 1:  # pictures are needed twice
            with Progress() as bar:
                self.generator.decoded = cached(training, e.size, e.channels, CACHE, bar.update, say, options.threads)
        images, files = self.generator.images(EVALUATED)
        self.parts = {"training": images}
        self.parts["held_out"], _ = load_images(held_out, e.size, e.channels, EVALUATED, report=self.say_once)
        print(f"{len(training)} files to learn from, {len(held_out)} held out.")
        if not held_out:
            print("With a single image none can be held out, so nothing will show whether more than it is learnt.")
        if not files:
            raise UserError(f"none of the {len(training)} training images in {data} can be used; give other pictures")
        if options.track:
            images, files = load_images([options.track], e.size, e.channels, 1, report=say)
            if not files:
                wanted = "where the picture is now that the run tracks" if options.resume else "a picture"
                raise UserError(f"{options.track} cannot be used; give --track {wanted}")
        tracked = images[0].astype(np.float32) / 255
        title = f"{e.name}, {options.track.name if options.track else 'a training image'}"
        self.preview = Preview(tracked, title, options.preview, report=say)
        self.model = AutoEncoder(e, options.seed, options.threads)
        self.adam = Adam(self.model.parameters(), beta2=BETA2)
        self.all = {"training": training, "held_out": held_out}
        self.files = fingerprint(training + held_out)
        self.track = str(options.track.resolve()) if options.track else None
        self.epoch, self.batches, self.loss = 1, 0, math.nan  # where training is: batches learnt in this epoch
        self.evaluated = [0.0, 0]  # when it last was: part of the way, and step

    def open(self, out: Path) -> None:
        """Reserve the results folder for this run alone, open its log, and start the clock."""
        self.limits.start = time.perf_counter()  # minutes count training only
        try:
            out.mkdir(parents=True, exist_ok=True)
            self.log = open(out / "log.jsonl", "a", buffering=1)  # noqa: SIM115  (it stays open as long as the run)
            self.out = out
        except OSError as problem:
            why = problem.strerror
            raise UserError(f"{out} cannot be written ({why}). Choose another folder with --out.") from None
        if fcntl:
            try:
                fcntl.flock(self.log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system releases it, however the run ends
            except BlockingIOError:
                raise UserError(f"{out} is in use by another run. Wait for it, or choose another --out.") from None
            except OSError:  # a file system without locks
                pass

    def cut_log(self, keep: int) -> None:
        """Cut the log to its first `keep` lines."""
        lines = (self.out / "log.jsonl").read_bytes().splitlines(keepends=True)[:keep]
        os.truncate(self.out / "log.jsonl", len(b"".join(lines)))
        self.lines = len(lines)

    def begin(self, out: Path, overwrite: bool) -> None:
        """Make the results folder, or empty it, and begin the log."""
        self.open(out)
        if checkpoint.there(out) and not overwrite:  # since we looked, another run has ended there
            raise UserError(f"{out} holds a trained network now. Choose another folder with --out.")
        for name in (checkpoint.NAME, checkpoint.BEFORE, "tracked.webp"):
            (out / name).unlink(missing_ok=True)
        for name in PICTURES:
            (out / "figures" / f"{name}.png").unlink(missing_ok=True)
        self.cut_log(0)
        threads, experiment = self.model.team.threads, asdict(self.experiment)
        images = {name: len(files) for name, files in self.all.items()}
        self.write(version=__version__, experiment=experiment, seed=self.seed, threads=threads, images=images)

    def resume(self, out: Path, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> None:
        """Go on from what `save` wrote. UserError if the pictures differ."""
        if header["files"] != self.files:
            raise UserError(f"the pictures in {self.data} are not those that the run in {out} began with; name their "
                            "folder with --data, or begin anew with another --out")  # fmt: skip
        self.open(out)
        if checkpoint.read(out / checkpoint.NAME)[1]["t"] != header["t"]:  # since we looked
            raise UserError(f"another run has continued in {out}. Run the command again.")
        self.cut_log(header["log"])
        for name, parameter in self.model.parameters().items():
            parameter[...] = arrays[name]
            self.adam.m[name][...], self.adam.v[name][...] = arrays[f"m.{name}"], arrays[f"v.{name}"]
        self.adam.t, self.loss = header["t"], header["loss"]
        self.epoch, self.batches = header["epoch"], header["batches"]
        part, step = header["evaluated"]
        self.evaluated = [min(part, self.done()), step]  # a smaller part, if there is now more to learn
        self.generator.unusable = {self.generator.files[k]: why for k, why in header["unusable"]}
        self.preview.restore(arrays["frames"], header["frames"])

    def save(self) -> None:
        """The whole state: parameters under their names, Adam's moments with m. or v. before the name."""
        arrays = dict(self.model.parameters())
        if not all(np.isfinite(array).all() for array in arrays.values()):
            self.diverged("not all weights are finite")
        for moment in ("m", "v"):
            arrays |= {f"{moment}.{name}": array for name, array in getattr(self.adam, moment).items()}
        arrays["frames"], frames = self.preview.state()
        header = {
            "experiment": asdict(self.experiment), "preset": self.preset, "version": __version__, "seed": self.seed,
            "threads": self.model.team.threads, "data": str(self.data.resolve()), "files": self.files,
            "unusable": [[self.generator.row[file], why] for file, why in self.generator.unusable.items()],
            "epoch": self.epoch, "batches": self.batches, "t": self.adam.t, "loss": self.loss,
            "evaluated": self.evaluated,
            "track": self.track, "log": self.lines, "frames": frames, "limits": self.limits.given,
        }  # fmt: skip
        os.fsync(self.log.fileno())  # or a power cut might leave it shorter than the checkpoint says
        checkpoint.write(self.out / checkpoint.NAME, arrays, header, before=self.out / checkpoint.BEFORE)

    def step(self, images: np.ndarray, rate: float) -> None:
        """Learn from one batch."""
        self.loss, gradients = self.model.loss_and_gradients(images)
        if not math.isfinite(self.loss):
            self.diverged(f"the loss is {self.loss}", f": {self.model.first_not_finite(images)}")
        self.adam.step(gradients, rate, self.model.team.map)
        self.batches += 1
        self.write(step=self.adam.t, epoch=self.epoch, loss=self.loss, rate=rate)

    def diverged(self, what: str, where: str = "") -> None:
        """Raise UserError, before anything is saved."""
        rate = self.experiment.learning_rate
        raise UserError(f"{what} after {self.adam.t} steps; try a --learning-rate below {rate:.2g}{where}")

    def evaluate(self, epoch: int, all_of_them: bool = False) -> dict[str, dict[str, float]]:
        """Mean PSNR and SSIM of each part at the current weights: over its fixed images, or over all, streamed."""
        e, quality = self.experiment, dict[str, dict[str, float]]()
        for name, images in self.parts.items():
            if not len(images):
                continue
            batches: Iterable[np.ndarray] = [images.astype(np.float32) / 255]
            if all_of_them:
                files, decoded = self.all[name], self.generator.decoded if name == "training" else None
                batches = ImageGenerator(files, e.size, min(64, len(files)), channels=e.channels, decoded=decoded,
                                         report=self.say_once).epoch(0)  # fmt: skip
            values = np.concatenate([self.qualities(batch) for batch in batches], axis=1)
            count = {"images": values.shape[1]} if all_of_them else {}
            quality[name] = count | dict(zip(("psnr", "ssim"), values.mean(axis=1).tolist(), strict=True))
            if math.isnan(quality[name]["psnr"]):  # it is infinite for a picture drawn exactly
                self.diverged(f"the PSNR is {quality[name]['psnr']}")
        self.write(step=self.adam.t, epoch=epoch, **({"all": quality} if all_of_them else quality))
        words = (f"{n.replace('_', ' ')} {r['psnr']:5.2f} dB, SSIM {r['ssim']:.3f}" for n, r in quality.items())
        say(f"{'over all images' if all_of_them else f'epoch {epoch:3}, step {self.adam.t:5}'}: {';  '.join(words)}")
        return quality

    def qualities(self, true: np.ndarray) -> np.ndarray:
        """PSNR and SSIM of images (N,H,W,C) against what the network makes of them: (2, N)."""
        predicted = self.model.reconstruct(true)

        def measure(shard: slice) -> tuple[np.ndarray, np.ndarray]:  # of a few images, which stay in the cache
            return psnr(predicted[shard], true[shard]), ssim(predicted[shard], true[shard])

        return np.concatenate(self.model.team.map(measure, shards(len(true), -(-len(true) // FEW))), axis=1)

    def show(self, last: bool = False) -> None:
        """Draw the tracked image as the network now does, if the preview wants it."""
        if self.preview.wanted(self.adam.t) or last:
            drawn = self.model.reconstruct(self.preview.image[None])[0]
            self.preview.show(drawn, self.adam.t, self.epoch, self.loss, last)

    def done(self) -> float:
        """Progress, from 0 to 1."""
        return self.limits.progress(self.adam.t, self.epoch - 1 + self.batches / len(self.generator))

    def write(self, **entry: object) -> None:
        """Write a line of the log; only its 'time' differs when a run is repeated."""
        self.log.write(json.dumps({**entry, "time": round(time.time(), 3)}) + "\n")
        self.lines += 1


class Limits:
    """Training's progress, from 0 to 1: by epochs, steps or minutes, whichever is nearest its end."""

    def __init__(self, experiment: Experiment, options: Namespace):
        self.steps, self.minutes = options.steps, options.minutes
        self.epochs = options.epochs if self.steps or self.minutes else experiment.epochs
        self.given = options.steps, options.epochs, options.minutes
        self.start = time.perf_counter()

    def progress(self, steps: int, epochs: float) -> float:
        elapsed = (time.perf_counter() - self.start) / 60
        parts = (self.steps, steps), (self.epochs, epochs), (self.minutes, elapsed)
        return min(max(done / limit for limit, done in parts if limit is not None), 1.0)


def train(run: Run) -> int:
    """Train until a limit or a signal, and return the signal or 0; evaluate and save after epochs, and at the end."""
    quality, done = "", run.done()
    with Stop() as stop, Progress(done) as bar:
        while run.adam.t == 0 or (done < 1 and not stop.signal):  # at least one batch, so there is something to save
            whole, done = learn(run, bar, stop, quality), run.done()
            if stop.signal and done < 1:
                break
            epoch = run.epoch
            if whole:
                run.epoch, run.batches = run.epoch + 1, 0
                done = run.done()  # if files were skipped, an epoch ends early
            part, steps = done - run.evaluated[0], run.adam.t - run.evaluated[1]
            if done == 1 or part > 0.99 * HUNDREDTH or steps >= STEPS:  # 100 epochs are hundredths but for rounding
                quality = f" PSNR {judge(run, epoch, done):.1f}"
        if done == 1 and run.evaluated[1] < run.adam.t:  # resumed with a limit below the steps already done
            judge(run, run.epoch, done)
        if stop.signal:
            if run.adam.t > run.evaluated[1]:  # an evaluation is saved with its step
                run.save()  # first, since a run that goes on from here knows nothing of the evaluation
                run.evaluate(run.epoch)
            say("Stopped and saved; drawing the figures now. Press Ctrl-C again to quit at once.")
        run.show(last=True)
    return stop.signal


def judge(run: Run, epoch: int, done: float) -> float:
    """Evaluate, at the end over all images too, and save. Returns the training PSNR."""
    run.evaluated = [done, run.adam.t]
    quality = run.evaluate(epoch)
    if done == 1:
        run.evaluate(epoch, True)
    run.save()
    return quality["training"]["psnr"]


def learn(run: Run, bar: "Progress", stop: "Stop", quality: str) -> bool:
    """Learn what is left of an epoch, until a limit or a signal. Returns whether the epoch is over."""
    done, begun, start = run.done(), run.adam.t, time.perf_counter()
    e = run.experiment
    for images in run.generator.epoch(run.epoch, run.batches):
        run.step(images, cooldown(e.learning_rate, done) * min(1.0, (run.adam.t + 1) / max(e.warm_up, 1)))
        run.show()
        done = run.done()
        speed = (run.adam.t - begun) * e.batch_size / (time.perf_counter() - start)
        bar.update(done, f"step {run.adam.t} loss {run.loss:.4f}{quality} {speed:.0f} images/s")
        if done == 1 or stop.signal:
            return False
        if run.adam.t % SAVED == 0:
            run.save()
    return True


class Stop:
    """Inside, the first Ctrl-C or SIGTERM only sets `signal`; a second one ends the program at once."""

    def __enter__(self) -> "Stop":
        ours = threading.current_thread() is threading.main_thread()  # only it may set handlers
        self.signal, signals = 0, (signal.SIGINT, signal.SIGTERM) if ours else ()
        self.before = {number: signal.signal(number, self.come) for number in signals}
        return self

    def come(self, number: int, _: object) -> None:
        self.signal = number
        for each in self.before:
            signal.signal(each, signal.SIG_DFL)

    def __exit__(self, *_: object) -> None:
        for number, before in self.before.items():
            signal.signal(number, before)


class Progress:
    """On a terminal a bar with the time left; elsewhere a line every half minute. It begins at `done`."""

    def __init__(self, done: float = 0) -> None:
        terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"  # which cannot overwrite a line
        layout = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        self.bar = tqdm(total=1.0, initial=done, bar_format=layout, disable=not terminal, dynamic_ncols=True,
                        delay=0.5)  # which draws nothing for what ends at once
        self.start, self.first = time.perf_counter(), done
        self.last = self.start

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
            self.last, left = now, (now - self.start) * (1 - done) / max(done - self.first, 1e-6)
            say(f"{done:4.0%} {text}, {left / 60:.0f} min left")


def say(line: str) -> None:
    """Print a line clear of the bar; if nobody reads any more, training goes on."""
    try:
        tqdm.write(line)
        sys.stdout.flush()
    except OSError as problem:
        if problem.errno not in (errno.EPIPE, errno.EIO):  # a pipe without a reader, a terminal that was closed
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
