"""Photographs from folders, streamed in batches: the set is never held in memory.

One folder a species, as in flowers/rose/*.jpg. Hash order, by the CRC-32 of a file's name, is the same on every machine
whatever the disk's own order; the held-out tenth is chosen by it, so that it stays held out when pictures are added.
"""

import itertools
import logging
import os
import queue
import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from scratch_ae import UserError

# Pillow warns of odd metadata and of large pictures; what matters of it is told once a file, as the reason for skipping
# it. For the whole process: `warnings.catch_warnings` is not safe in the thread that decodes.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


class UnusableImage(Exception):
    """A file that gives no picture; its text is the reason, in a few words."""


def species_folders(data: Path | str, species: Sequence[str]) -> list[Path]:
    """The folders data/<species>, in the given order; with no species every sub-folder there is, sorted.

    UserError when data is not a folder, has no sub-folders, or lacks some of the species.
    """
    root = Path(data)
    try:
        there = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UserError(f"{root} cannot be read ({error.strerror}); "
                        "give a folder that holds one folder of pictures for each species") from None
    if not there:
        raise UserError(f"{root} has no folders in it; "
                        f"put the pictures of each species into a folder of its own, as in {root / 'rose'}")
    if missing := [name for name in species if name not in there]:
        shown = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
        raise UserError(f"{root} has no folder {', '.join(missing)} (there are: {shown}); "
                        "add a folder of pictures for each, or give another folder")
    return [root / name for name in species or there]


def _hash_order(file: Path) -> tuple[int, str]:
    """Sorts files: CRC-32 of the name without its folder, then the path."""
    return zlib.crc32(file.name.encode("utf-8", "surrogateescape")), file.as_posix()


def image_files(folders: Iterable[Path | str]) -> list[Path]:
    """Every file directly in the folders but the hidden ones, in hash order; broken links too, reported when read.

    UserError when a folder cannot be read, or when there is no file at all.
    """
    paths = [Path(folder) for folder in folders]
    files: set[Path] = set()
    for folder in paths:
        try:
            files.update(file for file in folder.iterdir() if not file.name.startswith(".")
                         and (file.is_file() or (file.is_symlink() and not file.exists())))
        except OSError as error:
            raise UserError(f"{folder} cannot be read ({error.strerror}); give a folder of pictures") from None
    if not files:
        raise UserError(f"no files in {', '.join(map(str, paths)) or 'no folder'}; put pictures there")
    return sorted(files, key=_hash_order)


