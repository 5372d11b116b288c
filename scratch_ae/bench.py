"""How fast it is, side by side: python -m scratch_ae.bench

The same training step in this package, in Keras and in PyTorch (pip install -e '.[compare]'), with equal weights on the
same batch. Loss and gradients are compared before any clock starts. Each contender lives in a process of its own, and
they step in turn, so that whatever else the machine does hits all alike. The limit is the time that the step's
multiplications and additions would take at the speed of one large matrix product, measured in the same rounds.
"""

import json
import platform
import statistics
import tempfile
import time
from argparse import Namespace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from . import Parser, UserError, command
from .experiments import EXPERIMENTS
from .ladder import climb
from .layers import Conv2D, ConvTranspose2D, Dense
from .model import AutoEncoder
from .parallel import processors
from .peers import CONTENDERS, Process, installed, seconds, write_job

AGREEMENT = 1e-3  # of loss and gradients, by norms, in float32: one pixel on its ReLU's kink can cause 1e-4
SLEEP = 0.3  # seconds after a turn, in which a framework's threads stop looking for more work


def main(arguments: list[str]) -> int:
    p = Parser(prog="python -m scratch_ae.bench", description=__doc__.split("\n")[0])
    p.add_argument("--only", choices=("step", "decode"), help="one kind of measurement")
    either = p.add_mutually_exclusive_group()
    either.add_argument("--ladder", action="store_true", help="a convolution from seven loops to threads, rung by rung")
    p.add_argument("--quick", action="store_true", help="steps of one size only, without torch.compile")
    p.add_argument("--experiment", choices=EXPERIMENTS, help="of this one (steps of all four, codes of the rose)")
    p.add_argument("--batch-size", type=int, metavar="B", help="images per step")
    p.add_argument("--threads", type=int, metavar="T", help=f"threads of every contender ({processors()})")
    either.add_argument("--json", type=Path, metavar="FILE", help="also write environment and rows to this file")
    options = p.parse_args(arguments)
    for name in ("batch_size", "threads"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    if options.json:
        options.json.open("a").close()  # if not writable, better to know now than in an hour
    found = environment()
    print("\n".join(f"{name}: {value}" for name, value in found.items()), end="\n\n")
    if options.ladder:
        climb(options.threads or processors())
        return 0
    rows = steps(options) if options.only != "decode" else []
    if options.only == "decode" or not (options.only or options.quick):
        rows += race(options.experiment or "rose", 1, options.threads or processors(), options.quick, "decode")
    if options.json:
        options.json.write_text(json.dumps({"environment": found, "rows": rows}, indent=1) + "\n")
    return 0


def environment() -> dict[str, Any]:
    """What timings depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")] or [platform.processor()]
    found = {"processor": names[0], "processors": processors(), "system": platform.platform()}
    for package in ("python", "numpy", "numba", "keras", "tensorflow_cpu", "torch"):
        try:
            found[package] = platform.python_version() if package == "python" else version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


# ---- a training step ------------------------------------------------------------------------------------------------


def steps(options: Namespace) -> list[dict]:
    """Training steps of the four experiments, or of those that the options name."""
    cores = options.threads or processors()
    if options.quick or options.experiment:
        cases = [(options.experiment or "rose", options.batch_size or 32, cores)]
    else:
        batches = [options.batch_size] if options.batch_size else [32, 8]
        cases = [(name, N, cores) for N in batches for name in EXPERIMENTS]
        cases += [("rose", batches[0], 1)] if cores > 1 else []
    return [row for case in cases for row in race(*case, options.quick, "step")]


def race(name: str, N: int, threads: int, quick: bool, what: str) -> list[dict]:
    """Time every contender on the same work, in turn; print the table and return its rows."""
    model = AutoEncoder(EXPERIMENTS[name], threads=threads)
    e = model.experiment
    images = np.random.default_rng(1).random((N, e.size, e.size, e.channels), np.float32)
    print(f"{name}, batch {N}, {threads} threads: {what}")
    running: list[Process] = []
    times: dict[str, list[float]] = {}
    turns = 5 if quick else 10
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.npz"
        write_job(job, model, images)
        try:
            for contender in CONTENDERS:
                if quick and contender == "torch.compile":
                    continue
                if not installed(contender):
                    print(f"  {contender}: absent")
                    continue
                process = Process(contender, job, threads)
                running.append(process)
                check(process)
                process.ask(f"{what} 3")
            once = max(statistics.median(process.ask(f"{what} 3")) for process in running)
            several = max(4, int(1000 / once))  # a second: the first ones after a rest are slower for all
            for turn in range(turns):
                first = turn % len(running)  # nobody always follows the same one
                for process in running[first:] + running[:first]:
                    times.setdefault(process.name, []).extend(process.ask(f"{what} {several}"))
                    time.sleep(SLEEP)
                if what == "step":
                    times.setdefault("limit", []).append(flops(model, N) / product_rate(threads) * 1e3)
                    time.sleep(SLEEP)
            peaks = {process.name: process.ask("peak 1") for process in running}
        finally:
            for process in running:
                process.end()
    return table(name, N, threads, times, peaks, flops(model, N), what)


def check(process: Process) -> None:
    """Refuse to time a contender that computes something else."""
    off = process.ask()
    print(f"  {process.name}: loss {off['loss']:.0e} and gradients {off['gradients']:.0e} from ours", flush=True)
    if not all(error < AGREEMENT for error in off.values()):  # a nan is refused too
        raise UserError(f"{process.name} computes something else, so its time means nothing")


def flops(model: AutoEncoder, N: int) -> float:
    """Multiplications and additions of the products in a training step: forward, and twice as many backward.

    The first layer has no gradient in its input.
    """
    e, total, side = model.experiment, 0.0, model.experiment.size
    for k, layer in enumerate(model.layers):
        if isinstance(layer, Conv2D | ConvTranspose2D):
            small = side // layer.S if isinstance(layer, Conv2D) else side
            total += (2 if k == 0 else 3) * 2 * N * small**2 * layer.w.size
            side = small if isinstance(layer, Conv2D) else side * layer.S
        elif isinstance(layer, Dense):
            total += 3 * 2 * N * layer.w.size
    assert side == e.size
    return total


def product_rate(threads: int) -> float:
    """Floating-point operations per second in one large float32 matrix product."""
    a = np.ones((2048, 2048), np.float32)
    with threadpool_limits(threads, user_api="blas"):
        return 2 * 2048**3 / min(seconds(lambda: a @ a) for _ in range(4))


def table(name: str, N: int, threads: int, times: dict, peaks: dict, work: float, what: str) -> list[dict]:
    medians = {contender: statistics.median(found) for contender, found in times.items()}
    peers = [median for contender, median in medians.items() if contender not in ("scratch_ae", "limit")]
    rows = []
    print(f"  {'':22}{'ms':>8}{'spread':>8}{'/ peer':>8}{'/ limit':>8}{'GFLOP/s':>9}{'MiB':>7}")
    for contender, found in times.items():
        quarters = statistics.quantiles(found, n=4)
        row = {
            "experiment": name, "batch": N, "threads": threads, "contender": contender, "what": what,
            "median_ms": medians[contender], "spread_ms": quarters[2] - quarters[0],
            "ratio_to_fastest_peer": medians[contender] / min(peers) if peers else None,
            "ratio_to_limit": medians[contender] / medians["limit"] if what == "step" else None,
            "peak_mib": peaks.get(contender),
        }  # fmt: skip
        rows.append(row)
        cells = [f"{row['median_ms']:8.1f}", f"{row['spread_ms']:8.1f}"]
        cells += [f"{row[k]:8.2f}" if row[k] else f"{'':8}" for k in ("ratio_to_fastest_peer", "ratio_to_limit")]
        cells.append(f"{work / row['median_ms'] / 1e6:9.0f}" if what == "step" else f"{'':9}")
        print(f"  {contender:22}" + "".join(cells) + (f"{row['peak_mib']:7.0f}" if row["peak_mib"] else ""))
    print(flush=True)
    return rows


if __name__ == "__main__":
    command(main)
