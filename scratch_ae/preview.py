"""The tracked image while it is learnt: each frame is the true picture beside its present reconstruction.

Which frames are kept is decided by step numbers alone, so that a run repeats to the bit; only the window looks at the
clock. A window is a luxury: whatever goes wrong with it, training goes on and the frames are kept.
"""

import contextlib
import ctypes
import math
import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scratch_ae import UserError

FIRST_INTERVAL = 4  # a frame costs about 3% of a training step: one at every step would break the 2%
MAX_FRAMES = 64
SHARE = 0.02  # of the elapsed time, for frames and window together
GAP, LINE, FONT_SIZE, GROUND, INK = 16, 20, 15, (250, 250, 248), (30, 30, 30)  # pixels, and RGB
QUIT = (ord("q"), ord("Q"), 27)
PACKAGES = "libxcb1 libgl1 libglib2.0-0 libsm6 libxext6"


def to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


class Preview:
    """The tracked image and its present reconstruction, side by side, while it is being learnt.

    image: float32 (H,W,C) in [0,1], C 1 or 3. mode: "auto", "window" or "off"; where there can be no window the first
    two say why in one line through report, "window" more plainly. frames: uint8 (height,width,3) RGB, taken at steps,
    multiples of interval. seconds: time spent in here. Raises UserError for another mode, ValueError for other shapes.
    """

    def __init__(self, image: np.ndarray, title: str, mode: str = "auto",
                 report: Callable[[str], None] = to_stderr) -> None:
        if mode not in ("auto", "window", "off"):
            raise UserError(f"--preview {mode} is unknown: choose auto, window or off")
        if image.ndim != 3 or image.shape[2] not in (1, 3):
            raise ValueError(f"Preview: image of shape {image.shape}, wanted (H,W,1) or (H,W,3)")
        self.shape, self.report, self.name = image.shape, report, f"scratch_ae: {title}"
        self.frames: list[np.ndarray] = []
        self.steps: list[int] = []
        self.interval = FIRST_INTERVAL
        self.seconds = self.last = 0.0  # in all, and for the last frame
        self.begun = self.entered = math.nan  # on the clock: the first wanted(), and one that said yes
        self.font = ImageFont.load_default(size=FONT_SIZE)
        self.scale = math.ceil(256 / min(image.shape[:2]))
        self.ground = self._ground(image, title)
        self.cv2: Any = None  # the module, while there is a window
        self.display: Any = None  # polls the connection to the X server
        if mode != "off":
            self._open("No preview window" if mode == "auto" else "A preview window was asked for and cannot be shown")

    def due(self, step: int) -> bool:
        """Whether the frame of this step is kept: decided by step numbers, never by the clock."""
        return step % self.interval == 0

    def wanted(self, step: int) -> bool:
        """Whether to call show: a frame is due, or there is a window and its share of the time allows one."""
        now = time.perf_counter()
        self.begun = now if math.isnan(self.begun) else self.begun
        affordable = self.seconds + self.last <= SHARE * (now - self.begun)
        if not self.due(step) and not (self.cv2 and affordable):
            return False
        self.entered = now  # the caller's reconstructing is the preview's time too
        return True

    def show(self, reconstruction: np.ndarray, step: int, epoch: int, loss: float) -> None:
        """Compose the frame of this reconstruction, shaped as the image; keep it if due, put it into the window."""
        if reconstruction.shape != self.shape:
            raise ValueError(f"Preview: reconstruction of shape {reconstruction.shape}, wanted {self.shape}")
        begun = time.perf_counter() if math.isnan(self.entered) else self.entered
        frame = self._compose(reconstruction, f"epoch {epoch}   step {step}   loss {loss:#.3g}")
        if self.due(step) and self.steps[-1:] != [step]:
            self.frames.append(frame)
            self.steps.append(step)
        if len(self.frames) > MAX_FRAMES:
            self.interval *= 2
            kept = [i for i, s in enumerate(self.steps) if self.due(s)]
            self.frames, self.steps = [self.frames[i] for i in kept], [self.steps[i] for i in kept]
        self._update(frame)
        self.entered, self.last = math.nan, time.perf_counter() - begun
        self.seconds += self.last

    def save(self, file: Path) -> None:
        """Write the frames as an animated WebP, 100 ms each and 2 s for the last; without frames do nothing."""
        if not self.frames:
            return
        first, *rest = (Image.fromarray(frame) for frame in self.frames)
        times = [100] * len(rest) + [2000]
        part = file.with_name(file.name + ".part")
        try:
            first.save(part, "WEBP", save_all=True, append_images=rest, duration=times, loop=0, quality=80, method=4)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the window, if there is one, for good."""
        cv2, self.cv2 = self.cv2, None
        if cv2 and not self._display_died():
            with contextlib.suppress(cv2.error):  # the user closed it already
                cv2.destroyWindow(self.name)

    # ---- frames

    def _picture(self, image: np.ndarray) -> Image.Image:
        pixels = np.rint(np.nan_to_num(np.clip(image, 0, 1)) * 255).astype(np.uint8)  # nan, of a diverged model: black
        picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
        return picture.resize((picture.width * self.scale, picture.height * self.scale), Image.Resampling.NEAREST)

    def _ground(self, image: np.ndarray, title: str) -> Image.Image:
        """What all frames share: the true picture and the captions but for the last line."""
        height, width = (self.scale * n for n in image.shape[:2])
        ground = Image.new("RGB", (2 * width + 3 * GAP, height + 2 * GAP + 3 * LINE + GAP // 2), GROUND)
        ground.paste(self._picture(image), (GAP, GAP))
        draw, below = ImageDraw.Draw(ground), height + GAP + GAP // 2
        draw.text((GAP + width // 2, below), "training image", INK, self.font, anchor="ma")
        draw.text((2 * GAP + width + width // 2, below), "reconstruction", INK, self.font, anchor="ma")
        while self.font.getlength(title) > ground.width - 2 * GAP:
            title = title.removesuffix("...")[:-1] + "..."
        draw.text((GAP, below + LINE + GAP // 2), title, INK, self.font)
        return ground

    def _compose(self, reconstruction: np.ndarray, status: str) -> np.ndarray:
        frame = self.ground.copy()
        frame.paste(self._picture(reconstruction), (2 * GAP + self.scale * self.shape[1], GAP))
        ImageDraw.Draw(frame).text((GAP, frame.height - GAP // 2 - LINE), status, INK, self.font)
        return np.array(frame)

    # ---- the window

    def _open(self, complaint: str) -> None:
        try:
            if sys.platform not in ("darwin", "win32"):
                self.display = connect_to_display()
            cv2 = import_cv2()
            cv2.namedWindow(self.name, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)  # no toolbar
        except Exception as error:  # whatever a half-installed OpenCV raises must not end the training
            self.report(f"{complaint}: {one_line(error)}. Frames are kept all the same.")
        else:
            self.cv2 = cv2
            self._update(np.array(self.ground))

    def _update(self, frame: np.ndarray) -> None:
        """Show the frame and look at what the user did. A window once closed is never opened again: imshow would."""
        if not (cv2 := self.cv2):
            return
        try:
            shown = not self._display_died() and cv2.getWindowProperty(self.name, cv2.WND_PROP_VISIBLE) >= 1
            if shown:
                cv2.imshow(self.name, np.ascontiguousarray(frame[:, :, ::-1]))  # OpenCV wants BGR
                shown = cv2.pollKey() & 0xFF not in QUIT
        except cv2.error:  # also how OpenCV says that the user has closed it
            shown = False
        if not shown:
            self.close()
            self.report("Preview window closed; training goes on.")

    def _display_died(self) -> bool:
        """Whether the X server has hung up: to draw on it then would end the process."""
        return bool(self.display and self.display.poll(0))


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def import_cv2() -> Any:
    """OpenCV with windows. Raises ImportError saying what to install."""
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise ImportError(f"{error}; pip install opencv-python") from error
    except ImportError as error:
        raise ImportError(f"OpenCV cannot be imported ({error}); on Debian: apt install {PACKAGES}") from error
    if not cv2.currentUIFramework():
        raise ImportError("this OpenCV has no windows; pip install opencv-python in place of opencv-python-headless")
    return cv2


def connect_to_display() -> Any:
    """A poll object that tells when the X server hangs up. Raises OSError saying why there can be no window.

    Asked before OpenCV opens one: it does not raise without a display or a library, it aborts the process.
    """
    if not os.environ.get("DISPLAY"):
        raise OSError("there is no display (DISPLAY is not set)")
    platform = os.environ.get("QT_QPA_PLATFORM") or "xcb"
    if "xcb" not in platform.split(";"):
        raise OSError(f"QT_QPA_PLATFORM is {platform}, but OpenCV's windows need xcb: unset it")
    try:
        x11, *_ = [ctypes.CDLL(name) for name in ("libX11.so.6", "libSM.so.6", "libXext.so.6")]
    except OSError as error:
        raise OSError(f"{error}; on Debian: apt install {PACKAGES}") from error
    x11.XOpenDisplay.restype = ctypes.c_void_p
    display = x11.XOpenDisplay(None)
    if not display:
        raise OSError(f"the display {os.environ['DISPLAY']} does not answer")
    hang_up = select.poll()
    hang_up.register(x11.XConnectionNumber(ctypes.c_void_p(display)), getattr(select, "POLLRDHUP", select.POLLHUP))
    return hang_up
