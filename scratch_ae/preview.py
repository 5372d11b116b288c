"""The tracked image while it is learnt: each frame is the true picture beside its current reconstruction.

Which frames are kept is decided by step numbers alone, so that a run repeats to the bit; only the window looks at the
clock. A window is a luxury: whatever goes wrong with it, training goes on and the frames are kept.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import UserError
from .window import Window

FIRST_INTERVAL = 8  # steps: a frame costs a fifth of a small step; with larger steps all frames cost less than 2%
MAX_FRAMES = 64
SHARE = 0.02  # of the elapsed time, for frames and window together
GAP, LINE, GROUND, INK, FONT = 16, 24, (250, 250, 248), (30, 30, 30), ImageFont.load_default(size=15)  # pixels, RGB


class Preview:
    """The tracked image and its current reconstruction, side by side, while it is being learnt.

    image: float32 (H,W,C) in [0,1], C 1 or 3. mode: "auto" and "window" open a window, or say why not in one line
    through report; "off" does not. frames: uint8 (height,width,3) RGB, taken at steps, multiples of interval. seconds:
    time spent here. Raises UserError for any other mode.
    """

    def __init__(self, image: np.ndarray, title: str, mode: str = "auto",
                 report: Callable[[str], None] = lambda line: print(line, file=sys.stderr)) -> None:
        if mode not in ("auto", "window", "off"):
            raise UserError(f"--preview {mode} is unknown: choose auto, window or off")
        self.image, self.title, self.report = image, title, report
        self.kept: list[tuple[int, str, np.ndarray]] = []  # step, text below, reconstruction in 8 bits
        self.interval = FIRST_INTERVAL
        self.seconds = 0.0
        self.begun = self.entered = time.perf_counter()  # here, and wanted
        self.scale = -(-256 // min(image.shape[:2]))  # at least 256 pixels
        blank = np.full(image.shape, 255, np.uint8)
        self.window = None if mode == "off" else Window(title, self._compose(blank, "before training"), report)

    @property
    def open(self) -> bool:
        """Whether there is a window."""
        return self.window is not None and self.window.cv2 is not None

    def due(self, step: int) -> bool:
        """Whether the frame of this step is kept: decided by step numbers, never by the clock."""
        return step % self.interval == 0

    def wanted(self, step: int) -> bool:
        """Whether to call show: a frame is due, or there is a window and its share of the time allows one."""
        self.entered = time.perf_counter()  # what the caller does before show is the preview's time too
        return self.due(step) or (self.open and self.seconds <= SHARE * (self.entered - self.begun))

    def show(self, reconstruction: np.ndarray, step: int, epoch: int, loss: float, last: bool = False) -> None:
        """Show the frame of this reconstruction, shaped like the image, in the window; keep it if due or the last.

        To be called after wanted.
        """
        status, pixels = f"epoch {epoch}   step {step}   loss {loss:#.3g}", in_8_bits(reconstruction)
        if (self.due(step) or last) and (not self.kept or self.kept[-1][0] != step):
            self.kept.append((step, status, pixels))
        if len(self.kept) > MAX_FRAMES:
            self.interval *= 2
            self.kept = [frame for frame in self.kept if self.due(frame[0]) or (last and frame[0] == step)]
        if self.window and self.open:
            self.window.show(self._compose(pixels, status))
        self.seconds += time.perf_counter() - self.entered

    @property
    def steps(self) -> list[int]:
        """When the frames were taken."""
        return [step for step, _, _ in self.kept]

    @property
    def frames(self) -> list[np.ndarray]:
        return [self._compose(pixels, status) for _, status, pixels in self.kept]

    def state(self) -> tuple[np.ndarray, dict]:
        """What is kept, as an array and as plain values, for `restore`."""
        pixels = np.array([pixels for _, _, pixels in self.kept], np.uint8).reshape(-1, *self.image.shape)
        return pixels, {"interval": self.interval, "said": [[step, status] for step, status, _ in self.kept]}

    def restore(self, pixels: np.ndarray, values: dict) -> None:
        """Go on with what was kept."""
        self.interval = values["interval"]
        self.kept = [(step, status, frame) for (step, status), frame in zip(values["said"], pixels, strict=True)]

    def save(self, file: Path) -> None:
        """Write the frames as an animated WebP, 100 ms each and 2 s for the last; without frames do nothing."""
        if not self.kept:
            return
        first, *rest = map(Image.fromarray, self.frames)
        part = file.with_name(file.name + ".part")
        try:
            first.save(part, "WEBP", save_all=True, append_images=rest, duration=[100] * len(rest) + [2000])
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the window, if there is one, for good."""
        if self.window:
            self.window.close()

    def _compose(self, reconstruction: np.ndarray, status: str) -> np.ndarray:
        """A frame: the true picture and the reconstruction (in 8 bits), a caption below each, then title and status."""
        height, width = (self.scale * n for n in self.image.shape[:2])
        frame = Image.new("RGB", (2 * width + 3 * GAP, height + 2 * GAP + 3 * LINE), GROUND)
        draw, below = ImageDraw.Draw(frame), height + GAP + GAP // 2
        for left, pixels, caption in ((GAP, in_8_bits(self.image), "true"),
                                      (2 * GAP + width, reconstruction, "reconstruction")):
            picture = Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
            frame.paste(picture.resize((width, height), Image.Resampling.NEAREST), (left, GAP))
            draw.text((left + width // 2, below), caption, INK, FONT, anchor="ma")
        draw.text((GAP, below + LINE), self.title[:60], INK, FONT)
        draw.text((GAP, below + 2 * LINE), status, INK, FONT)
        return np.array(frame)


def in_8_bits(image: np.ndarray) -> np.ndarray:
    return np.rint(np.nan_to_num(np.clip(image, 0, 1)) * 255).astype(np.uint8)  # nan, if it diverged: black
