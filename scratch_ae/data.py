"""Photographs from folders, streamed in batches: the set is never held in memory.

One folder per species, as in flowers/rose/*.jpg. Hash order, by the CRC-32 of file names, is the same on every machine
whatever the disk's own order; the held-out tenth is chosen by it, so that it stays held out when pictures are added.
"""

import contextlib
import itertools
import logging
import os
import sys
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from . import UserError

# What matters in Pillow's warnings is given as the reason for skipping a file. Off for the whole process, since
# `warnings.catch_warnings` is not safe in the decoding thread.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())

TOGETHER = 8  # most files that the prefetch thread hands over at once: one by one takes a quarter longer


class UnusableImage(Exception):
    """A file gives no picture; the message is the reason, in a few words."""


def _entries(folder: Path) -> list[Path]:
    """All that is not hidden in a folder. UserError when it cannot be read."""
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}); give a folder with pictures") from None


def _files(folder: Path) -> list[Path]:
    """A folder's files, except hidden ones. UserError if it cannot be read."""
    return [entry for entry in _entries(folder) if not os.path.isdir(entry)]


def species_folders(data: Path | str, species: Sequence[str]) -> list[Path]:
    """The folders data/<species> in the order given; if none, all, sorted. UserError: one lacks pictures."""
    root = Path(data)
    folders = [entry for entry in _entries(root) if os.path.isdir(entry)]
    # An empty folder does not count. Those nobody asked for are left alone: they may be unreadable.
    there = sorted(entry.name for entry in folders if (species and entry.name not in species) or _files(entry))
    if not there:
        raise UserError(f"{root} has no folders of pictures; put those of each species into a folder of its own")
    if missing := [name for name in species if name not in there]:
        raise UserError(f"{root} has no pictures of {', '.join(missing)} (there are: {', '.join(there)}); add them")
    return [root / name for name in species or there]


def _hash_order(file: Path) -> tuple[int, str]:
    """Sort key: CRC-32 of the name without its folder, then the path."""
    return zlib.crc32(file.name.encode("utf-8", "surrogateescape")), file.as_posix()


def image_files(folders: Iterable[Path | str]) -> list[Path]:
    """Every file in the folders except hidden ones, in hash order. UserError: a folder is unreadable, or no files."""
    paths = [Path(folder) for folder in folders]
    files = {file for path in paths for file in _files(path)}
    if not files:
        raise UserError(f"no files in {', '.join(map(str, paths))}; put pictures there")
    return sorted(files, key=_hash_order)