def split(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Training and held-out files, both in hash order: held out is a tenth, those whose hash is 0 modulo 10.

    Of fewer than 10 files one is held out: the first of those in hash order, of all where there are none; of one file
    none. Of 10 and more at least one, and never all.
    """
    files = sorted(files, key=_hash_order)
    held_out = [file for file in files if _hash_order(file)[0] % 10 == 0] or files
    if len(files) < 10 or len(held_out) == len(files):
        held_out = held_out[:1] if len(files) > 1 else []
    chosen = set(held_out)
    return [file for file in files if file not in chosen], held_out


def load_image(file: Path | str, size: int, channels: int = 3) -> np.ndarray:
    """The centre square of a picture, upright, as uint8 (size, size, channels); channels 3 is RGB, 1 grey.

    UnusableImage for whatever cannot be used: truncated, empty, not an image, not there, too many pixels.
    """
    try:
        if os.path.getsize(file) == 0:  # a pipe too, which would wait for ever
            raise UnusableImage("empty")
        with Image.open(file) as image:
            image.draft("RGB", (size, size))  # a JPEG decodes at 1/2, 1/4 or 1/8 while both sides stay this long
            ImageOps.exif_transpose(image, in_place=True)
            opaque = _opaque(image)
        side = min(opaque.size)
        left, top = (opaque.width - side) // 2, (opaque.height - side) // 2
        # Hamming: antialiased, nearly as sharp as bicubic at two thirds of its time, and it does not overshoot.
        square = opaque.resize((size, size), Image.Resampling.HAMMING, box=(left, top, left + side, top + side))
        return np.array(square.convert("RGB" if channels == 3 else "L")).reshape(size, size, channels)
    except UnusableImage:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise UnusableImage(_reason(file, error)) from error


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


def _reason(file: Path | str, error: Exception) -> str:
    """Why a file could not be read, in words that need no knowledge of Pillow."""
    if isinstance(error, FileNotFoundError):
        return "a link to a file that is not there" if os.path.islink(file) else "not there"
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels to be safe to open"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    return "truncated" if "truncated" in str(error).lower() else f"damaged ({type(error).__name__}: {error})"


Read = tuple[Path, np.ndarray | str]  # a file with its picture, or with the reason why there is none


def _read(files: Iterable[Path], size: int, channels: int) -> Iterator[Read]:
    for file in files:
        try:
            yield file, load_image(file, size, channels)
        except UnusableImage as error:
            yield file, str(error)


def _ahead(items: Iterable[Read], count: int) -> Iterator[Read]:
    """The items, made by a thread up to `count` ahead; the thread ends when this iterator does, in whichever way."""
    # Not Queue: this may be closed by the garbage collector at any moment, and SimpleQueue has no lock to hang on then.
    ready: queue.SimpleQueue[Read | BaseException | None] = queue.SimpleQueue()
    room: queue.SimpleQueue[None] = queue.SimpleQueue()
    stop = threading.Event()

    def work() -> None:
        try:
            for item in items:
                ready.put(item)
                room.get()
                if stop.is_set():
                    return
            ready.put(None)
        except BaseException as error:
            ready.put(error)

    for _ in range(count - 1):
        room.put(None)
    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            room.put(None)
            yield item
    finally:
        stop.set()
        room.put(None)
        if thread is not threading.current_thread():  # where the garbage collector may happen to run
            thread.join()


class ImageGenerator:
    """Batches of pictures, float32 (n, size, size, channels) in [0,1], from files or from folders of them.

    `files` lists them, folders replaced by what is in them; `unusable` maps each file that was skipped to the reason,
    which was given to `report` once. UserError for a size, batch size, seed, channels or prefetch that makes no sense.
    """

    def __init__(self, files: Sequence[Path | str], size: int, batch_size: int, seed: int = 0, channels: int = 3,
                 prefetch: int = 4, report: Callable[[str], None] = lambda line: print(line, file=sys.stderr)) -> None:
        for name, value, least in (("size", size, 1), ("batch size", batch_size, 1), ("seed", seed, 0),
                                   ("prefetch", prefetch, 1)):
            if value < least:
                raise UserError(f"{name} must be a whole number of {least} or more, not {value}")
        if channels not in (1, 3):
            raise UserError(f"channels must be 3 (RGB) or 1 (grey), not {channels}")
        paths = [Path(file) for file in files]
        folders = [path for path in paths if path.is_dir()]
        self.files = [path for path in paths if path not in folders] + (image_files(folders) if folders else [])
        if not self.files:
            raise UserError("there are no images: give at least one file, or a folder of pictures")
        if batch_size > len(self.files):
            raise UserError(f"batch size must be at most the number of images, {len(self.files)}, not {batch_size}: "
                            "take a smaller batch, or add images")
        self.size, self.batch_size, self.seed, self.channels = size, batch_size, seed, channels
        self.prefetch, self.report = prefetch, report
        self.unusable: dict[Path, str] = {}

    def __len__(self) -> int:
        """Batches an epoch when every file can be used."""
        return -(-len(self.files) // self.batch_size)

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """One pass over all files, shuffled by the seed and this number; every batch but the last is full.

        A thread decodes up to `prefetch` batches ahead. UserError when no file at all can be used.
        """
        order = np.random.default_rng([self.seed, number]).permutation(len(self.files))
        images = self._usable([self.files[i] for i in order])
        while batch := [image for _, image in itertools.islice(images, self.batch_size)]:
            yield np.multiply(np.stack(batch), np.float32(1 / 255), dtype=np.float32)
        if len(self.unusable) == len(set(self.files)):
            file, reason = next(iter(self.unusable.items()))
            raise UserError(f"none of the {len(self.files)} files can be used (the first tried, {file}: {reason}); "
                            "give other pictures")

    def images(self, count: int) -> tuple[np.ndarray, list[Path]]:
        """The first `count` usable pictures (or all) in the order of `files`, uint8, and their files."""
        chosen = list(itertools.islice(self._usable(self.files), count))
        shape = (len(chosen), self.size, self.size, self.channels)
        return np.array([image for _, image in chosen], np.uint8).reshape(shape), [file for file, _ in chosen]

    def _usable(self, files: Sequence[Path]) -> Iterator[tuple[Path, np.ndarray]]:
        """Each file that can be used, with its picture; the others are reported the first time, and not tried again."""
        tried = (file for file in files if file not in self.unusable)
        for file, image in _ahead(_read(tried, self.size, self.channels), self.prefetch * self.batch_size):
            if not isinstance(image, str):
                yield file, image
            elif file not in self.unusable:
                self.unusable[file] = image
                self.report(f"skipped {file}: {image}")


def load_images(files: Sequence[Path], size: int, channels: int, count: int,
                report: Callable[[str], None]) -> tuple[np.ndarray, list[Path]]:
    """ImageGenerator.images of a list of files, which may be empty."""
    if not files:
        return np.empty((0, size, size, channels), np.uint8), []
    return ImageGenerator(files, size, 1, channels=channels, report=report).images(count)
