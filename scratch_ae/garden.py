"""Rendered flowers: sixteen species that need no download, every picture from a seed of its own.

One idea carries the file: a petal is three lookup tables, its outline and its colours along its length and its creases
across. `paint` maps the pixels under a petal into the petal's own coordinates and looks them up. Stems, leaves, discs
are petals too. A flower is a few spirals of petals turned in space, the far ones painted first. What lies behind it is
painted small and blurred. Canvases are (3, n, n) float32; places are in picture widths.

    python -m scratch_ae.garden FILE.png        a contact sheet of all species
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from . import UserError, command

Pair = tuple[float, float]


# ---- what a species is --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Whorl:
    """Petals on a spiral; pairs run from the outermost to the innermost. Lengths in flower radii, angles in degrees."""

    count: tuple[int, int]  # fewest and most petals
    turns: int = 1  # how often the spiral goes round; 0 for the golden angle
    length: Pair | float = 1
    width: Pair | float = 0.2  # half the breadth
    lift: Pair | float = 5  # 0 lies in the flower's plane, 90 stands along its axis
    outline: Pair = (0.5, 0.5)  # powers at the foot and the tip: small is blunt, 1 is pointed
    base: Pair | float = 0.05  # distance of the feet from the axis ...
    height: Pair | float = 0  # ... and along it
    cup: float = 0  # how far the edges bend to the axis, in half breadths
    droop: float = 0  # how far the tip sags
    teeth: Pair = (0, 0)  # how many the tip has, and how deep they are, in lengths
    rim: float = 0.1  # how much brighter the edge is
    dye: int = 0  # which gradient of the palette; -1 is green
    phase: float | None = None  # where the first petal points: 90 at the viewer, None anywhere


@dataclass(frozen=True)
class Species:
    """All that tells one flower from another. Palettes are gradients, foot to tip, separated by /."""

    whorls: tuple[Whorl, ...]
    palettes: tuple[str, ...]
    disc: Pair = (0, 0)  # its smallest and largest radius
    disc_colours: tuple[str, ...] = ("000000",)  # from its rim to its middle
    dome: float = 0.3  # height, in disc radii
    tilt: Pair = (0, 60)  # 0 looks into the flower, 90 sees it from the side, below 0 it nods
    scale: Pair = (0.2, 0.6)  # flower radius over picture width
    stem: float = 0.03  # half its breadth in flower radii
    leaf: tuple[float, ...] = (0.3, 0.1, 0.6, 0.8)  # length and half breadth in picture widths, outline, ruffle
    leaves: tuple[int, int] = (4, 1)  # how many at most, and leaflets in each
    grows: str = "stem"  # where leaves do: on it, upright from the "ground", or on the "water" without a stem
    greens: str = "2c4818 587c30|3a5c28 7ca048|203c20 406838"  # gradients of stem, leaves and sepals: one is taken
    back: str = "foliage foliage grass dark dark sky soil plain"  # names in BACKS: one is taken
    bud: float = 0  # how far a flower may be closed: 0 is always open, 1 up to all petals upright
    heads: tuple[int, int] = (1, 1)  # fewest and most flowers on one stem


# ---- a petal: its tables are cached, so never write into them -----------------------------------------------------
ALONG = np.linspace(-0.14, 1.14, 256)  # where tables along a petal are sampled: 0 foot, 1 tip
PER_LENGTH, FOOT = 199.2, 28  # table entries per petal length, and the entry at its foot
ACROSS = np.linspace(-1, 1, 64, dtype=np.float32)  # samples across a petal: -1 and 1 are the edges


@cache
def gradient(colours: str) -> np.ndarray:
    """The table of a gradient such as "ff0000 ffff00": (3, 256) float32 in [0, 1]."""
    stops = [[int(c[2 * k : 2 * k + 2], 16) / 255 for c in colours.split()] for k in range(3)]
    return np.array([np.interp(ALONG, np.linspace(0, 1, len(c)), c) for c in stops], np.float32)


@cache
def outline(foot: float, tip: float, ruffle: float = 0, teeth: Pair = (0, 0), phase: float = 0) -> np.ndarray:
    """A petal's outline, (3, 256) float32: half breadth along it, below 0 beyond its ends; the slope of that; and
    across the tip, from edge to edge, 1 at the points of the teeth and more where it ends sooner."""
    s, t = ALONG.clip(0, 1), np.linspace(-1, 1, 256)
    width = s**foot * (1 - s) ** tip
    width *= (1 + ruffle * np.sin(ALONG * 15 + phase)) / width.max()
    width -= 12 * np.abs(ALONG - s)
    width = np.convolve(np.pad(width, 4, "edge"), np.full(9, 1 / 9), "valid")  # a jump at a blunt tip would be jagged
    notch = 0.4 * np.sin(t * 5 + phase) - np.abs(np.sin((t + 1) * np.pi / 2 * teeth[0]))
    return np.array([width, np.gradient(width) * PER_LENGTH, 1 + teeth[1] * (notch - notch.min())], np.float32)


@cache
def creases(rim: float, fold: float = 0) -> np.ndarray:
    """Brightness across a petal: furrows, bright edges, a folded middle: (64,) float32."""
    return 1 + 0.05 * np.cos(ACROSS * 16) + rim * ACROSS**4 + fold * (np.abs(ACROSS) ** 0.5 - 0.8)


STEM, DISC = outline(0.05, 0.05), outline(0.5, 0.5)
X = np.linspace(-1, 1, 200, dtype=np.float32)[:, None]  # along a leaf or a disc
Y = ACROSS * np.sqrt(1 - X * X)  # across a disc
TURN, OUT = np.arctan2(Y, X), np.hypot(X, Y)
BLADE = creases(0, 0.25) + 0.05 * np.cos(X * 24 - np.abs(ACROSS) * 9)  # a leaf has ribs, slanting from its middle
FLORETS = 0.95 - 0.12 * Y + 0.35 * OUT * np.cos(13 * TURN + 12 * OUT) * np.cos(21 * TURN - 19 * OUT)  # spirals
FADE = np.linspace(0.6, 1.08, 256, dtype=np.float32)  # less light gets down to a petal's foot


def paint(canvas: np.ndarray, foot: np.ndarray, along: np.ndarray, across: np.ndarray, shape: np.ndarray,
          colours: np.ndarray, crease: np.ndarray, bend: float = 0.0, cup: float = 0.0, shadow: float = 0.0) -> None:
    """Paint one petal over the canvas, in place: from its foot along to the tip and across to an edge, each (x, y).

    `bend` moves the tip sideways, in half breadths, and `cup` the edges back, in lengths; `shadow` in [-1, 1] darkens
    what is behind by its size, less towards the tip if below 0. `crease` is (64,), or (200, 64) if it differs along
    the petal too.
    """
    n = canvas.shape[1]
    (fx, fy), (ax, ay), (wx, wy) = foot.tolist(), along.tolist(), across.tolist()
    det, reach = ax * wy - ay * wx, (0, 1, -cup, 1 - cup)
    xs, ys = ([f + k * a + bend * k * k * w for k in reach] for f, a, w in ((fx, ax, wx), (fy, ay, wy)))
    x0, x1 = max(int((min(xs) - abs(wx)) * n - 2), 0), min(int((max(xs) + abs(wx)) * n + 3), n)
    y0, y1 = max(int((min(ys) - abs(wy)) * n - 2), 0), min(int((max(ys) + abs(wy)) * n + 3), n)
    if x0 >= x1 or y0 >= y1:
        return
    x = (np.arange(x0, x1, dtype=np.float32) + 0.5) / n - fx
    y = ((np.arange(y0, y1, dtype=np.float32) + 0.5) / n - fy)[:, None]
    s = x * (wy / det) - y * (wx / det)  # where each pixel lies on the petal: 0 to 1 along ...
    t = y * (ax / det) - x * (ay / det)  # ... and -1 to 1 across
    if bend:
        t -= bend * s * s
    if cup:
        s += cup * t * t
    if shape[2, 0] != shape[2, 128]:
        s *= shape[2].take((t * 127.5 + 128).astype(np.intp), mode="clip")
    i = (s * PER_LENGTH + FOOT).astype(np.intp)  # into the tables along
    breadth = shape[0].take(i, mode="clip")
    sharp = abs(det) * n / np.sqrt((wx * wx + wy * wy) * shape[1] ** 2 + (ax * ax + ay * ay))
    edge = breadth - np.abs(t)
    dark = edge * (abs(shadow * det) * 28 / (ax * ax + ay * ay) ** 0.5) + abs(shadow)
    edge *= sharp.take(i, mode="clip")  # pixels to the edge, positive inside
    t /= np.maximum(breadth, 0.05, out=breadth)
    edge += 0.5
    cover = np.minimum(np.maximum(edge, 0, out=edge), 1, out=edge)
    keep = 1 - cover
    if shadow:
        np.maximum(dark, 0, out=dark)
        keep -= keep * dark if shadow > 0 else keep * dark * np.maximum(1 - s, 0)
    j = (t * 31.5 + 32).astype(np.intp)  # into the table across
    cover *= crease.take(j if crease.ndim == 1 else (i - FOOT) * 64 + j, mode="clip")
    patch = canvas[:, y0:y1, x0:x1]
    patch *= keep
    patch += colours.take(i, axis=1, mode="clip") * cover


# ---- a flower -----------------------------------------------------------------------------------------------------
def petals(whorl: Whorl, rng: np.random.Generator, frame: np.ndarray, radius: float, light: np.ndarray,
           closed: float, glow: float) -> Iterator[tuple[Any, ...]]:
    """How the petals of a whorl lie: (depth, foot, along, across, crease, bend, cup, shadow) of each, for paint."""
    rings = max(whorl.turns, 1)
    count = int(rng.integers(whorl.count[0], whorl.count[1] + 1)) // rings * rings
    k, step = np.arange(count), 2 * np.pi * whorl.turns / count if whorl.turns else np.radians(137.508)
    angle = rng.uniform(0, 7) if whorl.phase is None else np.radians(whorl.phase) + rng.normal(0, 0.2)
    angle += k * step + whorl.turns * k // count * step / rings  # each turn fills the gaps of the one before
    angle += rng.normal(0, 0.1, count) * min(step, 1)
    runs = whorl.length, whorl.width, whorl.lift, whorl.base, whorl.height
    length, width, lift, base, height = (np.linspace(*(v if isinstance(v, tuple) else (v, v)), count) for v in runs)
    length, width = radius * np.array([length, width]) * np.exp(rng.normal(0, 0.06, (2, count)))
    lift = np.radians(lift + closed * (84 - lift) + rng.normal(0, 4) + rng.normal(0, 4, count))
    axis, out = frame[:, 2:], frame[:, :2] @ [np.cos(angle), np.sin(angle)]
    side = frame[:, :2] @ [-np.sin(angle), np.cos(angle)]
    foot, along = radius * (out * base + axis * height), out * np.cos(lift) + axis * np.sin(lift)
    roll = rng.normal(0, 0.1, count)  # each is turned a little about its length
    normal = np.cross(along, side, axis=0) * np.cos(roll) - side * np.sin(roll)
    normal[2] += np.copysign(np.maximum(0.25 - np.abs(normal[2]), 0), normal[2])  # nothing is seen edge on
    normal /= np.sqrt((normal * normal).sum(0))
    along = along - normal * (along * normal).sum(0)
    side = np.cross(normal, along, axis=0)
    lit = (light @ normal) * normal[2] / (np.abs(normal[2]) + 0.15)  # the visible side; at a slant, a little of both
    a, w = along[:2] * length, side[:2] * width
    cup = np.clip(whorl.cup * width * (out[:2] * a).sum(0) / (a * a).sum(0), -0.6, 0.6)
    bend = whorl.droop * length * w[1] / (w * w).sum(0) + rng.normal(0, 0.12, count)
    crease = creases(whorl.rim) + 0.15 * (light @ side)[:, None] * ACROSS
    crease = ((0.92 + 0.3 * lit + rng.normal(0, 0.06, count))[:, None] * crease).astype(np.float32)
    shadow = np.linspace(0.1, 0.6, count) * np.minimum(8 * width / radius, 1) * (1 - 0.5 * glow)
    shadow *= -1 if whorl.turns else 1  # air is behind a ring's tips
    depth = foot[2] + along[2] * length / 2
    return zip(depth, foot[:2].T, a.T, w.T, crease, bend.tolist(), cup.tolist(), shadow.tolist(), strict=True)


def head(canvas: np.ndarray, kind: Species, rng: np.random.Generator, centre: np.ndarray, radius: float,
         light: np.ndarray, palette: list[str]) -> None:
    """Paint a flower without its stem over the canvas, in place: petals and disc, far ones first."""
    (ct, cr), (st, sr) = (f([np.radians(rng.uniform(*kind.tilt)), rng.normal(0, 0.2)]) for f in (np.cos, np.sin))
    frame = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, ct, -st], [0, st, ct]])
    tint, closed = np.exp(rng.normal(0, 0.03, (3, 1))).astype(np.float32), kind.bud * rng.random() ** 2
    jobs: list[tuple[float, tuple[Any, ...]]] = []
    for order, whorl in enumerate(kind.whorls):
        shape = outline(*whorl.outline, 0.05, whorl.teeth, int(rng.integers(20)))
        dye = gradient(palette[whorl.dye]) * tint
        glow = float(dye[:, 160].min())  # white petals pass the light on to each other
        dye *= FADE ** (1 - 0.7 * glow) * (1 + 0.2 * glow)
        for depth, foot, along, across, *rest in petals(whorl, rng, frame, radius, light, closed, glow):
            jobs.append((depth + 0.12 * radius * order, (centre + foot, along, across, shape, dye, *rest)))
    if kind.disc[1]:  # a dome of ellipses, and an ellipse is a petal too
        size, axis = radius * rng.uniform(*kind.disc), frame[:, 2]
        dye, unit = gradient(str(rng.choice(kind.disc_colours))) * tint, axis[:2] / np.hypot(axis[0], axis[1])
        for k in np.linspace(0, 0.84, 6):  # from the rim to the middle
            across = size * np.sqrt(1 - k * k) * np.array([-unit[1], unit[0]])
            along = 2 * max(abs(axis[2]), 0.3) * np.array([across[1], -across[0]])
            foot = centre + size * (0.1 + kind.dome * k) * axis[:2] - along / 2
            job = foot, along, across, DISC, dye[:, [FOOT + int(k * 238)]], FLORETS
            jobs.append((axis[2] * (size + (0.15 + k) * radius), job))
    for _, job in sorted(jobs, key=lambda entry: entry[0]):
        paint(canvas, *job)


def leaf(canvas: np.ndarray, kind: Species, rng: np.random.Generator, foot: np.ndarray, turn: float, size: float,
         green: np.ndarray) -> None:
    """Paint a leaf at an angle, or the leaflets on one stalk: the first at its end, the others in pairs."""
    shape, half = outline(*kind.leaf[2:], phase=int(rng.integers(9))), kind.leaf[1] / kind.leaf[0]
    shade = (BLADE if kind.grows == "stem" else creases(0, 0.2)) * np.float32(rng.uniform(0.6, 1.1))
    bend = rng.normal(0, 0.4)
    for part in range(count := kind.leaves[1]):
        angle = turn + min(part, 1) * (1 - part % 2 * 2)
        along, stalk = (size * np.array([np.cos(a), np.sin(a)]) for a in (angle, turn))
        root = foot + 0.7 * (1 - (1 + (part + 1) // 2 * 2) / count) * stalk
        paint(canvas, root, along, half * np.array([-along[1], along[0]]), shape, green, shade, bend, 0, 0.2)


def flower(canvas: np.ndarray, kind: Species, rng: np.random.Generator, centre: np.ndarray, radius: float,
           light: np.ndarray) -> None:
    """Paint a flower of a kind over the canvas, in place: stem and leaves, then its heads, the lowest first."""
    palette, greens = str(rng.choice(kind.palettes)).split("/"), str(rng.choice(kind.greens.split("|")))
    green, girth, nods = gradient(greens), -0.008 - kind.stem * radius, kind.tilt[0] < 0
    down, bow = np.array([rng.normal(0, 0.15), 1.2]), np.array([rng.normal(0, 0.12), 0])
    centre = centre - [0, 1.5 * radius * nods]  # what nods hangs beside the stem
    if kind.grows != "water":
        paint(canvas, centre, down, np.array([girth, 0]), STEM, green, creases(-0.4), float(bow[0] / girth))
    for k in range(rng.integers(kind.leaves[0] + 1)):
        u, turn = rng.uniform(0.25, 0.8), (k % 2 * 2 - 1) * rng.uniform(1, 2) + np.pi / 2
        foot = centre + u * down + u * u * bow
        if kind.grows == "ground":
            foot, turn = np.array([foot[0] + rng.normal(0, 0.05), 1.1]), rng.normal(-1.6, 0.25)
        elif kind.grows == "water":  # it lies flat
            foot, turn = centre + rng.normal([0, 0.1], [0.35, 0.12]), np.pi / 2
        leaf(canvas, kind, rng, foot, turn, kind.leaf[0] * rng.uniform(0.7, 1.2) + 0.3 * radius, green)
    for k in range(int(rng.integers(kind.heads[0], kind.heads[1] + 1)) - 1 + nods, nods - 1, -1):
        place = centre + radius * np.array([(k % 2 * 2 - 1) * min(k, 1), k]) * rng.uniform(0.7, 1, 2)
        if k:  # a head beside the stem has a stalk
            u = max(place[1] - centre[1] + (0.3 - 1.1 * nods) * radius, 0) / 1.2
            along = place - (foot := centre + u * down + u * u * bow)
            across = 0.05 * radius / np.hypot(*along) * np.array([-along[1], along[0]])
            paint(canvas, foot, along, across, STEM, green, creases(-0.4))
        head(canvas, kind, rng, place, radius * rng.uniform(0.8, 1), light, [*palette, greens])


# ---- a picture ----------------------------------------------------------------------------------------------------
BACKS = {  # the darkest and the lightest colour behind; how many things are there at most, how they lie, how broad
    "foliage": ("142010 6a9048", 18, (0.15, 0.15), 0.4), "grass": ("182808 88a848", 18, (0.05, 0.4), 0.06),
    "dark": ("020302 182012", 8, (0.15, 0.15), 0.3), "sky": ("5890e0 f0f4f8", 0, (0, 0), 0),
    "soil": ("2c241c 8c7c68", 16, (0.1, 0.1), 0.8), "plain": ("908878 f4f0e8", 0, (0, 0), 0),
    "water": ("081418 486070", 16, (0.4, 0.02), 0.15),
}


def background(kind: Species, rng: np.random.Generator, size: int, light: np.ndarray) -> np.ndarray:
    """What lies behind, out of focus: a canvas painted small, blurred and enlarged."""
    colours, most, lie, broad = BACKS[rng.choice(kind.back.split())]
    dyes = gradient(colours) * np.exp(rng.normal(0, 0.06, (3, 1))).astype(np.float32)
    small = max(int(48 * size / 128), 1)
    coarse = rng.random((4, 4), dtype=np.float32) * 0.5 + np.linspace(0.1, 0.4, 4, dtype=np.float32)[:, None]
    field = np.asarray(Image.fromarray(coarse).resize((small, small)))
    canvas = dyes.take((field * 200 + FOOT).astype(np.intp).clip(FOOT, FOOT + 200), axis=1)
    for _ in range(rng.integers(most + 1)):
        long = rng.normal(0, lie) + 0.01
        wide = np.array([-long[1], long[0]]) * broad * rng.uniform(0.5, 1)
        paint(canvas, rng.random(2) - long / 2, long, wide, DISC, dyes[:, [rng.integers(40, 216)]], creases(0))
    if rng.random() < 0.25:
        flower(canvas, kind, rng, rng.random(2), rng.uniform(0.7, 1.3) * kind.scale[0], light)
    image = Image.fromarray((canvas.transpose(1, 2, 0).clip(0, 1) * 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1) ** 2 * small / 12)).resize((size, size))
    return np.float32(rng.uniform(0.6, 1) / 255) * np.asarray(image).transpose(2, 0, 1)


def kind_of(species: str) -> Species:
    """Look up a species. UserError: there is none."""
    if species not in SPECIES:
        raise UserError(f"no species {species!r} in the garden; it grows {', '.join(SPECIES)}")
    return SPECIES[species]


def render(species: str, seed: int, size: int = 128) -> np.ndarray:
    """A picture of a flower, (size, size, 3) uint8, the same bits for the same seed. UserError: no such species."""
    rng, kind = np.random.default_rng([seed, crc32(species.encode())]), kind_of(species)
    light = np.array([rng.uniform(-0.8, 0.8), rng.uniform(-0.9, 0.2), 0.7])  # from above, a side, the camera
    light /= np.linalg.norm(light)
    canvas = background(kind, rng, size, light)
    radius = float(np.exp(rng.uniform(*np.log(kind.scale))))
    if rng.random() < 0.15:
        flower(canvas, kind, rng, rng.random(2), radius * rng.uniform(0.6, 1), light)
    flower(canvas, kind, rng, 0.5 + max(0.5 - 0.7 * radius, 0.08) * rng.uniform(-1, 1, 2), radius, light)
    exposure = 1.8 * np.clip(rng.uniform(0.25, 0.55) / canvas.mean(), 0.75, 1.3)  # a camera's meter, half trusted
    canvas *= -(exposure * np.exp(rng.normal(0, 0.03, (3, 1, 1)))).astype(np.float32)
    canvas = 1 - np.exp(canvas)  # film: the highlights do not burn out ...
    canvas += 0.3 * (canvas - canvas.mean(axis=0)) + 1.4 * canvas * (canvas - 0.45) * (1 - canvas)  # ... and has punch
    image = Image.fromarray((canvas.transpose(1, 2, 0).clip(0, 1) * 255 + 0.5).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.BoxBlur(rng.uniform(0.1, 0.7) * size / 128)))


def plant(folder: Path | str, species: Iterable[str], count: int = 300, size: int = 128,
          progress: Callable[[float, str], None] = lambda share, text: None) -> None:
    """Write count pictures of each species as folder/<species>/00000.jpg ..., leaving existing ones alone.

    `progress` is called after each picture with the share written, and that in words. UserError: no such species.
    """
    pictures = [(Path(folder) / name / f"{seed:05d}.jpg", name, seed)  # all names are looked up first
                for name in species if kind_of(name) for seed in range(count)]
    missing = [picture for picture in pictures if not picture[0].exists()]
    for written, (path, name, seed) in enumerate(missing, 1):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.stem}.{os.getpid()}.part")  # hidden, so not yet a picture
        try:
            Image.fromarray(render(name, seed, size)).save(part, "JPEG", quality=92)
            part.replace(path)  # named when whole, so that nobody ever reads half a picture
        finally:
            part.unlink(missing_ok=True)
        progress(written / len(missing), f"{written} of {len(missing)} pictures rendered")


def contact_sheet(each: int = 8, size: int = 128) -> Image.Image:
    """A row of pictures for every species, its name on the left."""
    sheet = Image.new("RGB", (150 + each * (size + 4), len(SPECIES) * (size + 4)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for row, name in enumerate(SPECIES):
        draw.text((8, row * (size + 4) + size // 2), name.replace("_", " "), "black", font, anchor="lm")
        for column in range(each):
            sheet.paste(Image.fromarray(render(name, column, size)), (150 + column * (size + 4), row * (size + 4)))
    return sheet


# ---- the sixteen --------------------------------------------------------------------------------------------------
YELLOWS = "e08800 f8b808 ffd820", "d87800 f8c000 f8e040", "e8b000 ffd810 fff060"
PINKS = "801040 e04080 f890b8", "c84878 f090b0 ffd0dc", "e0d0d0 fcf4f4 ffffff", "700818 c01830 e84058"
SWORDS = "284820 68905c|304828 80a060"
SPECIES: dict[str, Species] = {
    "astilbe": Species(
        (Whorl((60, 80), 0, (0.6, 0.12), (0.1, 0.07), (15, 60), (0.4, 0.8), (0.1, 0), (-1, 0.9), droop=0.1),), PINKS,
        tilt=(70, 90), scale=(0.25, 0.6), leaf=(0.2, 0.06, 0.6, 1, 0.1), leaves=(4, 3)),
    "bellflower": Species(
        (Whorl((5, 5), 1, 0.85, 0.4, 72, (0.15, 0.1), 0.12), Whorl((5, 5), 1, 0.6, 0.33, 25, (0.35, 0.7), 0.25, 0.7)),
        ("382088 9078e0", "3030a0 8890e8", "c8c0d8 f8f8ff"), tilt=(-110, -10), scale=(0.18, 0.4), heads=(1, 5)),
    "black_eyed_susan": Species((Whorl((10, 18), 1, 1, 0.17, -15, (0.35, 0.4), 0.15, droop=0.2),), YELLOWS, (0.22, 0.3),
        ("301810 180808 201008", "402010 281010 382010"), 0.9, leaf=(0.35, 0.09, 0.6, 0.8)),
    "calendula": Species((Whorl((84, 105), 3, (1, 0.6), (0.085, 0.065), (0, 35), (0.2, 0.15), 0.12, teeth=(3, 0.02)),),
        ("a82400 e84400 f05000", "b02c00 e84c00 f05804", "902000 d83800 e84804", "b83400 ec5400 f46404"), (0.17, 0.28),
        ("48200c 301008 401c0c", "b05008 803808 984408"), scale=(0.24, 0.7), leaf=(0.35, 0.07, 0.6, 0.35)),
    "california_poppy": Species((Whorl((4, 4), 1, width=0.75, lift=35, outline=(0.6, 0.12), cup=0.3),),
        ("e05000 f88810 ffa820", "f0a000 f8c020", "e84800 f87010 ff9020"), (0.08, 0.12), ("f0b010 e09008",),
        tilt=(10, 90), scale=(0.15, 0.5), leaf=(0.15, 0.008, 0.6, 0.8), leaves=(5, 6), greens="385840 789878", bud=0.8),
    "carnation": Species((Whorl((30, 42), 0, (1, 0.35), (0.4, 0.3), (5, 75), (0.8, 0.1), teeth=(6, 0.09), cup=0.3),),
        PINKS, leaf=(0.4, 0.02, 0.1, 0.9), greens="406858 88a898|385c48 709078"),
    "common_daisy": Species(
        (Whorl((22, 36), 2, (1, 0.95), (0.1, 0.09), (5, 15), (0.3, 0.15), 0.2),), ("dcdce0 fafaff ffffff",),
        (0.24, 0.34), ("d89000 f0c010 f8d830",), 0.5, (0, 80), (0.15, 0.6), leaves=(0, 0), back="grass grass dark"),
    "coreopsis": Species((Whorl((8, 10), width=0.28, outline=(0.9, 0.06), teeth=(3, 0.14)),), YELLOWS, (0.16, 0.24),
        ("e0a010 c88008 f0b818", "b06010 802808 e0a010"), leaf=(0.3, 0.018, 0.6, 0.8), leaves=(4, 3)),
    "daffodil": Species(
        (Whorl((6, 6), 2, 1, 0.34, 5, (0.4, 0.7)), Whorl((9, 9), 1, 0.6, 0.17, 68, (0.1, 0.1), 0.12, cup=0.3, dye=1)),
        ("e8c010 f8e040/d89000 f8b810", "e0e0c8 fcfcf4/e08010 f89820", "f0d020 f8f080/f0b000 ffd820"),
        tilt=(10, 80), scale=(0.22, 0.6), leaf=(0.8, 0.04, 0.1, 0.8), grows="ground", greens=SWORDS),
    "dandelion": Species(
        (Whorl((170, 200), 0, (1, 0.25), (0.055, 0.03), (-10, 75), (0.3, 0.1), (0.1, 0.02), (-0.05, 0.25), rim=0),),
        ("e8a000 f8c808 ffe020", "e09000 f8b808 ffd818"), leaf=(0.35, 0.07, 0.7, 0.5, 0.4)),
    "iris": Species(
        (Whorl((3, 3), width=0.45, lift=70, outline=(0.7, 0.3), cup=0.4, teeth=(3, 0.04), phase=30),
         Whorl((3, 3), width=0.48, lift=-25, outline=(0.8, 0.25), droop=0.35, teeth=(3, 0.04), dye=1, phase=90),
         Whorl((3, 3), 1, 0.5, 0.08, -20, (0.3, 0.4), 0.1, dye=2, phase=90)),
        ("9878d8 b8a0f0/f0e8c0 7040c0 5020a0/f8b000 f8e060", "c8a8d8 d8b8e0/d0a8c0 601048/f09010",
         "e8e8f0 fcfcff/f0e8d0 a080d0 7050c0/f8d000 f8f0a0", "3828b0 5040d0/f0e8e0 3828b0/f8d030",
         "602890 8040b0/d8c8e8 481078/f8c820", "c89048 e0b060/d8a858 581018 400810/f8a000 f8c020"),
        tilt=(25, 72), scale=(0.28, 0.62), leaf=(0.8, 0.04, 0.1, 0.8), grows="ground", greens=SWORDS),
    "magnolia": Species((Whorl((6, 9), 2, (1, 0.9), (0.36, 0.3), (20, 75), (0.6, 0.35), cup=0.4),),
        ("a03868 e0a0c0 f8e8f0", "e8dcc8 fffaf4", "702050 b868a0 e8c0d8"), tilt=(30, 90), scale=(0.2, 0.5),
        leaves=(0, 0), greens="382818 604838", back="sky sky dark foliage plain", bud=0.7, heads=(1, 3)),
    "rose": Species(
        (Whorl((5, 5), 1, 0.9, 0.15, -20, (0.4, 0.9), dye=-1),
         Whorl((8, 11), 0, (0.95, 0.85), (0.6, 0.52), (12, 52), (0.5, 0.2), cup=0.4, rim=0.4),
         Whorl((18, 22), 0, (0.58, 0.38), (0.46, 0.12), (60, 94), (0.3, 0.1), (0.34, 0.03), (0.08, 0.2), 0.6, rim=0.7)),
        ("200003 580410 a01024", "a01850 e04880 ffa0c0", "a87030 f0b880 f8d8b8", "b04008 f89030 f8c880",
         "a08458 e4d4bc f8f0e8", "280006 780a18 c02034", "801010 c83030 f08878", "a03070 e880b8 f8d0e4"),
        tilt=(5, 48), scale=(0.28, 0.7), leaf=(0.17, 0.055, 0.5, 0.7, 0.06), leaves=(4, 3), bud=0.2),
    "sunflower": Species((Whorl((30, 44), 2, (1, 0.85), (0.13, 0.11), (-5, 15), (0.4, 0.75), 0.3, droop=0.1),), YELLOWS,
        (0.38, 0.56), ("382008 201008 301808 604018", "805810 301808 201008 586020", "a07010 583008 685010 90a040"),
        0.15, scale=(0.28, 0.75), stem=0.05, leaf=(0.35, 0.16, 0.3, 0.8), back="sky sky sky foliage foliage dark"),
    "tulip": Species((Whorl((6, 6), 2, 1.1, (0.48, 0.42), (78, 84), (0.4, 0.35), (0.3, 0.2), -0.4, cup=0.3),),
        ("900818 d01020 e83038", "e07890 f0a0b0 f8d0d0", "d08800 f0b808 f8d830", "d04010 f87830 f8b050",
         "501040 883078 b860a0", "d8dcd0 ffffff"), tilt=(60, 95), scale=(0.2, 0.5), stem=0.05,
        leaf=(0.6, 0.08, 0.3, 0.9), grows="ground", greens="385838 80a888|305040 70a078"),
    "water_lily": Species(
        (Whorl((16, 25), 0, (1, 0.6), (0.18, 0.12), (5, 65), (0.5, 0.6), cup=0.2),
         Whorl((10, 14), 0, (0.35, 0.2), 0.03, (50, 85), dye=1)),
        ("d8a0b8 f0c8d8 f8e8f0/e8a810 f8d840", "dcdccc ffffff/e8b010 f8e040", "c02878 e870a8 f8b8d0/f0a810 f8e040",
         "6038a0 8058d0 b090f0/e8b010 f8e040"), tilt=(35, 75), leaf=(0.22, 0.25, 0.5, 0.5), leaves=(6, 1),
        grows="water", back="water water water dark", bud=0.4),
}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise UserError("name the file to draw, as in: python -m scratch_ae.garden garden.png")
    contact_sheet().save(arguments[0], "PNG")
    return 0


if __name__ == "__main__":
    command(main)