def split(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Training and held-out files, both in hash order: a tenth is held out, those whose hash is 0 modulo 10.

    At least one and never all, so none of a single file; of fewer than 10 files one, the first such or else the first.
    """
    files = sorted(files, key=_hash_order)
    held_out = [file for file in files if _hash_order(file)[0] % 10 == 0] or files
    if len(files) < 10 or len(held_out) == len(files):
        held_out = held_out[:1] if len(files) > 1 else []
    chosen = set(held_out)
    return [file for file in files if file not in chosen], held_out


def fingerprint(files: Iterable[Path]) -> int:
    """A checksum of names, folder names and sizes, which other files, or another order, will hardly share."""
    sizes = {file: os.path.getsize(file) if os.path.exists(file) else 0 for file in files}
    lines = "\n".join(f"{file.parent.name}/{file.name} {size}" for file, size in sizes.items())
    return zlib.crc32(lines.encode("utf-8", "surrogateescape"))


def load_image(file: Path | str, size: int, channels: int = 3) -> np.ndarray:
    """The centre square of a picture, upright, uint8 (size, size, channels): 3 RGB, 1 grey. UnusableImage: none."""
    try:
        if os.path.getsize(file) == 0:  # a pipe too: it would block for ever
            raise UnusableImage("empty")
        with Image.open(file) as image:
            image.draft("RGB", (size, size))  # a JPEG decodes at 1/2, 1/4 or 1/8 if both sides stay this long
            ImageOps.exif_transpose(image, in_place=True)
            # Hamming: antialiased, nearly as sharp as bicubic in two thirds of its time, and it does not overshoot.
            square = ImageOps.fit(_opaque(image), (size, size), Image.Resampling.HAMMING)
        pixels = np.array(square.convert("RGB" if channels == 3 else "L")).reshape(size, size, channels)
        if not pixels.any():  # what a decoder leaves where a file claims more than it holds
            raise UnusableImage("all black")
        return pixels
    except UnusableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnusableImage("not an image") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise UnusableImage(f"cannot be read ({reason})") from error


def _opaque(image: Image.Image) -> Image.Image:
    """The picture in 8 bits, L or RGB, composited on white where it is transparent."""
    if image.mode == "F" or image.mode.startswith("I"):  # 16-bit grey among them, which Pillow would clip at 255
        values = np.array(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise UnusableImage("grey values whose range is unknown")
        values[values == image.info.get("transparency", -1)] = 65535
        return Image.fromarray(((values.astype(np.int32) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")


class ImageGenerator:
    """Batches of pictures, float32 (n, size, size, channels) in [0,1], from files or from folders of them.

    `files` lists them, folders replaced by what is in them; `unusable` maps each file that was skipped to the reason,
    which was given to `report` once. `decoded` is what `cache.cached` gave for these files. With `augment` batches are
    `mirrored_and_shifted`. UserError for a senseless size, batch size, seed or channel count.
    """

    def __init__(self, files: Sequence[Path | str], size: int, batch_size: int, seed: int = 0, channels: int = 3,
                 augment: bool = False, prefetch: int = 4, decoded: np.ndarray | None = None,
                 report: Callable[[str], None] = lambda line: print(line, file=sys.stderr)) -> None:
        whole = ("size", size, 1), ("batch size", batch_size, 1), ("seed", seed, 0), ("prefetch", prefetch, 1)
        for name, value, least in whole:
            if value < least:
                raise UserError(f"{name} must be a whole number of {least} or more, not {value}")
        if channels not in (1, 3):
            raise UserError(f"channels must be 3 (RGB) or 1 (grey), not {channels}")
        paths = map(Path, files)  # whose is_dir raises where a folder may not be entered
        self.files = [file for path in paths for file in (image_files([path]) if os.path.isdir(path) else [path])]
        if batch_size > len(self.files):
            raise UserError(f"batch size {batch_size} is more than the {len(self.files)} images: use fewer or add some")
        self.size, self.batch_size, self.seed, self.channels = size, batch_size, seed, channels
        self.augment, self.prefetch, self.report = augment, prefetch, report
        self.unusable: dict[Path, str] = {}
        self.decoded = decoded
        self.row = {file: k for k, file in enumerate(self.files)}

    def __len__(self) -> int:
        """Batches per epoch if every file can be used."""
        return -(-len(self.files) // self.batch_size)

    def epoch(self, number: int, skip: int = 0) -> Iterator[np.ndarray]:
        """One pass over all files, shuffled by the seed and this number; every batch but the last is full.

        The first `skip` batches are left out. A thread decodes up to `prefetch` batches ahead. UserError when no file
        at all can be used.
        """
        order = [self.files[i] for i in np.random.default_rng([self.seed, number]).permutation(len(self.files))]
        images = self._usable(order, skip * self.batch_size)
        for k in itertools.count(skip):
            if not (batch := [image for _, image in itertools.islice(images, self.batch_size)]):
                break
            pixels = np.stack(batch)
            if self.augment:
                pixels = mirrored_and_shifted(pixels, np.random.default_rng([self.seed, number, k]))
            yield pixels * np.float32(1 / 255)
        if len(self.unusable) == len(set(self.files)):
            file, reason = next(iter(self.unusable.items()))
            raise UserError(f"none of the {len(self.files)} files can be used (as {file}: {reason}); give others")

    def images(self, count: int) -> tuple[np.ndarray, list[Path]]:
        """The first `count` usable pictures (or all) in the order of `files`, uint8, and their files."""
        chosen = list(itertools.islice(self._usable(self.files), count))
        pixels = np.array([image for _, image in chosen], np.uint8)
        return pixels.reshape(-1, self.size, self.size, self.channels), [file for file, _ in chosen]

    def _usable(self, files: Iterable[Path], skip: int = 0) -> Iterator[tuple[Path, np.ndarray]]:
        """Each usable file but the first `skip`, and its picture; bad ones are reported once and not tried again."""
        for file, found in self._ahead([file for file in files if file not in self.unusable][skip:]):
            if isinstance(found, np.ndarray):
                yield file, found
            elif file not in self.unusable:
                if not file.parent.is_dir():  # an unplugged disk is not damage to every picture on it
                    raise UserError(f"{file.parent} has gone. Bring it back, and continue training with --resume.")
                self.unusable[file] = str(found)
                self.report(f"skipped {file}: {found}")

    def _ahead(self, files: Sequence[Path]) -> Iterator[tuple[Path, np.ndarray | UnusableImage]]:
        """`_load` on all files, in a thread up to `prefetch` batches ahead of whoever takes them."""
        thread = ThreadPoolExecutor(1, "prefetch")
        few = min(TOGETHER, self.batch_size)

        def load(some: Sequence[Path]) -> list[tuple[Path, np.ndarray | UnusableImage]]:
            return [(file, self._load(file)) for file in some]

        jobs = (thread.submit(load, files[k : k + few]) for k in range(0, len(files), few))
        try:
            ahead = deque(itertools.islice(jobs, -(-self.prefetch * self.batch_size // few)))  # submitted here, and ...
            while ahead:
                ahead.extend(itertools.islice(jobs, 1))  # ... one more whenever one is taken
                yield from ahead.popleft().result()  # waits for the thread, if it must
        finally:
            with contextlib.suppress(RuntimeError):  # where the garbage collector runs this in the thread itself
                thread.shutdown(cancel_futures=True)

    def _load(self, file: Path) -> np.ndarray | UnusableImage:
        """A file's picture, or what is wrong with it."""
        try:
            if self.decoded is not None and (row := self.decoded[self.row[file]])["usable"]:
                return np.array(row["pixels"])
            return load_image(file, self.size, self.channels)
        except UnusableImage as reason:
            return reason


def mirrored_and_shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image (N,H,W,C) mirrored or not, and shifted by up to 1/16 of a side; the gap repeats the edge."""
    N, H, W, _ = images.shape
    mirror, down, across = rng.random(N) < 0.5, *rng.integers(-(H // 16), H // 16 + 1, (2, N))
    rows = (np.arange(H) + down[:, None]).clip(0, H - 1)
    columns = (np.arange(W) + across[:, None]).clip(0, W - 1)
    columns[mirror] = columns[mirror, ::-1]
    return images[np.arange(N)[:, None, None], rows[:, :, None], columns[:, None, :]]


def load_images(files: Sequence[Path], size: int, channels: int, count: int,
                report: Callable[[str], None]) -> tuple[np.ndarray, list[Path]]:
    """ImageGenerator.images for a list of files that may be empty."""
    if not files:
        return np.empty((0, size, size, channels), np.uint8), []
    return ImageGenerator(files, size, 1, channels=channels, report=report).images(count)
