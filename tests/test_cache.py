"""Decoded pictures on disk: the same pixels, of these very files, whole or not at all."""

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scratch_ae import cache
from scratch_ae.data import ImageGenerator, load_image
from tests import kill
from tests.test_train import flowers, run, small  # noqa: F401  (fixtures among them)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "rose").mkdir()
    for k in range(70):  # more than a block
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(tmp_path / f"rose/{k:02}.png")
    (tmp_path / "rose/05.png").write_bytes(b"no picture")
    return sorted((tmp_path / "rose").iterdir())


def cached(files, tmp_path, size=8, channels=3, lines=None):
    told = [] if lines is None else lines
    rows = cache.cached(files, size, channels, tmp_path / "cache", lambda done, text: None, told.append)
    assert lines is not None or not told, told
    return rows


def refuse(*_):
    raise AssertionError("decoded again")


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_are_the_pictures_mapped_from_disk(files, tmp_path, channels):
    rows = cached(files, tmp_path, channels=channels)
    assert isinstance(rows, np.memmap)
    assert rows["usable"].tolist() == [k != 5 for k in range(70)]
    for file, row in zip(files, rows, strict=True):
        if row["usable"]:
            assert np.array_equal(row["pixels"], load_image(file, 8, channels))


def test_what_is_there_is_used_and_what_has_changed_is_written_anew(files, tmp_path, monkeypatch):
    first = cached(files, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(cache, "load_image", refuse)
        assert np.array_equal(cached(files, tmp_path), first)
        for other in (files[:-1], files[::-1]):
            with pytest.raises(AssertionError):
                cached(other, tmp_path)
        with pytest.raises(AssertionError):
            cached(files, tmp_path, size=9)
    Image.new("RGB", (9, 9), "red").save(files[3])
    assert np.array_equal(cached(files, tmp_path)[3]["pixels"], load_image(files[3], 8))
    stat = files[4].stat()
    files[4].write_bytes(files[3].read_bytes().ljust(stat.st_size, b"\0")[: stat.st_size])
    os.utime(files[4], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))  # as long as before, and later
    assert np.array_equal(cached(files, tmp_path)[4]["pixels"], load_image(files[3], 8))
    assert len(list((tmp_path / "cache").iterdir())) == 1, "what is outdated goes"
    cached(files, tmp_path, size=9)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_two_at_once(files, tmp_path):
    code = "import sys; from pathlib import Path; from tests.test_cache import cached; "
    code += "rows = cached(sorted(Path(sys.argv[1], 'rose').iterdir()), Path(sys.argv[1])); print(rows['pixels'].sum())"
    call = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen(call, stdout=-1, text=True) for _ in range(2)]
    sums = {process.communicate(timeout=60)[0] for process in both}
    assert sums == {f"{cached(files, tmp_path)['pixels'].sum()}\n"}
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("length", [0, -100, 100])
def test_a_damaged_one_is_written_anew(files, tmp_path, length):
    before = np.array(cached(files, tmp_path))
    (whole,) = (tmp_path / "cache").iterdir()
    content = whole.read_bytes()
    whole.write_bytes(content + b"x" * length if length > 0 else content[:length])
    assert np.array_equal(cached(files, tmp_path), before)


def test_a_picture_put_in_anothers_place_with_its_times_is_seen(files, tmp_path):
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (9, 9), colour).save(tmp_path / f"{name}.bmp")
    cached([tmp_path / "a.bmp"], tmp_path)
    stat = (tmp_path / "a.bmp").stat()
    (tmp_path / "a.bmp").write_bytes((tmp_path / "b.bmp").read_bytes())
    os.utime(tmp_path / "a.bmp", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert cached([tmp_path / "a.bmp"], tmp_path)["pixels"][0, 0, 0].tolist() == [0, 0, 255]


def test_where_it_cannot_be_written_one_is_told(files, tmp_path, monkeypatch):
    told = []
    (tmp_path / "cache").write_text("a file")
    assert cached(files, tmp_path, lines=told) is None
    (tmp_path / "cache").unlink()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert cached(files, tmp_path, lines=told) is None
    assert len(told) == 2
    assert "No space left on device" in told[1]
    assert not list((tmp_path / "cache").iterdir())


def test_half_written_files_of_the_dead_go(files, tmp_path):
    (tmp_path / "cache").mkdir()
    for name, age in (("old", 2 * cache.STALE), ("young", 10)):
        (tmp_path / f"cache/{name}.part").write_bytes(b"half")
        os.utime(tmp_path / f"cache/{name}.part", times=(time.time() - age,) * 2)
    cached(files, tmp_path)
    assert [p.name for p in (tmp_path / "cache").glob("*.part")] == ["young.part"]


def test_another_run_may_be_faster_in_clearing_up(files, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "glob", lambda folder, _: [folder / "gone.part"])
    assert cached(files, tmp_path) is not None


def test_the_generator_takes_them_and_names_what_is_unusable(files, tmp_path, monkeypatch):
    told: list[str] = []
    plain = [*ImageGenerator(files, 8, 16, report=told.append).epoch(0)]
    generator = ImageGenerator(files, 8, 16, report=told.append)
    generator.decoded = cached(files, tmp_path)
    files[9].unlink()  # a file that vanishes after it was decoded is not missed
    assert all(np.array_equal(a, b) for a, b in zip(generator.epoch(0), plain, strict=True))
    assert told == [f"skipped {files[5]}: not an image"] * 2
    monkeypatch.setattr("scratch_ae.data.load_image", refuse)
    assert all(np.array_equal(a, b) for a, b in zip(generator.epoch(0), plain, strict=True))


def test_a_run_has_the_same_bits_with_it_and_without(small, flowers, monkeypatch):  # noqa: F811
    arguments = ("rose", "--data", flowers, "--steps", 11, "--threads", 2)
    run(*arguments, "--out", "without", "--no-cache")
    assert not Path("data/.cache").exists()
    run(*arguments, "--out", "with")
    assert len(list(Path("data/.cache").iterdir())) == 1
    assert kill.differing(kill.state(small / "with"), kill.state(small / "without")) == []
    run("iris_calendula", "--data", flowers, "--steps", 2, "--out", "short")
    assert len(list(Path("data/.cache").iterdir())) == 1, "less than one pass does not pay"
    run("iris_calendula", "--data", flowers, "--epochs", 1, "--out", "once")
    assert len(list(Path("data/.cache").iterdir())) == 1


def test_another_pillow_decodes_anew(files, tmp_path, monkeypatch):
    cached(files, tmp_path)
    monkeypatch.setattr(cache.PIL, "__version__", "99")
    monkeypatch.setattr(cache, "load_image", refuse)
    with pytest.raises(AssertionError, match="decoded again"):
        cached(files, tmp_path)


def test_colour_and_grey_and_each_set_of_folders_have_a_file_of_their_own(files, tmp_path):
    (tmp_path / "iris").mkdir()
    other = shutil.copy(files[0], tmp_path / "iris")
    for few, channels in ((files[:2], 3), (files[:2], 1), ([Path(other)] * 2, 3)):
        cached(few, tmp_path, channels=channels)
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_names_that_are_not_utf8_and_how_far_it_is(files, tmp_path):
    odd, told = tmp_path / "rose/\udcff.png", []
    odd.write_bytes(files[0].read_bytes())
    rows = cache.cached([*files, odd], 8, 3, tmp_path / "cache", lambda *now: told.append(now), print)
    assert rows["usable"][-1]
    assert told[-1] == (1, "71 of 71 pictures decoded")
