"""An OpenCV window that never ends the training: whatever is wrong with the display or with OpenCV costs one line.

OpenCV aborts the whole process if there is no display, or if its X server hangs up. So the server is asked first, over
a connection of our own, and watched through it.
"""

import contextlib
import ctypes
import os
import select
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

NO_DISPLAY = "there is no display, DISPLAY is not set"
NEEDS = "a window needs a display, opencv-python and, on Debian, libxcb1 libgl1 libglib2.0-0 libsm6 libxext6"


class Window:
    """Shows frames, uint8 (height,width,3) RGB, until the user closes it; then, or where it cannot be opened, `cv2` is
    None and `report` was told why."""

    def __init__(self, title: str, frame: np.ndarray, report: Callable[[str], None]):
        self.title, self.report = title, report
        self.cv2: Any = None  # the module, while the window is open
        self.hung_up: Callable[[], Any] = lambda: False  # has the X server? drawing on it then would end the process
        try:
            if sys.platform == "linux":
                self.hung_up = connect_to_display()
            import cv2

            if not cv2.currentUIFramework():
                raise ImportError("this OpenCV cannot open windows, like opencv-python-headless")
            cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)  # no toolbar
        except Exception as error:  # whatever a half-installed OpenCV raises must not end the training
            why = " ".join(str(error).split())
            needs = "" if why == NO_DISPLAY else f" ({NEEDS})"
            report(f"No preview window, only frames for tracked.webp: {why}{needs}.")
        else:
            self.cv2 = cv2
            self.show(frame)

    def show(self, frame: np.ndarray) -> None:
        """Show the frame and see what the user did. Once closed, a window stays closed: imshow would reopen it."""
        with contextlib.suppress(self.cv2.error):  # also how OpenCV says that the user has closed it
            if not self.hung_up() and self.cv2.getWindowProperty(self.title, self.cv2.WND_PROP_VISIBLE) >= 1:
                self.cv2.imshow(self.title, np.ascontiguousarray(frame[:, :, ::-1]))  # OpenCV wants BGR
                if self.cv2.pollKey() & 0xFF not in b"qQ\x1b":
                    return
        self.close()
        self.report("Preview window closed; training goes on.")

    def close(self) -> None:
        """Close the window, if it is open, for good."""
        cv2, self.cv2 = self.cv2, None
        if cv2 and not self.hung_up():
            with contextlib.suppress(cv2.error):  # the user closed it already
                cv2.destroyWindow(self.title)


def connect_to_display() -> Callable[[], Any]:
    """Returns a test of whether the X server has hung up. OSError: why there can be no window; OpenCV would abort."""
    if not os.environ.get("DISPLAY"):
        raise OSError(NO_DISPLAY)
    if "xcb" not in (platform := os.environ.get("QT_QPA_PLATFORM") or "xcb"):
        raise OSError(f"QT_QPA_PLATFORM is {platform}, not xcb")
    x11, *_ = [ctypes.CDLL(name) for name in ("libX11.so.6", "libSM.so.6", "libXext.so.6")]
    x11.XOpenDisplay.restype = ctypes.c_void_p
    if not (display := x11.XOpenDisplay(None)):
        raise OSError(f"the display {os.environ['DISPLAY']} does not answer")
    connection = select.poll()
    connection.register(x11.XConnectionNumber(ctypes.c_void_p(display)), select.POLLRDHUP)
    return lambda: connection.poll(0)
