"""A run's own memory with 20,000 files beside that with 1,000: python -m tests.memory

Own is RssAnon in /proc/self/status, which only Linux has: what the cache maps from the disk is not in it. The largest
of all steps counts, in runs of one experiment of the same length, with the cache and without it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scratch_ae import garden

CHILD = """
import sys
from scratch_ae import run, train

largest, right = 0, run.Run.step


def step(self, images, rate):
    global largest
    right(self, images, rate)
    largest = max(largest, int(open("/proc/self/status").read().split("RssAnon:")[1].split()[0]))


run.Run.step = step
train.main(sys.argv[1:])
print("largest", largest)
"""
FEW, MANY, MINUTES = 1_000, 20_000, 0.2


def own(folder: Path, files: int, *arguments: str) -> float:
    """The most MiB of its own that a run over so many files has had."""
    call = [sys.executable, "-c", CHILD, "sunflower", "--data", str(folder / str(files)), "--out", "out", "--overwrite"]
    call += ["--minutes", str(MINUTES), *arguments]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    environment.pop("DISPLAY", None)
    output = subprocess.run(call, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
    return int(output.split("largest")[1]) / 1024


def main() -> int:
    too_much = False
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        garden.plant(folder / "garden", ["sunflower"], 100, size=96)
        pictures = sorted((folder / "garden/sunflower").iterdir())
        for files in (FEW, MANY):
            (folder / str(files) / "sunflower").mkdir(parents=True)
            for k in range(files):
                os.link(pictures[k % len(pictures)], folder / str(files) / f"sunflower/{k}.jpg")
        for arguments in (["--no-cache"], []):
            few, many = (own(folder, files, *arguments) for files in (FEW, MANY))
            too_much |= many > 1.05 * few
            name = " ".join(arguments) or "with the cache"
            print(f"{name:15} {FEW:6} files {few:6.1f} MiB, {MANY} files {many:6.1f} MiB: {many / few - 1:+.1%}")
    return too_much


if __name__ == "__main__":
    sys.exit(main())
