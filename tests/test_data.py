"""Streaming from folders: pictures read rightly, each once an epoch, in an order that every machine agrees on."""

import faulthandler
import gc
import itertools
import os
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scratch_ae import UserError, data
from scratch_ae.data import (
    ImageGenerator,
    UnusableImage,
    fingerprint,
    image_files,
    load_image,
    load_images,
    species_folders,
    split,
)
from tests import fuzz

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
COLOURS = {"R": RED, "G": GREEN, "B": BLUE, "W": WHITE}


@pytest.fixture(autouse=True)
def no_thread_left_and_no_hanging() -> Iterator[None]:
    faulthandler.dump_traceback_later(60, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    assert prefetching() == 0


def prefetching() -> int:
    """How many threads of this module run."""
    return sum(thread.name.startswith("prefetch") for thread in threading.enumerate())


def mosaic(rows: str, tile: int = 1) -> Image.Image:
    """A picture from letters, rows apart by a slash, each letter a square of tile x tile pixels."""
    pixels = np.array([[COLOURS[letter] for letter in row] for row in rows.split("/")], np.uint8)
    return Image.fromarray(pixels.repeat(tile, 0).repeat(tile, 1))


def grey_files(folder: Path, count: int) -> list[Path]:
    """Files 0.png, 1.png, ... whose pixels are all 10, 11, ...: the value tells the file."""
    folder.mkdir(exist_ok=True)
    files = [folder / f"{i}.png" for i in range(count)]
    for i, file in enumerate(files):
        Image.new("L", (4, 4), 10 + i).save(file)
    return files


def numbers(batches: list[np.ndarray]) -> list[int]:
    """Which files of grey_files are in the batches, in their order."""
    return [round(float(image[0, 0, 0]) * 255) - 10 for batch in batches for image in batch]


def png(width: int, height: int, rows: bytes) -> bytes:
    """A PNG that claims any size, whatever rows it holds."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


UNUSABLE = {  # name of a file, with a word of the reason that is expected
    "cut.jpg": "truncated", "cut.png": "truncated", "cut.bmp": "truncated", "cut.webp": "cannot be read",
    "changed.png": "cannot be read", "empty.jpg": "empty", "notes.txt": "not an image", "huge.png": "exceeds limit of",
    "linked.jpg": "No such file", "float.tif": "range", "wide.tif": "range",
    "black.png": "all black"}


def unusable_files(folder: Path) -> dict[Path, str]:
    """Makes a file of every kind in UNUSABLE."""
    folder.mkdir(exist_ok=True)
    noise = Image.fromarray(np.random.default_rng(0).integers(100, 256, (64, 64, 3), np.uint8))
    for name in ("cut.jpg", "cut.png", "cut.bmp", "cut.webp", "changed.png"):
        noise.save(folder / name)
        whole = (folder / name).read_bytes()
        half = len(whole) // 2
        (folder / name).write_bytes(whole[:half] if "cut" in name else whole[:half] + b"\0\1\2\3" + whole[half + 4:])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("petals: five")
    (folder / "huge.png").write_bytes(png(20_000, 20_000, b"\0" * 100))
    (folder / "linked.jpg").symlink_to(folder / "elsewhere.jpg")
    Image.new("F", (8, 8), 0.5).save(folder / "float.tif")
    Image.new("I", (8, 8), 70_000).save(folder / "wide.tif")
    Image.new("RGB", (8, 8)).save(folder / "black.png")
    return {folder / name: reason for name, reason in UNUSABLE.items()}


# ------------------------------------------------------------------------------------------------ folders and files

def test_species_folders_in_the_order_asked_for_or_all_sorted(tmp_path: Path) -> None:
    for name in ("tulip", "iris", "rose", ".cache", "empty"):
        (tmp_path / name).mkdir()
        if name != "empty":
            (tmp_path / name / "a.jpg").write_bytes(b"")
    (tmp_path / "README.md").write_text("not a species")
    assert species_folders(tmp_path, ["tulip", "iris"]) == [tmp_path / "tulip", tmp_path / "iris"]
    assert species_folders(str(tmp_path), []) == [tmp_path / "iris", tmp_path / "rose", tmp_path / "tulip"]


def test_a_folder_that_nobody_asked_for_may_be_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As lost+found at the root of a disk."""
    for name in ("rose", "lost+found"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(b"")
    right = data._entries

    def entries(folder: Path) -> list[Path]:
        if folder.name == "lost+found":
            raise UserError("lost+found cannot be read")
        return right(folder)

    monkeypatch.setattr(data, "_entries", entries)
    assert species_folders(tmp_path, ["rose"]) == [tmp_path / "rose"]
    with pytest.raises(UserError, match="cannot be read"):
        species_folders(tmp_path, [])


def test_species_folders_names_every_missing_species_and_those_there(tmp_path: Path) -> None:
    (tmp_path / "rose").mkdir()
    (tmp_path / "rose/a.jpg").write_bytes(b"")
    (tmp_path / "tulip").mkdir()
    (tmp_path / "tulip/.hidden").write_text("")
    (tmp_path / "calendula/a/folder/deeper").mkdir(parents=True)
    (tmp_path / "iris").write_text("a file is no species")
    wanted = r"no pictures of iris, tulip, calendula \(there are: rose\); add them"
    with pytest.raises(UserError, match=wanted) as error:
        species_folders(tmp_path, ["iris", "tulip", "rose", "calendula"])
    assert str(tmp_path) in str(error.value)


def test_species_folders_without_folders(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="has no folders of pictures; put those of each species"):
        species_folders(tmp_path, [])
    with pytest.raises(UserError, match=r"nowhere cannot be read \(No such file or directory\); give a folder"):
        species_folders(tmp_path / "nowhere", ["rose"])
    with pytest.raises(UserError, match=r"photo.jpg cannot be read \(Not a directory\); give a folder"):
        species_folders(tmp_path / "photo.jpg", [])


def test_image_files_in_hash_order(tmp_path: Path) -> None:
    """By published CRC-32: c 06b9df6f, b 71beeff9, 123456789 cbf43926, a e8b7be43; and "broken" e2abac74."""
    for folder, names in (("x", ("a", "b", "123456789")), ("y", ("c", "a", ".hidden"))):
        (tmp_path / folder / "deeper").mkdir(parents=True)
        for name in names:
            (tmp_path / folder / name).write_bytes(b"")
    (tmp_path / "y" / "broken").symlink_to("nowhere")
    (tmp_path / "y" / "to_folder").symlink_to(tmp_path / "x")
    found = [file.relative_to(tmp_path).as_posix() for file in image_files([tmp_path / "y", tmp_path / "x"])]
    assert found == ["y/c", "x/b", "x/123456789", "y/broken", "x/a", "y/a"]
    assert image_files([tmp_path / "x"]) == image_files([tmp_path / "x", str(tmp_path / "x")])  # each once


def test_image_files_without_files(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_bytes(b"")
    with pytest.raises(UserError, match=f"no files in {tmp_path}; put pictures there"):
        image_files([tmp_path])
    with pytest.raises(UserError, match="no files in"):
        image_files([])
    with pytest.raises(UserError, match=r"rose cannot be read \(No such file or directory\); give a folder"):
        image_files([tmp_path / "rose"])


# ------------------------------------------------------------------------------------------------------- held out

def named(*stems: int, folder: str = "rose") -> list[Path]:
    return [Path(folder, f"{stem}.jpg") for stem in stems]


def test_hashes_on_which_these_tests_rest() -> None:
    known = {29: 2902836740, 33: 753470720, 35: 2745825440, 37: 3647581120, 6: 285712845, 26: 794120661, 3: 3655806653}
    assert {stem: zlib.crc32(f"{stem}.jpg".encode()) for stem in known} == known


def test_split_holds_out_the_hashes_that_end_in_0() -> None:
    training, held_out = split(named(*range(20, 40)))
    assert held_out == named(33, 35, 29, 37)
    assert training[:5] == named(32, 27, 26, 24, 31)
    assert sorted(training + held_out) == sorted(named(*range(20, 40)))
    assert len(split(named(*range(2000)))[1]) == 212


def test_split_does_not_depend_on_order_folder_or_neighbours() -> None:
    files = named(*range(40))
    assert split(files) == split(reversed(files))
    moved_training, moved = split([Path("/elsewhere", file) for file in files])
    assert [file.name for file in moved] == [file.name for file in split(files)[1]]
    assert [file.name for file in moved_training] == [file.name for file in split(files)[0]]
    assert set(split(named(*range(30, 50)))[1]) <= set(split(named(*range(0, 100)))[1])
    both = split(files + named(*range(40), folder="iris"))[1]
    assert both[:2] == [Path("iris/33.jpg"), Path("rose/33.jpg")]  # names alike: by path, and on the same side


@pytest.mark.parametrize(("stems", "held_out"), [
    ((), ()),
    ((33,), ()),                                     # of one file none, even where its hash says so
    ((6, 3), (6,)),                                  # no hash ends in 0: the first in hash order
    ((3, 26, 6, 29), (29,)),                         # one does
    ((37, 29, 35, 3), (35,)),                        # three do: the first of them
    ((37, 29, 35), (35,)),                           # all do
    ((0, 1, 2, 3, 4, 5, 35, 37, 33), (33,)),         # nine
    ((0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (6,)),          # ten, none of which ends in 0
    ((0, 1, 2, 3, 4, 5, 6, 33, 35, 37), (33, 35, 37)),
])
def test_split_of_small_sets(stems: tuple[int, ...], held_out: tuple[int, ...]) -> None:
    training, held = split(named(*stems))
    assert held == named(*held_out)
    assert sorted(training) == sorted(set(named(*stems)) - set(held))


def test_split_never_holds_out_all() -> None:
    files = [Path(f"{i:02}", "33.jpg") for i in range(12)]
    assert split(files) == (files[1:], files[:1])


def test_a_fingerprint_is_of_folder_and_name_and_takes_names_that_are_not_utf8() -> None:
    paths = "rose/1.jpg", "iris/1.jpg", "rose/2.jpg", "rose/\udcff.jpg"
    assert len({fingerprint([Path(path)]) for path in paths}) == 4


def test_split_takes_names_that_are_not_utf8() -> None:
    assert len(split([Path("\udcff.jpg"), Path("ü.jpg")])[0]) == 1


# ------------------------------------------------------------------------------------------------- reading pictures

def palette(transparent: bytes | int | None = None) -> Image.Image:
    """Palette image, all of colour 1, orange."""
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 250, 100, 50, 9, 9, 9])
    if transparent is not None:
        image.info["transparency"] = transparent
    return image


READ = [  # name, picture, what to save it with, the colour that must come out, tolerance
    ("rgb.png", Image.new("RGB", (8, 8), (10, 20, 30)), {}, (10, 20, 30), 0),
    ("rgb.jpg", Image.new("RGB", (8, 8), (200, 100, 50)), {}, (200, 100, 50), 2),
    ("rgb.webp", Image.new("RGB", (8, 8), (200, 100, 50)), {}, (200, 100, 50), 3),
    ("grey.png", Image.new("L", (8, 8), 77), {}, (77, 77, 77), 0),
    ("grey.jpg", Image.new("L", (8, 8), 77), {}, (77, 77, 77), 1),
    ("grey_key.png", Image.new("L", (8, 8), 77), {"transparency": 77}, WHITE, 0),
    ("bit.png", Image.new("1", (8, 8), 1), {}, WHITE, 0),
    ("palette.png", palette(), {}, (250, 100, 50), 0),
    ("palette.gif", palette(), {}, (250, 100, 50), 0),
    ("palette_key.png", palette(1), {}, WHITE, 0),
    ("palette_other_key.png", palette(2), {}, (250, 100, 50), 0),
    ("palette_alpha.png", palette(b"\xff\x33"), {}, (254, 224, 214), 1),     # a fifth of orange, four of white
    ("rgb_key.png", Image.new("RGB", (8, 8), RED), {"transparency": RED}, WHITE, 0),
    ("rgba.png", Image.new("RGBA", (8, 8), (0, 0, 0, 0)), {}, WHITE, 0),
    ("rgba_part.png", Image.new("RGBA", (8, 8), (200, 100, 0, 51)), {}, (244, 224, 204), 1),
    ("la.png", Image.new("LA", (8, 8), (100, 51)), {}, (224, 224, 224), 1),
    ("cmyk.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), {"quality": 95}, RED, 3),
    ("cmyk.tif", Image.new("CMYK", (8, 8), (255, 0, 0, 102)), {}, (0, 153, 153), 1),
    ("ycbcr.tif", Image.new("YCbCr", (8, 8), (76, 85, 255)), {}, (254, 0, 0), 3),
    ("grey16.png", Image.new("I;16", (8, 8), 40_000), {}, (156, 156, 156), 0),        # 40000 / 257 = 155.6
    ("grey16_low.png", Image.new("I;16", (8, 8), 400), {}, (2, 2, 2), 0),
    ("grey16_white.png", Image.new("I;16", (8, 8), 65_535), {}, WHITE, 0),
    ("grey16_key.png", Image.new("I;16", (8, 8), 300), {"transparency": 300}, WHITE, 0),
    ("grey16_big_endian.tif", Image.new("I;16B", (8, 8), 40_000), {}, (156, 156, 156), 0),
    ("grey32.tif", Image.new("I", (8, 8), 40_000), {}, (156, 156, 156), 0),
    ("frames.gif", mosaic("R", 8), {"save_all": True, "append_images": [mosaic("B", 8)]}, RED, 0),
    ("frames.webp", mosaic("R", 8), {"save_all": True, "append_images": [mosaic("B", 8)], "lossless": True}, RED, 0),
]


@pytest.mark.parametrize(("name", "picture", "options", "colour", "tolerance"), READ, ids=[row[0] for row in READ])
def test_every_mode_has_its_colour(tmp_path: Path, name: str, picture: Image.Image, options: dict, colour: tuple,
                                   tolerance: int) -> None:
    picture.save(tmp_path / name, **options)
    image = load_image(tmp_path / name, 4)
    assert image.dtype == np.uint8
    assert image.shape == (4, 4, 3)
    assert np.abs(image.astype(int) - colour).max() <= tolerance
    grey = load_image(tmp_path / name, 4, channels=1)
    assert grey.shape == (4, 4, 1)
    assert np.abs(grey.astype(int) - np.dot(colour, (0.299, 0.587, 0.114))).max() <= tolerance + 1


def test_values_out_of_range_are_refused(tmp_path: Path) -> None:
    for value in (-5, 70_000):
        Image.new("I", (8, 8), value).save(tmp_path / "a.tif")
        with pytest.raises(UnusableImage, match="range"):
            load_image(tmp_path / "a.tif", 8)


def test_16_bit_grey_as_pgm(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5 4 4 65535\n" + struct.pack(">16H", *[40_000] * 16))
    assert np.unique(load_image(tmp_path / "a.pgm", 4)).tolist() == [156]


# What a camera stores for each orientation of the upright picture RG/BW. By the EXIF standard row 0 and column 0 of the
# stored picture are its top and left (1), top and right (2), bottom, right (3), bottom, left (4), left, top (5),
# right, top (6), right, bottom (7), left, bottom (8).
STORED = {1: "RG/BW", 2: "GR/WB", 3: "WB/GR", 4: "BW/RG", 5: "RB/GW", 6: "GW/RB", 7: "WG/BR", 8: "BR/WG"}


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_orientation(tmp_path: Path, orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    mosaic(STORED[orientation], 32).save(tmp_path / f"a.{kind}", exif=exif, quality=95)
    upright = np.array(mosaic("RG/BW")).astype(int)
    assert np.abs(load_image(tmp_path / f"a.{kind}", 2) - upright).max() <= 40


@pytest.mark.parametrize(("stored", "centre"), [
    ("RRGBRR/RRWGRR", "GB/WG"),           # wide
    ("RR/GB/WG/RR", "GB/WG"),             # high
])
def test_centre_crop(tmp_path: Path, stored: str, centre: str) -> None:
    mosaic(stored).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", 2), np.array(mosaic(centre)))


def test_crop_comes_after_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    mosaic("RR/GB/WG/RR").rotate(-90, expand=True).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", 2), np.array(mosaic("GB/WG")))


def test_resize_averages_and_enlarges(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    for mode in ("L", "RGB", "1", "P", "I;16"):  # indices and bits must not be picked but averaged, as colours
        picture = Image.fromarray(stripes.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(stripes)
        (picture if mode == "I;16" else picture.convert(mode)).save(tmp_path / "stripes.png")
        inner = load_image(tmp_path / "stripes.png", 8)[:, 1:-1].astype(int)
        assert np.abs(inner - 127).max() <= 2, mode
    mosaic("RG/BW").save(tmp_path / "small.png")
    corners = load_image(tmp_path / "small.png", 16)[[0, 0, 15, 15], [0, 15, 0, 15]]
    assert corners.tolist() == [list(RED), list(GREEN), list(BLUE), list(WHITE)]
    Image.new("RGB", (1, 300), GREEN).save(tmp_path / "line.png")
    assert np.unique(load_image(tmp_path / "line.png", 3).reshape(-1, 3), axis=0).tolist() == [list(GREEN)]


def test_jpeg_decodes_reduced_but_never_below_the_crop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    opaque = data._opaque
    monkeypatch.setattr(data, "_opaque", lambda image: sizes.append(image.size) or opaque(image))
    for width, height in ((512, 256), (256, 512), (127, 256), (63, 63), (2000, 70)):
        Image.new("RGB", (width, height), GREEN).save(tmp_path / "a.jpg")
        assert np.abs(load_image(tmp_path / "a.jpg", 64).astype(int) - GREEN).max() <= 3
    assert sizes == [(128, 64), (64, 128), (127, 256), (63, 63), (2000, 70)]


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_files_say_why(tmp_path: Path, name: str) -> None:
    expected = unusable_files(tmp_path)[tmp_path / name]
    with pytest.raises(UnusableImage, match=expected):
        load_image(tmp_path / name, 8)


def test_unusable_paths_say_why(tmp_path: Path) -> None:
    with pytest.raises(UnusableImage, match=r"^cannot be read \(No such file or directory\)$"):
        load_image(tmp_path / "vanished.jpg", 8)
    with pytest.raises(UnusableImage, match=r"cannot be read \(Is a directory\)|empty"):
        load_image(tmp_path, 8)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UnusableImage, match="empty"):
        load_image(tmp_path / "pipe.jpg", 8)


def test_pillow_says_nothing_in_the_terminal(tmp_path: Path) -> None:
    """In a process of its own, since pytest has filters of its own: a warning for size, for a palette, a log record."""
    mosaic("RG/BW", 16).save(tmp_path / "large.png")
    palette(b"\xff\x33").save(tmp_path / "palette.png")
    code = ("import logging, warnings, PIL.Image as I; from scratch_ae import data; I.MAX_IMAGE_PIXELS = 600\n"
            f"[data.load_image('{tmp_path}/' + name, 8, c) for name in ('large.png', 'palette.png') for c in (1, 3)]\n"
            "logging.getLogger('PIL.TiffImagePlugin').error('odd tag')\n"
            "warnings.warn('the rest is shown')")
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(Path(data.__file__).parents[1])})
    assert done.stdout == ""
    assert done.stderr.splitlines()[:1] == ["<string>:4: UserWarning: the rest is shown"]
    assert "PIL" not in done.stderr
    assert "odd tag" not in done.stderr


# --------------------------------------------------------------------------------------------------------- batches

def test_each_file_once_an_epoch_and_the_last_batch_is_partial(tmp_path: Path) -> None:
    generator = ImageGenerator(grey_files(tmp_path, 10), 4, 4)
    for epoch in range(3):
        batches = list(generator.epoch(epoch))
        assert [batch.shape for batch in batches] == [(4, 4, 4, 3), (4, 4, 4, 3), (2, 4, 4, 3)]
        assert sorted(numbers(batches)) == list(range(10))
    assert len(generator) == 3
    assert len(ImageGenerator(generator.files, 4, 5)) == 2
    assert [len(batch) for batch in ImageGenerator(generator.files, 4, 5).epoch(0)] == [5, 5]
    assert [len(batch) for batch in ImageGenerator(generator.files, 4, 10).epoch(0)] == [10]


def test_order_comes_from_seed_and_epoch_alone(tmp_path: Path) -> None:
    files = grey_files(tmp_path, 12)

    def order(seed: int, epoch: int) -> list[int]:
        return numbers(list(ImageGenerator(files, 4, 5, seed, prefetch=1).epoch(epoch)))

    for seed, epoch in ((0, 0), (1, 2), (2, 1), (0, 3)):
        assert order(seed, epoch) == np.random.default_rng([seed, epoch]).permutation(12).tolist()
    one = ImageGenerator(files, 4, 5)
    first, second = numbers(list(one.epoch(0))), numbers(list(one.epoch(1)))
    assert first != second
    assert numbers(list(one.epoch(0))) == first


def test_augmented_images_are_mirrored_and_shifted_and_nothing_else(tmp_path: Path) -> None:
    """Each is one of the 2 * 9 * 9 that numpy.pad gives for a side of 64, and over an epoch many of these occur."""
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    files = []
    for k in range(60):
        files.append(tmp_path / f"{k}.png")
        Image.fromarray(picture).save(files[-1])
    padded = np.pad(picture, ((4, 4), (4, 4), (0, 0)), mode="edge")
    possible = {}
    for down in range(9):
        for across in range(9):
            moved = padded[down : down + 64, across : across + 64]
            possible[moved.tobytes()] = down, across, False
            possible[np.ascontiguousarray(moved[:, ::-1]).tobytes()] = down, across, True
    generator = ImageGenerator(files, 64, 7, seed=3, augment=True)
    found = [possible[np.rint(image * 255).astype(np.uint8).tobytes()] for b in generator.epoch(1) for image in b]
    assert len(found) == 60
    for k, size in enumerate((9, 9, 2)):
        assert len({f[k] for f in found}) == size
    again = [image for batch in generator.epoch(1, skip=3) for image in batch]
    assert [possible[np.rint(image * 255).astype(np.uint8).tobytes()] for image in again] == found[21:]
    plain = np.concatenate(list(ImageGenerator(files, 64, 7, seed=3).epoch(1)))
    assert (np.rint(plain * 255) == picture).all()


def test_values_span_0_to_1(tmp_path: Path) -> None:
    """0 is 0, 255 is 1, and the rest within a float32's rounding of v / 255."""
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    for channels in (1, 3):
        (batch,) = ImageGenerator([tmp_path / "ramp.png"], 16, 1, channels=channels).epoch(0)
        assert batch.dtype == np.float32
        assert batch.shape == (1, 16, 16, channels)
        assert batch.min() == 0
        assert batch.max() == 1
        np.testing.assert_allclose(batch[0, ..., 0].ravel(), np.arange(256) / 255, rtol=2e-7)


def test_folders_stand_for_their_files(tmp_path: Path) -> None:
    files = grey_files(tmp_path / "rose", 5)
    generator = ImageGenerator([str(tmp_path / "rose")], 4, 5)
    assert generator.files == image_files([tmp_path / "rose"])
    assert sorted(numbers(list(generator.epoch(0)))) == list(range(5))
    assert ImageGenerator([str(files[3]), files[1]], 4, 1).files == [files[3], files[1]]  # files stay as given


def test_unusable_files_are_reported_once_and_their_places_taken(tmp_path: Path) -> None:
    expected = unusable_files(tmp_path / "bad")
    good = grey_files(tmp_path / "good", 9)
    lines: list[str] = []
    generator = ImageGenerator([tmp_path / "good", tmp_path / "bad"], 4, 4, report=lines.append)
    assert len(generator.files) == 9 + len(UNUSABLE)
    for epoch in range(2):
        batches = list(generator.epoch(epoch))
        assert [len(batch) for batch in batches] == [4, 4, 1]
        assert sorted(numbers(batches)) == list(range(9))          # no black picture, no other
        assert generator.unusable.keys() == expected.keys()
        assert len(lines) == len(expected)
    for file, word in expected.items():
        assert word in generator.unusable[file]
        assert lines.count(f"skipped {file}: {generator.unusable[file]}") == 1
    images, files = generator.images(100)
    assert (len(images), set(files)) == (9, set(good))
    assert len(lines) == len(expected)


def test_listed_twice_is_reported_once_and_never_tried_again(tmp_path: Path) -> None:
    files = grey_files(tmp_path, 2)
    files[0].write_bytes(b"")
    lines: list[str] = []
    generator = ImageGenerator([files[0], files[0], files[1]], 4, 1, report=lines.append)
    assert numbers(list(generator.epoch(0))) == [1]
    assert lines == [f"skipped {files[0]}: empty"]
    grey_files(tmp_path, 2)  # repaired meanwhile: an epoch must not depend on when
    assert numbers(list(generator.epoch(1))) == [1]


def test_reported_with_the_batch_and_not_ahead_of_it(tmp_path: Path) -> None:
    """So that a log that counts skipped files is the same in every run."""
    files = grey_files(tmp_path, 8)
    order = np.random.default_rng([0, 0]).permutation(8)
    files[order[5]].write_bytes(b"")
    generator = ImageGenerator(files, 4, 2, report=lambda line: None)
    counts = []
    for _ in generator.epoch(0):
        time.sleep(0.02)
        counts.append(len(generator.unusable))
    assert counts == [0, 0, 1, 1]


def test_by_default_reports_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey_files(tmp_path, 2)[0].write_bytes(b"")
    list(ImageGenerator([tmp_path], 4, 1).epoch(0))
    assert capsys.readouterr() == ("", f"skipped {tmp_path / '0.png'}: empty\n")


def test_a_file_that_vanishes_between_epochs_is_skipped(tmp_path: Path) -> None:
    files = grey_files(tmp_path, 5)
    generator = ImageGenerator(files, 4, 2, report=lambda line: None)
    assert len(numbers(list(generator.epoch(0)))) == 5
    files[2].unlink()
    assert sorted(numbers(list(generator.epoch(1)))) == [0, 1, 3, 4]
    assert generator.unusable == {files[2]: "cannot be read (No such file or directory)"}


def test_a_file_that_vanishes_in_mid_epoch_is_skipped(tmp_path: Path) -> None:
    files, lines = grey_files(tmp_path, 12), list[str]()
    generator = ImageGenerator(files, 4, 2, prefetch=1, report=lines.append)
    order = [files[i] for i in np.random.default_rng([0, 0]).permutation(12)]
    batches = generator.epoch(0)
    first = next(batches)
    order[9].unlink()
    assert numbers([first, *batches]) == [files.index(file) for file in order if file != order[9]]
    assert lines == [f"skipped {order[9]}: cannot be read (No such file or directory)"]


def test_a_folder_that_vanishes_ends_it_and_costs_no_picture(tmp_path: Path) -> None:
    """As where a disk is unplugged: else its pictures would be left out for the rest of the training."""
    (tmp_path / "a").mkdir()
    generator = ImageGenerator(grey_files(tmp_path / "a", 12), 4, 2, prefetch=1)
    batches = generator.epoch(0)
    next(batches)
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(UserError, match=r"a has gone\. Bring it back"):
        list(batches)
    (tmp_path / "b").rename(tmp_path / "a")
    assert len(numbers(list(generator.epoch(0)))) == 12


def test_odd_but_whole_pictures_are_taken(tmp_path: Path) -> None:
    """One pixel, one line of them, more pixels than a screen has, several frames."""
    red, blue = (Image.new("RGB", (5, 5), colour) for colour in ("red", "blue"))
    for name, picture, options in (
        ("one.png", red.resize((1, 1)), {}), ("line.png", red.resize((20_000, 1)), {}),
        ("column.jpg", red.resize((1, 20_000)), {}), ("large.jpg", red.resize((9000, 7000)), {}),
        ("moves.gif", red.quantize(), {"save_all": True, "append_images": [blue.quantize()]}),
        ("moves.webp", red, {"save_all": True, "append_images": [blue], "lossless": True}),
        ("moves.png", red, {"save_all": True, "append_images": [blue]}),
    ):  # fmt: skip
        picture.save(tmp_path / name, **options)
        found = load_image(tmp_path / name, 8)
        assert np.abs(found.astype(int) - RED).max() <= 2, name


def test_damaged_files_are_reported_and_nothing_else_happens() -> None:
    """A few of them; `python -m tests.fuzz` makes five thousand."""
    assert fuzz.fuzz(400, seed=1) == 0


def test_nothing_usable(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(b"")
    lines: list[str] = []
    generator = ImageGenerator([tmp_path], 4, 2, report=lines.append)
    first = generator.files[np.random.default_rng([0, 0]).permutation(3)[0]]
    for _ in range(2):
        with pytest.raises(UserError, match=f"none of the 3 files can be used .*{first}: empty.*give other"):
            list(generator.epoch(0))
    assert len(lines) == 3


@pytest.mark.parametrize(("change", "message"), [
    ({"size": 0}, "size must be a whole number of 1 or more, not 0"),
    ({"batch_size": 0}, "batch size must be a whole number of 1 or more, not 0"),
    ({"batch_size": -3}, "batch size must be .* not -3"),
    ({"batch_size": 4}, "batch size 4 is more than the 3 images: use fewer or add some"),
    ({"seed": -1}, "seed must be a whole number of 0 or more, not -1"),
    ({"prefetch": 0}, "prefetch must be a whole number of 1 or more, not 0"),
    ({"channels": 2}, r"channels must be 3 \(RGB\) or 1 \(grey\), not 2"),
    ({"channels": 4}, "channels must be"),
    ({"files": []}, "more than the 0 images: .* add some"),
])
def test_mistakes(tmp_path: Path, change: dict, message: str) -> None:
    right = {"files": grey_files(tmp_path, 3), "size": 4, "batch_size": 3}
    ImageGenerator(**right)
    with pytest.raises(UserError, match=message):
        ImageGenerator(**{**right, **change})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no files in"):
        ImageGenerator([tmp_path / "empty"], 4, 1)


def test_images_are_the_first_in_order(tmp_path: Path) -> None:
    files = grey_files(tmp_path, 8)
    files[1].write_bytes(b"")
    lines: list[str] = []
    generator = ImageGenerator(files, 4, 3, channels=1, report=lines.append)
    images, chosen = generator.images(3)
    assert images.dtype == np.uint8
    assert images.shape == (3, 4, 4, 1)
    assert images[:, 0, 0, 0].tolist() == [10, 12, 13]
    assert chosen == [files[0], files[2], files[3]]
    assert generator.images(100)[1] == files[:1] + files[2:]
    assert generator.images(0)[0].shape == (0, 4, 4, 1)
    assert lines == [f"skipped {files[1]}: empty"]
    same, same_files = load_images(files, 4, 1, 3, lines.append)
    np.testing.assert_array_equal(same, images)
    assert same_files == chosen
    nothing, no_files = load_images([], 4, 3, 5, lines.append)
    assert (nothing.shape, nothing.dtype, no_files) == ((0, 4, 4, 3), np.uint8, [])
    assert load_images(files[1:2], 4, 3, 5, lines.append)[0].shape == (0, 4, 4, 3)


# ------------------------------------------------------------------------------------------------------ the thread

def test_reads_ahead_by_so_many_batches_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(data, "load_image", lambda file, size, channels: read.append(threading.current_thread().name)
                        or np.zeros((size, size, channels), np.uint8))
    batches = ImageGenerator(grey_files(tmp_path, 60), 4, 5, prefetch=3).epoch(0)
    assert prefetching() == 0  # not before it is asked for
    for taken in (5, 10):
        next(batches)
        deadline = time.monotonic() + 5
        while len(read) < taken + 15 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)
        assert taken + 15 <= len(read) <= taken + 16
    assert len(set(read)) == 1
    assert threading.main_thread().name not in read
    batches.close()
    assert len(read) <= 27


@pytest.mark.parametrize("taken", [1, 3])
def test_thread_ends_with_the_iterator(tmp_path: Path, taken: int) -> None:
    generator = ImageGenerator(grey_files(tmp_path, 40), 4, 2, prefetch=2)

    closed = generator.epoch(0)
    assert len(list(itertools.islice(closed, taken))) == taken
    assert prefetching() == 1
    closed.close()
    assert prefetching() == 0

    dropped = generator.epoch(0)
    next(dropped)
    del dropped
    assert prefetching() == 0

    for _ in generator.epoch(0):
        break
    assert prefetching() == 0

    def fails() -> None:
        for _ in generator.epoch(0):
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        fails()
    gc.collect()
    assert prefetching() == 0

    exhausted = generator.epoch(0)
    assert len(list(exhausted)) == 20
    assert prefetching() == 0

    generator.images(3)
    assert prefetching() == 0


def test_two_epochs_at_once(tmp_path: Path) -> None:
    generator = ImageGenerator(grey_files(tmp_path, 9), 4, 2)
    pairs = list(zip(generator.epoch(0), generator.epoch(1), strict=True))
    assert sorted(numbers([a for a, _ in pairs])) == sorted(numbers([b for _, b in pairs])) == list(range(9))


def test_an_error_in_the_thread_reaches_the_consumer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = grey_files(tmp_path, 6)
    calls = itertools.count()

    def fails_at_the_fifth(file: Path, size: int, channels: int) -> np.ndarray:
        if next(calls) == 4:
            raise RuntimeError("the disk is on fire")
        return np.zeros((size, size, channels), np.uint8)

    monkeypatch.setattr(data, "load_image", fails_at_the_fifth)
    batches = ImageGenerator(files, 4, 2).epoch(0)
    assert len(list(itertools.islice(batches, 2))) == 2
    with pytest.raises(RuntimeError, match="on fire"):
        next(batches)
    assert prefetching() == 0


def test_an_error_in_report_ends_the_thread(tmp_path: Path) -> None:
    def refuses(line: str) -> None:
        raise BrokenPipeError

    files = grey_files(tmp_path, 30)
    for file in files[::2]:
        file.write_bytes(b"")
    with pytest.raises(BrokenPipeError):
        list(ImageGenerator(files, 4, 2, prefetch=1, report=refuses).epoch(0))
    assert prefetching() == 0


def test_collected_inside_its_own_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector runs in any thread: a forgotten iterator must not make its thread wait for itself."""
    forgotten = threading.Event()
    problems: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", problems.append)

    def collects(file: Path, size: int, channels: int) -> np.ndarray:
        if calls and forgotten.wait(10):
            gc.collect()
        calls.append(file)
        return np.zeros((size, size, channels), np.uint8)

    calls: list[Path] = []
    monkeypatch.setattr(data, "load_image", collects)
    gc.disable()
    try:
        cycle: list[object] = [ImageGenerator(grey_files(tmp_path, 20), 4, 1).epoch(0)]
        cycle.append(cycle)
        next(cycle[0])
        del cycle
        forgotten.set()
        deadline = time.monotonic() + 10
        while prefetching() and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        gc.enable()
    assert len(calls) <= 3
    assert problems == []


def test_a_process_ends_with_an_iterator_open(tmp_path: Path) -> None:
    grey_files(tmp_path, 30)
    code = (f"from scratch_ae.data import ImageGenerator\nbatches = ImageGenerator(['{tmp_path}'], 4, 2).epoch(0)\n"
            "print(len(next(batches)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True,
                          env={**os.environ, "PYTHONPATH": str(Path(data.__file__).parents[1])})
    assert (done.stdout, done.stderr) == ("2\n", "")
