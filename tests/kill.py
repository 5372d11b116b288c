"""Kills runs with SIGKILL, lets each go on, and compares it with a run never stopped: python -m tests.kill [COUNT]

Of every twenty kills five fall inside the writing of a checkpoint, five between its two renames, five in mid-epoch
after a save, and the rest anywhere from the start of the program to the last picture. A run that goes on must end with
the same bits: parameters, Adam's moments, frames, log (but for its times), tracked.webp and all figures.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scratch_ae import checkpoint, garden
from scratch_ae.gradcheck import same

CHILD = """
import os, signal, sys
from scratch_ae import command, experiments, run, train
from tests.test_train import SMALL

experiments.EXPERIMENTS.update(SMALL)
run.SAVED = 5
kind, at = sys.argv.pop(1), int(sys.argv.pop(1))


def deadly(function):  # at its at-th call
    calls = []

    def called(*arguments, **named):
        calls.append(1)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)

    return called


if kind in ("fsync", "replace"):
    setattr(os, kind, deadly(getattr(os, kind)))
elif kind == "step":
    run.Run.step = deadly(run.Run.step)
command(train.main)
"""
PLACES = (  # what is deadly, and the calls of it that may be: 44 steps, 8 an epoch, with a save after every fifth
    ("fsync", range(2, 27, 2)),  # of the checkpoint; the odd ones are the log's, before it
    ("replace", range(3, 26, 2)),
    ("step", (7, 15, 23, 31, 39, 43)),
)
ARGUMENTS = ("iris_calendula", "--data", "flowers", "--steps", "44", "--batch-size", "3", "--threads", "2")


def start(folder: Path, *arguments: str, kind: str = "nothing", at: int = 0) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    environment.pop("DISPLAY", None)
    call = [sys.executable, "-c", CHILD, kind, str(at), *ARGUMENTS, *arguments]
    return subprocess.Popen(call, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def state(out: Path) -> dict:
    """All that a run leaves, but for times."""
    arrays, header = checkpoint.read(out / checkpoint.NAME)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    pictures = {p.name: p.read_bytes() for p in (out / "tracked.webp", *sorted((out / "figures").iterdir()))}
    logged = [{name: value for name, value in entry.items() if name != "time"} for entry in log]
    return {"arrays": arrays, "header": header, "log": logged, "pictures": pictures}


def differing(a: dict, b: dict) -> list[str]:
    return [name for name in a if not (same(a[name], b[name]) if name == "arrays" else a[name] == b[name])]


def finish(folder: Path, out: str) -> None:
    """Run to the end: on from the checkpoint, or anew where there is none yet."""
    resume = ["--resume"] if (folder / out / checkpoint.NAME).exists() else []
    process = start(folder, "--out", out, *resume)
    output = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 0, output


def kills(count: int, seed: int = 0) -> int:
    """Kill and compare so many runs, print a line for each, and return how many differ."""
    draw, wrong = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        garden.plant(folder / "flowers", ["iris", "calendula"], 14, size=40)
        finish(folder, "warm")  # which compiles
        begin = time.perf_counter()
        finish(folder, "whole")
        seconds, whole = time.perf_counter() - begin, state(folder / "whole")
        for k in range(count):
            kind, calls = PLACES[k % 4] if k % 4 < len(PLACES) else ("time", ())
            at = draw.choice(calls) if calls else 0
            process, moment = start(folder, "--out", str(k), kind=kind, at=at), seconds * draw.random()
            try:
                process.communicate(timeout=moment if kind == "time" else 120)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
            assert kind == "time" or process.returncode == -signal.SIGKILL, f"call {at} of {kind} was never reached"
            steps = "before the first checkpoint"
            if (folder / str(k) / checkpoint.NAME).exists():
                steps = f"{checkpoint.read(folder / str(k) / checkpoint.NAME)[1]['t']} steps were saved"
            finish(folder, str(k))
            different = differing(whole, state(folder / str(k)))
            wrong += bool(different)
            what = f"at {moment:.2f} of {seconds:.2f} s" if kind == "time" else f"in call {at} of {kind}"
            verdict = f"DIFFERENT: {', '.join(different)}" if different else "equal to the bit"
            print(f"killed {what:24} exit {process.returncode:4}, {steps:28} then {verdict}", flush=True)
    return wrong


if __name__ == "__main__":
    found = kills(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    print(f"{found or 'none'} different")
    sys.exit(found > 0)
