"""Feeds damaged pictures to the generator: python -m tests.fuzz [COUNT]

Valid pictures of many formats are damaged (bits flipped, cut short, spliced, given another's header, zeros or noise
written over, sizes claimed that they do not have), and a process streams them all. It must come to the end, without a
crash, a hang or a picture that is black, since no valid one is dark; and each file is either in a batch or reported.
"""

import io
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from scratch_ae.data import ImageGenerator

WAYS = "flipped", "cut", "spliced", "header", "zeros", "noise", "claims"
SIZE, BATCH, PATIENCE = 32, 25, 60  # PATIENCE: seconds that a batch may take


def valid() -> dict[str, bytes]:
    """A small picture of every kind, none of whose pixels is dark."""
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(100, 256, (6, 7, 3)), np.ones((12, 12, 1))).astype(np.uint8)
    image = Image.fromarray(smooth)
    kinds: dict[str, tuple[Image.Image, dict]] = {
        "a.jpg": (image, {}), "progressive.jpg": (image, {"progressive": True}),
        "cmyk.jpg": (image.convert("CMYK"), {}), "grey.jpg": (image.convert("L"), {}),
        "a.png": (image, {}), "palette.png": (image.quantize(16), {}),
        "alpha.png": (image.convert("RGBA"), {}), "a.gif": (image.quantize(16), {}), "a.webp": (image, {}),
        "lossless.webp": (image, {"lossless": True}), "a.bmp": (image, {}), "a.tif": (image, {}),
        "lzw.tif": (image, {"compression": "tiff_lzw"}), "a.ppm": (image, {}), "a.tga": (image, {}),
        "animated.gif": (image.quantize(16), {"save_all": True, "append_images": [image.quantize(8)]}),
        "deep.png": (Image.fromarray(smooth[..., 0].astype(np.uint16) * 257), {}),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds["turned.jpg"] = (image, {"exif": exif})
    found = {}
    for name, (picture, options) in kinds.items():
        stream = io.BytesIO()
        picture.save(stream, Image.registered_extensions()[Path(name).suffix], **options)
        found[name] = stream.getvalue()
    return found


def damaged(draw: random.Random, pictures: list[bytes]) -> tuple[str, bytes]:
    """One of the pictures, in one of the ways, and which way."""
    content, other = bytearray(draw.choice(pictures)), draw.choice(pictures)
    way, at = draw.choice(WAYS), draw.randrange(len(content))
    if way == "flipped":
        for _ in range(draw.choice([1, 2, 5, 20])):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    elif way == "cut":
        del content[at:]
    elif way == "spliced":
        content[at:] = other[draw.randrange(len(other)) :]
    elif way == "header":
        length = draw.choice([4, 16, 64, 300])
        content[:length] = other[:length]
    elif way == "zeros":
        content[at : at + 50] = bytes(50)
    elif way == "noise":
        content[at : at + 50] = draw.randbytes(50)
    else:  # a large number where a width or a height may be
        at = draw.randrange(min(len(content), 200))
        content[at : at + 2] = draw.choice([b"\xff\xff", b"\x4e\x20", b"\x7f\xff", b"\0\1", b"\0\0"])
    return way, bytes(content)


def stream(folder: Path) -> Iterator[str]:
    """Lines that tell of each batch, of each file that was reported, and of pictures that are black."""
    files, told = sorted(folder.iterdir()), list[str]()
    for batch in ImageGenerator(files, SIZE, BATCH, report=told.append).epoch(0):
        black = int((batch.reshape(len(batch), -1).max(1) == 0).sum())
        yield f"batch {len(batch)} {black}"
    yield f"reported {len(told)}"


def fuzz(count: int, seed: int = 0) -> int:
    """Damage so many pictures, stream them in a process of its own, say what came of it; 0 when all is as it should."""
    draw, pictures, ways = random.Random(seed), list(valid().values()), Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        for k in range(count):
            way, content = damaged(draw, pictures)
            ways[way] += 1
            (Path(place) / f"{k:05}").write_bytes(content)
        call = [sys.executable, "-c", "import sys; from tests import fuzz; fuzz.child(sys.argv[1])", place]
        quiet = subprocess.DEVNULL  # libtiff complains there
        with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=quiet, text=True) as process:
            used = black = reported = 0
            assert process.stdout
            for line in process.stdout:
                what, number, *rest = line.split()
                if what == "batch":
                    used, black = used + int(number), black + int(rest[0])
                else:
                    reported = int(number)
    print(f"{count} files ({', '.join(f'{n} {way}' for way, n in sorted(ways.items()))}):")
    print(f"{used} gave a picture, {black} of them black; {reported} were reported; exit code {process.returncode}")
    return int(process.returncode != 0 or black > 0 or used + reported != count)


def child(place: str) -> None:
    """Stream, and end with an error when a batch takes too long."""
    import faulthandler

    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    for line in stream(Path(place)):
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(fuzz(int(sys.argv[1]) if len(sys.argv) > 1 else 5000))
