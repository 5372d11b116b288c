"""Decoded pictures kept on disk, so that from the second pass on nothing is decoded; mapped, not read, into memory."""

import contextlib
import hashlib
import os
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL

from .data import UnusableImage, load_image
from .parallel import processors

FORMAT = 1  # increase this when `load_image` gives other pixels
BLOCK = 64  # pictures in memory at a time while the cache is written
STALE = 3600  # seconds after which a half-written file is nobody's any more


def cached(files: Sequence[Path], size: int, channels: int, folder: Path, progress: Callable[[float, str], None],
           report: Callable[[str], None], threads: int | None = None) -> np.ndarray | None:  # fmt: skip
    """The pictures of these files, in order: (n,) with the fields `usable` and `pixels` (size, size, channels).

    They are mapped from a file in `folder`, which is written first if there is none for these very files: the same
    paths, sizes and times. It replaces an earlier one for the same folders. `threads` threads decode, by default one
    per processor. None, with the reason in `report`, if the disk is too full or the folder cannot be written.
    """
    kind = np.dtype([("usable", "?"), ("pixels", "u1", (size, size, channels))])
    places = "\n".join(sorted({str(file.absolute().parent) for file in files}))
    group = f"{size}x{channels}-{zlib.crc32(os.fsencode(places)):08x}"
    content = os.fsencode("\n".join([f"{FORMAT} {PIL.__version__}", *map(described, files)]))
    key = hashlib.sha256(content).hexdigest()[:16]
    whole, part = folder / f"{group}-{key}.rows", folder / f"{group}-{key}.{os.getpid()}.part"
    try:
        if not whole.exists() or whole.stat().st_size != len(files) * kind.itemsize:
            folder.mkdir(parents=True, exist_ok=True)
            for old in (*folder.glob(f"{group}-*.rows"), *folder.glob("*.part")):
                with contextlib.suppress(FileNotFoundError):  # another run has just moved it into place
                    if old.suffix == ".rows" or time.time() - old.stat().st_mtime > STALE:
                        old.unlink()
            write(part, files, kind, progress, threads)
            os.replace(part, whole)  # if two runs write it at once, the second replaces it with its like
        return np.memmap(whole, kind, "r", shape=(len(files),))
    except OSError as problem:
        report(f"No cache in {folder} ({problem}), so the pictures are decoded anew in every epoch.")
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return None


def described(file: Path) -> str:
    """A file's path, size and times of change, the second kept by the system alone; also for a missing file."""
    try:
        found = file.stat()
        return f"{file.absolute()} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    except OSError:
        return f"{file.absolute()} cannot be read"


def write(part: Path, files: Sequence[Path], kind: np.dtype, progress: Callable[[float, str], None],
          threads: int | None) -> None:  # fmt: skip
    """Decode the files into rows on the disk, some at a time. Unusable ones have pixels of 0, and `usable` False."""
    size, _, channels = kind["pixels"].shape

    def decode(file: Path) -> np.ndarray:
        row = np.zeros((), kind)
        with contextlib.suppress(UnusableImage):
            row["pixels"], row["usable"] = load_image(file, size, channels), True
        return row

    with open(part, "wb") as stream, ThreadPoolExecutor(threads or processors()) as pool:
        for first in range(0, len(files), BLOCK):
            for row in pool.map(decode, files[first : first + BLOCK]):
                stream.write(row.tobytes())  # and not through mmap, where a full disk would end the process
            done = min(first + BLOCK, len(files))
            progress(done / len(files), f"{done} of {len(files)} pictures decoded")
        stream.flush()
        os.fsync(stream.fileno())
