"""The preview keeps frames by step numbers, draws them rightly, and survives every kind of missing or dying window."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from scratch_ae import UserError, preview, window
from scratch_ae.preview import GAP, GROUND, Preview


def picture(height=128, width=128, channels=3, seed=0):
    return np.random.default_rng(seed).random((height, width, channels), dtype=np.float32)


def learn(steps, image=None, **options):
    image = picture(8, 8) if image is None else image
    shown = Preview(image, "rose", "off", **options)
    for step in range(steps):
        if shown.due(step):
            shown.show(image, step, 0, 0.5)
    return shown


# ---- which frames

@pytest.mark.parametrize("steps", [1, 5, 20, 512, 513, 514, 1000, 2000, 6000])
def test_kept_frames_are_evenly_spaced_and_their_number_bounded(steps):
    shown = learn(steps)
    assert shown.steps == list(range(0, steps, shown.interval))
    assert len(shown.frames) == len(shown.steps) <= 64
    assert len(shown.frames) >= 33 or shown.interval == 8
    intervals = {1: 8, 5: 8, 20: 8, 512: 8, 513: 16, 514: 16, 1000: 16, 2000: 32, 6000: 128}
    assert shown.interval == intervals[steps]


def test_frames_stay_with_their_steps_when_thinned():
    shown = Preview(picture(8, 8), "rose", "off")
    for step in range(0, 600, 8):
        if shown.due(step):
            shown.show(np.full((8, 8, 3), step / 1024, np.float32), step, 0, 0.5)
    right = 2 * GAP + 256 + 100
    assert [int(frame[GAP + 100, right, 0]) for frame in shown.frames] == [round(s / 1024 * 255) for s in shown.steps]


def test_a_step_not_due_keeps_no_frame():
    shown = learn(9)
    shown.show(picture(8, 8), 11, 0, 0.5)
    assert shown.steps == [0, 8]
    shown.show(picture(8, 8), 13, 0, 0.5, last=True)
    assert shown.steps == [0, 8, 13], "but for the last one"


def test_the_last_frame_is_kept_also_when_the_film_is_thinned():
    shown = learn(512)
    assert len(shown.frames) == 64
    shown.show(picture(8, 8), 515, 0, 0.5, last=True)
    assert shown.steps == [*range(0, 512, 16), 515]


def test_the_clock_decides_nothing_without_a_window(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    shown = Preview(picture(8, 8), "rose", "off")
    for step in range(40):
        clock.now += 1000
        assert shown.wanted(step) == shown.due(step) == (step % 8 == 0)


def test_seconds_run_from_wanted_to_the_end_of_show(monkeypatch):
    clock = SimpleNamespace(now=10.0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    shown = Preview(picture(8, 8), "rose", "off")
    assert shown.wanted(0)
    clock.now += 0.25  # the caller reconstructs
    shown.show(picture(8, 8), 0, 0, 0.5)
    clock.now += 5
    assert not shown.wanted(1)
    assert shown.seconds == 0.25


# ---- what is in a frame

@pytest.mark.parametrize(("shape", "scale"), [((128, 128, 3), 2), ((64, 64, 3), 4), ((96, 64, 3), 4), ((64, 96, 1), 4),
                                              ((300, 400, 3), 1), ((200, 150, 1), 2)])
def test_the_true_picture_is_left_and_the_reconstruction_right(shape, scale):
    truth, guess = picture(*shape), picture(*shape, seed=1)
    shown = Preview(truth, "rose", "off")
    shown.show(guess, 0, 0, 0.5)
    (frame,) = shown.frames
    height, width = scale * shape[0], scale * shape[1]
    assert frame.dtype == np.uint8
    assert frame.shape[1:] == (2 * width + 3 * GAP, 3)
    for image, left in ((truth, GAP), (guess, 2 * GAP + width)):
        wanted = np.broadcast_to(np.rint(image * 255), (*shape[:2], 3)).repeat(scale, 0).repeat(scale, 1)
        np.testing.assert_array_equal(frame[GAP:GAP + height, left:left + width], wanted)
    assert (frame[:GAP] == GROUND).all()
    assert (frame[:, GAP + width:2 * GAP + width][:GAP + height] == GROUND).all()


def ink(frame, rows, columns=slice(None)):
    return (np.abs(frame[rows, columns].astype(int) - GROUND) > 60).any(axis=2)


@pytest.mark.parametrize("shape", [(64, 64, 1), (96, 64, 3), (128, 128, 3)])
def test_captions_are_there_and_nothing_is_clipped(shape):
    shown = Preview(np.ones(shape, np.float32), "a very long name of a photograph " * 10, "off")
    shown.show(np.ones(shape, np.float32), 4 * 10**9, 10**7, 1.23456e-30)
    (frame,) = shown.frames
    below, middle = GAP + shown.scale * shape[0], frame.shape[1] // 2
    lines = ink(frame, slice(below, None)).any(axis=1)
    assert np.count_nonzero(np.diff(lines.astype(int)) == 1) == 3, "three lines of text, apart"
    assert not lines[0]
    assert not lines[-4:].any()
    columns = ink(frame, slice(below, None)).any(axis=0)
    assert not columns[:GAP - 2].any()
    assert not columns[-GAP + 2:].any()
    for side in (slice(GAP, middle), slice(middle, -GAP)):
        first = np.flatnonzero(ink(frame, slice(below, below + 28), side).any(axis=0))
        width = side.indices(frame.shape[1])[1] - side.start
        assert abs(first[0] + first[-1] - width) < 2 * GAP, "centred below its picture"


def test_the_last_line_says_epoch_step_and_loss(monkeypatch):
    texts = []
    monkeypatch.setattr(preview.ImageDraw.ImageDraw, "text", lambda self, xy, text, *_, **__: texts.append(text))
    shown = Preview(picture(8, 8), "rose", "off")
    shown.show(picture(8, 8), 120, 3, 0.0123)
    assert len(shown.frames) == 1
    assert texts == ["true", "reconstruction", "rose", "epoch 3   step 120   loss 0.0123"]


def test_values_out_of_range_and_nan_are_drawn_not_wrapped():
    guess = np.zeros((8, 8, 3), np.float32)
    guess[0], guess[1], guess[2] = -0.5, 1.5, np.nan
    kept = guess.copy()
    shown = Preview(picture(8, 8), "rose", "off")
    shown.show(guess, 0, 0, float("nan"))
    right = shown.frames[0][GAP:GAP + 256:32, 2 * GAP + 256]
    np.testing.assert_array_equal(right[:, 0], [0, 255, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(guess, kept)


def test_a_wrong_mode_is_refused():
    with pytest.raises(UserError, match="choose auto, window or off"):
        Preview(picture(8, 8), "rose", "yes")


# ---- the animation

def test_save_writes_every_frame_with_its_duration(tmp_path):
    shown = learn(41, picture(64, 64))
    (tmp_path / "tracked.webp").write_bytes(b"old")
    shown.save(tmp_path / "tracked.webp")
    assert os.listdir(tmp_path) == ["tracked.webp"]
    with Image.open(tmp_path / "tracked.webp") as film:
        assert (film.format, film.n_frames, film.info["loop"]) == ("WEBP", 6, 0)
        durations = []
        for number in range(film.n_frames):
            film.seek(number)
            film.load()
            durations.append(film.info["duration"])
            assert np.abs(np.asarray(film.convert("RGB")).astype(int) - shown.frames[number]).mean() < 12
    assert durations == [100] * 5 + [2000]


def test_save_without_frames_or_into_nowhere_leaves_nothing(tmp_path):
    Preview(picture(8, 8), "rose", "off").save(tmp_path / "none.webp")
    with pytest.raises(OSError):
        learn(5).save(tmp_path / "absent" / "tracked.webp")
    assert os.listdir(tmp_path) == []


def test_a_write_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "tracked.webp").write_bytes(b"old")

    def fail(self, file, *_, **__):
        Path(file).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        learn(5).save(tmp_path / "tracked.webp")
    assert os.listdir(tmp_path) == ["tracked.webp"]
    assert (tmp_path / "tracked.webp").read_bytes() == b"old"


# ---- the window, with an OpenCV that only remembers what was asked of it

class FakeCv2:
    WINDOW_AUTOSIZE, WINDOW_GUI_NORMAL, WND_PROP_VISIBLE = 1, 16, 4

    class error(Exception):
        pass

    def __init__(self):
        self.open, self.opened, self.key, self.images, self.broken = False, 0, -1, [], ""

    def currentUIFramework(self):
        return "QT"

    def namedWindow(self, name, flags):
        assert flags == 17
        self.open, self.opened = True, self.opened + 1

    def imshow(self, name, image):
        if self.broken == "imshow":
            raise self.error("broken")
        self.opened += not self.open  # as the real one does: it opens a window again
        self.open = True
        self.images.append(image.copy())

    def pollKey(self):
        return self.key

    def getWindowProperty(self, name, what):
        if not self.open:
            raise self.error("NULL window")
        return 0.0 if self.broken == "hidden" else 1.0

    def destroyWindow(self, name):
        if not self.open:
            raise self.error("NULL window")
        self.open = False


@pytest.fixture
def cv2(monkeypatch):
    fake = FakeCv2()
    monkeypatch.setitem(sys.modules, "cv2", fake)
    monkeypatch.setattr(window, "connect_to_display", lambda: lambda: [])
    return fake


def test_the_window_shows_the_frame_in_bgr(cv2):
    lines = []
    shown = Preview(picture(), "rose", report=lines.append)
    shown.show(picture(seed=1), 0, 0, 0.5)
    assert len(cv2.images) == 2, "one before training and one now"
    np.testing.assert_array_equal(cv2.images[1], shown.frames[0][:, :, ::-1])
    assert cv2.images[1].flags.c_contiguous
    assert lines == []


@pytest.mark.parametrize("how", ["button", "q", "Q", "Esc", "q with a modifier", "hidden", "error"])
def test_a_window_that_was_closed_stays_closed_and_training_goes_on(cv2, how):
    lines = []
    shown = Preview(picture(8, 8), "rose", report=lines.append)
    for step in range(0, 40):
        if step == 10:
            cv2.key = {"q": ord("q"), "Q": ord("Q"), "Esc": 27, "q with a modifier": 0x100000 | ord("q")}.get(how, -1)
            cv2.open = how != "button"
            cv2.broken = {"hidden": "hidden", "error": "imshow"}.get(how, "")
        shown.show(picture(8, 8), step, 0, 0.5)
    assert lines == ["Preview window closed; training goes on."]
    assert cv2.opened == 1
    assert not cv2.open
    assert len(cv2.images) in (11, 12)
    assert len(shown.frames) == 5
    assert shown.wanted(40)
    assert not shown.wanted(41)


def test_the_window_takes_its_share_of_the_time_and_no_more(cv2, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    shown = Preview(picture(8, 8), "rose")
    extra = 0
    for step in range(400):
        if shown.wanted(step):
            extra += not shown.due(step)
            clock.now += 0.005
            shown.show(picture(8, 8), step, 0, 0.5)
        clock.now += 0.1
        assert shown.seconds <= 0.02 * clock.now + 0.01
    assert extra > 30
    assert 0.018 < shown.seconds / clock.now < 0.021


def test_close_is_for_good_and_may_be_repeated(cv2):
    shown = Preview(picture(8, 8), "rose")
    shown.close()
    shown.close()
    shown.show(picture(8, 8), 0, 0, 0.5)
    assert (cv2.open, cv2.opened, len(cv2.images), len(shown.frames)) == (False, 1, 1, 1)


def test_a_display_that_hangs_up_is_left_alone(cv2, monkeypatch):
    hung_up = []
    monkeypatch.setattr(window, "connect_to_display", lambda: lambda: hung_up)
    lines = []
    shown = Preview(picture(8, 8), "rose", report=lines.append)
    hung_up.append((3, 16))
    shown.show(picture(8, 8), 0, 0, 0.5)
    shown.close()
    assert lines == ["Preview window closed; training goes on."]
    assert cv2.open, "destroyWindow would end the process"
    assert len(cv2.images) == 1
    assert len(shown.frames) == 1


def test_off_asks_for_nothing(cv2, monkeypatch):
    monkeypatch.setattr(window, "connect_to_display", lambda: pytest.fail("asked for a display"))
    lines = []
    Preview(picture(8, 8), "rose", "off", lines.append).show(picture(8, 8), 0, 0, 0.5)
    assert (lines, cv2.opened, cv2.images) == ([], 0, [])


@pytest.mark.parametrize(("framework", "fault", "wanted"), [
    ("", None, "cannot open windows"),
    ("QT", FakeCv2.error("cannot\n  open"), "cannot open")])
def test_an_opencv_that_cannot_open_a_window_is_one_line(cv2, monkeypatch, framework, fault, wanted):
    def refuse(*_):
        raise fault

    monkeypatch.setattr(cv2, "currentUIFramework", lambda: framework)
    if fault:
        monkeypatch.setattr(cv2, "namedWindow", refuse)
    lines = []
    Preview(picture(8, 8), "rose", report=lines.append).show(picture(8, 8), 0, 0, 0.5)
    assert len(lines) == 1
    assert wanted in lines[0]
    assert "\n" not in lines[0]
    assert cv2.images == []


# ---- whole processes: what is wrong with the display or with OpenCV must not end them

PROGRAM = """
import numpy as np
from scratch_ae import preview, window
if {answer}: window.connect_to_display = lambda: lambda: []
p = preview.Preview(np.zeros((8, 8, 3), np.float32), "rose", "{mode}")
p.show(np.zeros((8, 8, 3), np.float32), 0, 0, 0.5)
p.close()
print("frames", len(p.frames))
"""


@pytest.mark.parametrize(("mode", "environment", "stub", "wanted"), [
    ("auto", {}, None, "DISPLAY is not set"),
    ("window", {}, None, "DISPLAY is not set"),
    ("auto", {"DISPLAY": ":7654"}, None, ":7654"),
    ("auto", {"DISPLAY": ":7654", "QT_QPA_PLATFORM": "offscreen"}, None, "QT_QPA_PLATFORM is offscreen"),
    ("auto", {}, 'raise ImportError("libGL.so.1: cannot open shared object file")', "on Debian, libxcb1 libgl1"),
    ("auto", {}, 'raise ModuleNotFoundError("No module named cv2")', "needs a display, opencv-python"),
    ("auto", {}, 'raise RuntimeError("built for another numpy")', "another numpy"),
    ("off", {}, 'raise ImportError("asked for")', "")])
def test_a_process_without_a_window_says_one_line_and_goes_on(tmp_path, mode, environment, stub, wanted):
    plain = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "QT_QPA_PLATFORM")}
    root = str(Path(preview.__file__).parent.parent)
    if stub:
        (tmp_path / "cv2.py").write_text(stub)
    environment = plain | environment | {"PYTHONPATH": os.pathsep.join((str(tmp_path), root))}
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(answer=bool(stub), mode=mode)], cwd=tmp_path,
                          timeout=60, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, "frames 1\n"), done.stderr
    assert done.stderr.count("\n") == (1 if wanted else 0), done.stderr
    bare = wanted == ":7654" and "cannot open shared object file" in done.stderr  # a machine without X's libraries
    assert wanted in done.stderr or bare


def test_what_is_kept_can_be_gone_on_with():
    whole, first, second = (Preview(picture(8, 8), "rose", "off") for _ in range(3))
    for shown, steps in ((whole, range(0, 1200, 8)), (first, range(0, 800, 8))):
        for step in steps:
            if shown.wanted(step):
                shown.show(np.full((8, 8, 3), step / 1200, np.float32), step, 1, 0.5)
    second.restore(*first.state())
    for step in range(800, 1200, 8):
        if second.wanted(step):
            second.show(np.full((8, 8, 3), step / 1200, np.float32), step, 1, 0.5)
    assert (second.steps, second.interval) == (whole.steps, whole.interval)
    assert all(np.array_equal(a, b) for a, b in zip(second.frames, whole.frames, strict=True))
    assert Preview(picture(8, 8), "rose", "off").state()[0].shape == (0, 8, 8, 3)


def test_a_last_frame_that_is_there_already_is_not_kept_twice():
    shown = learn(9)
    shown.show(picture(8, 8), 8, 0, 0.5, last=True)
    assert shown.steps == [0, 8]
