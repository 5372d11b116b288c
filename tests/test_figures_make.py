"""README's tables and curves are those that the results give, and a result is what the run's log says."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from figures import make
from scratch_ae import UserError
from scratch_ae.experiments import EXPERIMENTS, PRESETS
from tests.test_train import entries, flowers, run, small  # noqa: F401  (fixtures among them)


def test_the_tables_of_the_readme_are_those_of_the_results():
    text = make.README.read_text()
    assert make.with_tables(text) == text, "python -m figures.make readme"


@pytest.mark.parametrize("file", sorted(make.RESULTS.glob("*.jsonl")), ids=lambda file: file.stem)
def test_results_hold_numbers_and_no_photograph(file):
    header, *points, last = make.read(file.stem)
    assert file.stat().st_size < 100_000
    assert last["all"].keys() == {"training", "held_out"}
    assert all(last["all"][part]["images"] <= header["images"][part] for part in last["all"])
    assert [p["step"] for p in points] == sorted({p["step"] for p in points})
    assert last["step"] == points[-1]["step"]
    assert abs(last["all"]["training"]["psnr"] - points[-1]["training"]["psnr"]) < 1.5, "a part is like the whole"
    assert "/" not in json.dumps(header["experiment"])


@pytest.mark.parametrize(("suffix", "preset"), [("", "full"), ("_garden", "quick")])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_results_are_of_the_experiments_as_they_are(name, suffix, preset):
    experiment = json.loads(json.dumps(asdict(PRESETS[preset][name])))
    assert make.read(name + suffix)[0]["experiment"] == experiment, "train it anew, and make.record the run"


def test_a_result_is_what_the_log_says(small, flowers, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(make, "RESULTS", tmp_path / "results")
    run("rose", "--data", flowers, "--epochs", 2)
    log = entries(small / "runs/rose")
    make.record(small / "runs/rose", "mine", study="none")
    header, *points, last = make.read("mine")
    assert header["study"] == "none"
    assert last["all"]["training"]["psnr"] == round(log[-1]["all"]["training"]["psnr"], 4)
    losses = [e["loss"] for e in log if "loss" in e]
    assert [p["epoch"] for p in points] == [1, 2]
    np.testing.assert_allclose([p["loss"] for p in points], [np.mean(losses[:3]), np.mean(losses[3:])], atol=1e-6)
    lines = (small / "runs/rose/log.jsonl").read_text().splitlines(keepends=True)
    unfinished = '{"step": 7, "epoch": 3, "loss": 0.1, "rate": 0.1, "time": 9}\n'  # made longer, and interrupted
    (small / "runs/rose/log.jsonl").write_text("".join(lines) + unfinished)
    with pytest.raises(UserError, match="has not come to its end"):
        make.record(small / "runs/rose", "mine")
    for unended in (lines[:-1], lines[:1]):
        (small / "runs/rose/log.jsonl").write_text("".join(unended))
        with pytest.raises(UserError, match="has not come to its end"):
            make.record(small / "runs/rose", "mine")


def test_minutes_leave_out_what_was_no_training(small, flowers, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(make, "RESULTS", tmp_path / "results")
    run("rose", "--data", flowers, "--epochs", 2)
    log = entries(small / "runs/rose")
    for k, entry in enumerate(log):
        entry["time"] = 6.0 * k + 3600 * (k > 4) - 7200 * (k > 5)  # stopped for an hour, then the clock is set back
    (small / "runs/rose/log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
    make.record(small / "runs/rose", "mine")
    assert make.read("mine")[-1]["minutes"] == pytest.approx(0.1 * (len(log) - 3))


class Echo:
    """A network that draws its input, with a lattice of a given strength across, down, or both."""

    def __init__(self, strength: float, axes: str = "y"):
        self.experiment, self.strength, self.axes = EXPERIMENTS["rose"], strength, axes

    def reconstruct(self, images):
        sign = (-1.0) ** np.arange(128)
        pattern = (sign[:, None] if "y" in self.axes else 1) * (sign if "x" in self.axes else np.ones(128))
        return 0.5 * images + 0.25 + self.strength * pattern[..., None]


def test_a_lattice_is_seen(tmp_path):
    rng = np.random.default_rng(0)
    files = []
    for k in range(3):
        files.append(tmp_path / f"{k}.png")
        Image.fromarray(rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)).save(files[-1])
    assert make.lattice(Echo(0), files) == pytest.approx(0.25), "half the contrast, a quarter of the energy"
    assert all(make.lattice(Echo(0.1, axes), files) > 5 for axes in ("x", "y", "xy"))


def test_pictures_are_shown_as_they_are_named_and_no_larger_than_they_should_be(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(5)]
    film = tmp_path / "film.webp"
    frames[0].save(film, save_all=True, append_images=frames[1:], duration=[100] * 4 + [2000])
    monkeypatch.setattr(make, "MOST", film.stat().st_size / 1024 - 0.1)
    make.show(film, tmp_path / "smaller.webp")
    with Image.open(tmp_path / "smaller.webp") as smaller:
        assert smaller.n_frames == 5
        smaller.seek(4)
        smaller.load()
        assert smaller.info["duration"] == 2000, "the last frame stays"
    monkeypatch.undo()
    noise = tmp_path / "noise.png"
    Image.fromarray(rng.integers(0, 256, (400, 400, 3), dtype=np.uint8)).save(noise)
    for name, kind in (("a.png", "PNG"), ("a.webp", "WEBP")):
        make.show(noise, tmp_path / name)
        with Image.open(tmp_path / name) as image:
            assert image.format == kind
        assert (tmp_path / name).stat().st_size <= make.MOST * 1024 < noise.stat().st_size
    monkeypatch.setattr(make, "MOST", 10)
    with pytest.raises(UserError, match="more than 10"):
        make.show(noise, tmp_path / "a.png")


def test_of_many_evaluations_some_are_kept_and_the_last(small, flowers, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(make, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(make, "POINTS", 2)
    run("rose", "--data", flowers, "--epochs", 3)
    make.record(small / "runs/rose", "mine")
    header, *points, _ = make.read("mine")
    assert [p["epoch"] for p in points] == [1, 3]
    assert header["machine"]["numpy"] == np.__version__


def test_the_curves_are_those_of_the_results(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(make, "chart", lambda figure: drawn.append(figure) or Image.new("RGB", (1, 1)))
    monkeypatch.setattr(make, "HERE", tmp_path)
    make.draw_curves()
    for axes, name in zip(drawn[0].axes, EXPERIMENTS, strict=True):
        _, *points, _ = make.read(name)
        for line, part in zip(axes.lines, ("training", "held_out"), strict=True):
            assert line.get_xydata().tolist() == [[p["minutes"], p[part]["psnr"]] for p in points]


def test_a_training_that_was_stopped_goes_on(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(make.train, "main", lambda arguments: calls.append("--resume" in arguments) or 0)
    make.finish(tmp_path, ["rose"])
    (tmp_path / "checkpoint.npz").touch()
    make.finish(tmp_path, ["rose"])
    assert calls == [False, True]
