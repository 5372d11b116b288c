"""The whole path on networks small enough for a test: the four experiments at 32x32 with two convolutions."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scratch_ae import UserError, checkpoint, garden, train
from scratch_ae import run as runs
from scratch_ae.data import ImageGenerator, image_files, load_image, split
from scratch_ae.experiments import EXPERIMENTS, PRESETS
from scratch_ae.gradcheck import same
from scratch_ae.losses import psnr, ssim
from scratch_ae.model import AutoEncoder
from scratch_ae.optim import cooldown
from scratch_ae.preview import Preview

SMALL = {
    name: replace(e, size=32, filters=(8, 16), batch_size=4, epochs=3, pairs=min(e.pairs, 6), warm_up=2)
    for name, e in EXPERIMENTS.items()
}
FULL = {name: replace(e, filters=(4, 8), learning_rate=0.003, warm_up=3) for name, e in SMALL.items()}
SPECIES = ["rose", "sunflower", "iris", "calendula"]


@pytest.fixture(scope="session")
def flowers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flowers")
    garden.plant(folder, SPECIES, 12, size=40)
    return folder


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The experiments made small, in an empty working folder."""
    for name, experiment in SMALL.items():
        monkeypatch.setitem(EXPERIMENTS, name, experiment)
        monkeypatch.setitem(PRESETS["full"], name, FULL[name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    return tmp_path


def entries(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def run(*arguments):
    return train.main([str(a) for a in arguments])


@pytest.mark.parametrize(
    ("name", "pictures"),
    [
        ("rose", {"pairs_training", "pairs_held_out", "blend", "curves"}),
        ("sunflower", {"pairs_training", "pairs_held_out", "morph", "curves"}),
        ("iris_calendula", {"pairs_training", "pairs_held_out", "blend", "alphas", "curves"}),
        ("flowers", {"pairs_training", "pairs_held_out", "histograms", "curves"}),
    ],
)
def test_each_experiment_trains_and_draws_its_pictures(small, flowers, name, pictures, capsys):
    assert run(name, "--data", flowers, "--steps", 5) == 0
    out = small / "runs" / name
    assert {file.stem for file in (out / "figures").iterdir()} == pictures
    files = {"checkpoint.npz", "figures", "log.jsonl", "tracked.webp"}
    assert {p.name for p in out.iterdir()} - {"checkpoint.before.npz"} == files
    log = entries(out)
    assert log[0]["experiment"]["name"] == name
    assert [e["step"] for e in log if "loss" in e] == [1, 2, 3, 4, 5]
    assert log[-1]["step"] == 5
    assert {"psnr", "ssim"} == set(log[-2]["training"]) == set(log[-2]["held_out"])
    assert log[-1]["all"].keys() == {"training", "held_out"}
    printed = capsys.readouterr().out
    assert "ConvTranspose2D" in printed
    assert "held out" in printed


def test_without_data_the_garden_is_planted_once_and_said(small, monkeypatch, capsys):
    monkeypatch.setattr(train, "GARDEN", 12)
    assert run("rose", "--steps", 2) == 0
    printed = capsys.readouterr().out
    assert "rendered flowers" in printed
    assert "python -m scratch_ae.download" in printed
    files = sorted((small / "data/garden/rose").iterdir())
    assert len(files) == 12
    times = [f.stat().st_mtime_ns for f in files]
    assert run("rose", "--steps", 2, "--overwrite") == 0
    (small / "data/flowers/rose").mkdir(parents=True)
    (small / "data/flowers/rose/.DS_Store").touch()
    assert train.find_data(EXPERIMENTS["rose"]).name == "garden"
    assert [f.stat().st_mtime_ns for f in files] == times


def test_where_the_garden_cannot_be_planted_it_says_what_to_do(small, monkeypatch):
    def no_room(*_, **__):
        raise PermissionError(13, "Permission denied", "data")

    monkeypatch.setattr(garden, "plant", no_room)
    with pytest.raises(UserError, match=r"Permission denied: 'data'\. Work in a folder you can write to"):
        run("rose", "--steps", 2)


def test_photographs_are_preferred_where_the_species_are_there(small, flowers, capsys):
    (small / "data").mkdir()
    (small / "data/flowers").symlink_to(flowers)
    assert train.find_data(EXPERIMENTS["rose"]).name == "flowers"
    assert train.find_data(EXPERIMENTS["flowers"]).name == "flowers"
    assert "photographs" in capsys.readouterr().out


def test_the_same_seed_and_threads_give_the_same_bits(small, flowers):
    for out in "ab":
        run("iris_calendula", "--data", flowers, "--epochs", 2, "--out", out, "--threads", 2)
    runs = [checkpoint.read(small / out / "checkpoint.npz")[0] for out in "ab"]
    assert same(runs[0], runs[1])
    logs = [[{k: v for k, v in e.items() if k != "time"} for e in entries(small / out)] for out in "ab"]
    assert logs[0] == logs[1]
    for name in ("tracked.webp", "figures/pairs_training.png", "figures/alphas.png", "figures/curves.png"):
        assert (small / "a" / name).read_bytes() == (small / "b" / name).read_bytes(), name
    run("iris_calendula", "--data", flowers, "--epochs", 2, "--out", "d", "--seed", 1)
    assert not same(runs[0], checkpoint.read(small / "d" / "checkpoint.npz")[0])


def test_a_preset_is_another_network_and_its_run_goes_on(small, flowers, capsys):
    run("rose", "--preset", "full", "--data", flowers, "--steps", 2, "--latent", 8)
    said = " ".join(capsys.readouterr().out.split())
    assert "rose, preset full: species rose, size 32, filters 4 8, latent 8 (overridden)," in said
    assert AutoEncoder.load("runs/rose/checkpoint.npz").experiment == replace(FULL["rose"], latent=8)
    for arguments in (["--resume"], ["--resume", "--preset", "full"]):
        assert run("rose", *arguments) == 0
    with pytest.raises(UserError, match="was begun with preset full, not quick"):
        run("rose", "--resume", "--preset", "quick")


EVERY = [1, 2, 3, 4]


@pytest.mark.parametrize(("part", "steps", "epochs"), [(0.5, 999, [2, 4]), (0.5, 3, EVERY), (0, 999, EVERY)])
def test_an_epoch_is_evaluated_when_enough_is_learnt(small, flowers, monkeypatch, part, steps, epochs):
    monkeypatch.setattr(runs, "HUNDREDTH", part)
    monkeypatch.setattr(runs, "STEPS", steps)
    run("rose", "--data", flowers, "--epochs", 4)
    assert [e["epoch"] for e in entries(small / "runs/rose") if "training" in e] == epochs


def test_it_learns(small, flowers):
    run("rose", "--data", flowers, "--steps", 150, "--learning-rate", 0.003, "--tv-weight", 0, "--latent", 8)
    losses = [e["loss"] for e in entries(small / "runs/rose") if "loss" in e]
    fifths = [np.mean(losses[k : k + 30]) for k in range(0, 150, 30)]
    assert fifths == sorted(fifths, reverse=True)
    assert fifths[-1] < 0.6 * fifths[0]


def test_the_log_measures_the_weights_that_are_saved(small, flowers, monkeypatch):
    """After an epoch over some images, at the end over all that can be used."""
    monkeypatch.setattr(runs, "EVALUATED", 5)
    (flowers / "rose" / "broken.jpg").write_bytes(b"no picture")
    run("rose", "--data", flowers, "--steps", 7)
    (flowers / "rose" / "broken.jpg").unlink()
    out = small / "runs/rose"
    model = AutoEncoder.load(out / "checkpoint.npz")
    parts = dict(zip(("training", "held_out"), split(image_files([flowers / "rose"])), strict=True))
    for part, files in parts.items():
        true = np.stack([np.asarray(Image.open(f).resize((32, 32), Image.Resampling.HAMMING)) for f in files]) / 255
        predicted, some, last = model.reconstruct(true), *entries(out)[-2:]
        for count, measured in ((5, some[part]), (len(files), last["all"][part])):
            assert measured["psnr"] == pytest.approx(psnr(predicted[:count], true[:count]).mean(), abs=1e-3)
            assert measured["ssim"] == pytest.approx(ssim(predicted[:count], true[:count]).mean(), abs=1e-4)
        assert last["all"][part]["images"] == len(files)
    header = checkpoint.read(out / "checkpoint.npz")[1]
    assert (header["t"], header["experiment"]["name"]) == (7, "rose")


def test_a_trained_network_is_not_overwritten_unless_asked(small, flowers):
    run("rose", "--data", flowers, "--steps", 2, "--out", "a")
    kept = (small / "a/checkpoint.npz").read_bytes()
    with pytest.raises(UserError, match=r"a holds a trained network\. .*--resume.*--overwrite.*--out"):
        run("rose", "--data", flowers, "--steps", 3, "--out", "a")
    assert (small / "a/checkpoint.npz").read_bytes() == kept
    assert run("rose", "--data", flowers, "--steps", 3, "--out", "a", "--overwrite") == 0
    assert checkpoint.read(small / "a/checkpoint.npz")[1]["t"] == 3


def test_leftovers_without_a_checkpoint_do_not_stand_in_the_way(small, flowers):
    (small / "a/figures").mkdir(parents=True)
    (small / "a/figures/morph.png").write_text("")
    (small / "a/log.jsonl").write_text("old\n")
    assert run("rose", "--data", flowers, "--steps", 2, "--out", "a") == 0
    assert not (small / "a/figures/morph.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["roze"], "no experiment 'roze'; choose one of: rose, sunflower, iris_calendula, flowers"),
        (["rose", "--batch-size", "0"], "batch size must be at least 1, got 0"),
        (["rose", "--batch-size", "x"], "invalid int value: 'x'.*--help"),
        (["rose", "--batch-size", "4000"], "4000"),
        (["rose", "--learning-rate", "nan"], "learning rate must be a number above 0"),
        (["rose", "--latent", "-3"], "latent size must be at least 1, got -3"),
        (["rose", "--kernel-size", "5"], "3 or 4, got 5"),
        (["rose", "--tv-weight", "2"], "between 0 and 1"),
        (["rose", "--epochs", "0"], "epochs must be at least 1"),
        (["rose", "--steps", "0"], "--steps must be at least 1, got 0"),
        (["rose", "--minutes", "nan"], "--minutes must be above 0, got nan"),
        (["rose", "--minutes", "0"], "--minutes must be above 0, got 0"),
        (["rose", "--minutes", "inf"], "--minutes must be above 0, got inf"),
        (["rose", "--threads", "0"], "--threads must be at least 1"),
        (["rose", "--seed", "-1"], "--seed must be at least 0"),
        (["rose", "--preview", "yes"], "invalid choice: 'yes'"),
        (["rose", "--track", "nothing.jpg"], r"there is no picture nothing\.jpg"),
        (["rose", "--speed"], "unrecognized arguments: --speed.*--help"),
        ([], "required: experiment"),
    ],
)
def test_a_mistake_of_the_users_is_explained(small, flowers, arguments, message):
    data = ["--data", str(flowers)] if arguments else []
    with pytest.raises(UserError, match=message):
        train.main(arguments + data)
    assert not (small / "runs").exists(), "nothing is begun"


def test_folders_that_are_not_as_they_should_be(small, flowers):
    with pytest.raises(UserError, match="nowhere"):
        run("rose", "--data", "nowhere")
    (small / "few/iris").mkdir(parents=True)
    (small / "few/iris/a.jpg").write_bytes(next((flowers / "iris").iterdir()).read_bytes())
    with pytest.raises(UserError, match="calendula"):
        run("iris_calendula", "--data", "few")
    (small / "text.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"^text\.jpg cannot be used; give --track a picture"):
        run("rose", "--data", flowers, "--track", "text.jpg")
    with pytest.raises(UserError, match=r"text\.jpg is a file; give --out a folder"):
        run("rose", "--data", flowers, "--out", "text.jpg")


def test_a_set_with_nothing_usable(small):
    (small / "bad/rose").mkdir(parents=True)
    for k in range(20):
        (small / f"bad/rose/{k}.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"none of the \d+ training images in bad can be used"):
        run("rose", "--data", "bad")


def test_one_image_is_learnt_and_said_to_be_alone(small, flowers, capsys):
    (small / "one/rose").mkdir(parents=True)
    (small / "one/rose/a.jpg").write_bytes(next((flowers / "rose").iterdir()).read_bytes())
    assert run("rose", "--data", "one", "--steps", 2, "--batch-size", 1) == 0
    assert "none can be held out" in capsys.readouterr().out
    assert "held_out" not in entries(small / "runs/rose")[-1]


def test_flowers_learns_from_anybodys_tree_and_skips_what_is_no_picture(small, flowers, capsys):
    for name in ("cats", "dogs"):
        (small / "pets" / name).mkdir(parents=True)
        for k, file in enumerate(sorted((flowers / "rose").iterdir())[:4]):
            (small / "pets" / name / f"{k}.jpg").write_bytes(file.read_bytes())
    (small / "pets/cats/broken.jpg").write_bytes(b"not a picture")
    assert run("flowers", "--data", "pets", "--steps", 3, "--batch-size", 3) == 0
    assert capsys.readouterr().out.count("broken.jpg") == 1


@pytest.mark.parametrize("steps", [1, 50])
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_a_run_that_diverges_is_stopped_and_not_saved(small, flowers, steps):
    with pytest.raises(UserError, match=r"the (loss|PSNR) is (nan|inf) after \d+ steps; try a --learning-rate below"):
        run("rose", "--data", flowers, "--steps", steps, "--learning-rate", 1e30)
    assert not (small / "runs/rose/checkpoint.npz").exists()


def test_a_picture_may_be_tracked_that_is_not_learnt(small, flowers):
    track = next((flowers / "sunflower").iterdir())
    assert run("rose", "--data", flowers, "--steps", 9, "--track", track, "--preview", "off") == 0
    with Image.open(small / "runs/rose/tracked.webp") as film:
        assert film.n_frames == 2, "after 8 steps, and at the end"


def test_limits():
    def limits(*arguments):
        return runs.Limits(EXPERIMENTS["rose"], train.parser().parse_args(["rose", *arguments]))

    assert limits("--steps", "40").progress(10, 7.0) == 0.25
    assert limits("--steps", "40", "--epochs", "2").progress(10, 1.0) == 0.5, "two epochs end before 40 steps do"
    assert limits("--steps", "40").progress(99, 7.0) == 1
    assert limits().progress(99, 10) == 10 / EXPERIMENTS["rose"].epochs
    half = limits("--minutes", "1")
    half.start = time.perf_counter() - 30
    assert half.progress(3, 7) == pytest.approx(0.5, abs=0.01)


def test_epochs_are_epochs_where_files_are_skipped_and_each_is_named_once(small, flowers, capsys, monkeypatch):
    monkeypatch.setattr(runs, "EVALUATED", 1)  # so that not all of them are met before the end
    (small / "some/rose").mkdir(parents=True)
    for k, file in enumerate(sorted((flowers / "rose").iterdir())):
        (small / f"some/rose/{k}.jpg").write_bytes(file.read_bytes())
        (small / f"some/rose/broken {k}.jpg").write_bytes(b"no picture")
    assert run("rose", "--data", "some", "--epochs", 2) == 0
    assert max(e["epoch"] for e in entries(small / "runs/rose")[1:]) == 2
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("skipped")]
    assert len(said) == len(set(said)) == len(list((small / "some/rose").glob("broken *")))


def test_the_rate_cools_down_and_epochs_are_shuffled_by_the_seed(small, flowers, monkeypatch):
    seen = []
    right = ImageGenerator.epoch

    def epoch(self, number, skip=0):
        seen.append((self.seed, number))
        return right(self, number, skip)

    monkeypatch.setattr(ImageGenerator, "epoch", epoch)
    run("rose", "--data", flowers, "--steps", 8, "--seed", 5)
    rates = [e["rate"] for e in entries(small / "runs/rose") if "loss" in e]
    assert rates == pytest.approx([cooldown(0.002, k / 8) * min(1, (k + 1) / 2) for k in range(8)])
    assert seen[:3] == [(5, 1), (5, 2), (5, 3)]
    run("rose", "--preset", "full", "--data", flowers, "--steps", 8, "--out", "warm")
    rates = [e["rate"] for e in entries(small / "warm") if "loss" in e]
    assert rates == pytest.approx([cooldown(0.003, k / 8) * min(1, (k + 1) / 3) for k in range(8)])


def test_the_preview_shows_the_tracked_image_and_its_reconstruction(small, flowers, monkeypatch):
    seen = []
    right = Preview.show

    def show(self, reconstruction, *rest, **last):
        seen.append((self.image, reconstruction))
        return right(self, reconstruction, *rest, **last)

    monkeypatch.setattr(Preview, "show", show)
    run("rose", "--data", flowers, "--steps", 3)
    first = split(image_files([flowers / "rose"]))[0][0]
    true = load_image(first, 32).astype(np.float32) / 255
    assert np.array_equal(seen[-1][0], true)
    model = AutoEncoder.load(small / "runs/rose/checkpoint.npz")
    assert np.array_equal(seen[-1][1], model.reconstruct(true[None])[0]), "the last frame shows the final weights"
    with Image.open(small / "runs/rose/tracked.webp") as film:
        assert film.n_frames == len(seen) == 1


def test_the_checkpoint_holds_adams_moments_by_name(small, flowers):
    run("rose", "--data", flowers, "--steps", 1)
    arrays, _ = checkpoint.read(small / "runs/rose/checkpoint.npz")
    names = {name for name in arrays if name[0] not in "mvf"}
    assert {name for name in arrays if name[0] == "m"} == {f"m.{name}" for name in names}
    for name in names:  # after one step m = 0.1 g and v = 0.01 g^2
        assert np.allclose(arrays[f"v.{name}"], arrays[f"m.{name}"] ** 2, rtol=1e-4, atol=1e-30)
        assert np.all(arrays[f"v.{name}"] >= 0)


def test_only_our_own_files_are_replaced(small, flowers):
    (small / "paper/figures").mkdir(parents=True)
    (small / "paper/figures/thesis.png").write_text("ten years of work")
    (small / "paper/notes.txt").write_text("and this")
    run("rose", "--data", flowers, "--steps", 2, "--out", "paper")
    run("rose", "--data", flowers, "--steps", 2, "--out", "paper", "--overwrite")
    assert (small / "paper/figures/thesis.png").read_text() == "ten years of work"
    assert (small / "paper/notes.txt").exists()


def test_a_species_whose_folder_is_empty_is_missing(small, flowers):
    (small / "half/calendula").mkdir(parents=True)
    (small / "half/iris").symlink_to(flowers / "iris")
    with pytest.raises(UserError, match="no pictures of calendula"):
        run("iris_calendula", "--data", "half")


@pytest.mark.parametrize(("name", "picture"), [("rose", "blend"), ("flowers", "histograms")])
def test_held_out_files_that_cannot_be_used_cost_only_their_sheet(small, flowers, name, picture):
    (small / "some/rose").mkdir(parents=True)
    for file in (flowers / "rose").iterdir():
        (small / "some/rose" / file.name).write_bytes(file.read_bytes())
    for file in split(image_files([small / "some/rose"]))[1]:
        file.write_bytes(b"no picture")
    assert run(name, "--data", "some", "--steps", 2) == 0
    drawn = {f.stem for f in (small / f"runs/{name}/figures").iterdir()}
    assert drawn == {"pairs_training", picture, "curves"}


SCRIPT = """
import sys
from scratch_ae import command, experiments, train
from tests.test_train import SMALL
experiments.EXPERIMENTS.update(SMALL)
command(train.main)
"""


def start(folder, *arguments, output=subprocess.PIPE):
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    environment.pop("DISPLAY", None)

    def listen() -> None:  # to Ctrl-C, which a shell's background job and all its children ignore
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen([sys.executable, "-u", "-c", SCRIPT, *map(str, arguments)], cwd=folder, env=environment,
                            stdout=output, stderr=subprocess.STDOUT, text=True, preexec_fn=listen)  # fmt: skip


def wait_for(process, text):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
    raise AssertionError("".join(lines))


def test_ctrl_c_saves_and_draws(tmp_path, flowers):
    process = start(tmp_path, "rose", "--data", flowers, "--epochs", 100_000)
    wait_for(process, ": training")
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130, output
    assert "Stopped and saved" in output
    assert "Traceback" not in output
    assert (tmp_path / "runs/rose/checkpoint.npz").exists()
    assert (tmp_path / "runs/rose/figures/curves.png").exists()
    assert (tmp_path / "runs/rose/tracked.webp").exists()


def test_ctrl_c_with_nobody_reading_any_more_still_saves(tmp_path, flowers):
    process = start(tmp_path, "rose", "--data", flowers, "--epochs", 100_000)
    wait_for(process, ": training")
    process.stdout.close()  # as when `| tee` dies of the same Ctrl-C
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert (tmp_path / "runs/rose/figures/curves.png").exists()


def test_a_second_ctrl_c_ends_at_once(tmp_path, flowers):
    process = start(tmp_path, "rose", "--data", flowers, "--epochs", 100_000)
    wait_for(process, ": training")
    process.send_signal(signal.SIGINT)
    wait_for(process, "Stopped and saved")
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode in (-signal.SIGINT, 130)  # while the network is still busy, or when figures are drawn
    assert "Traceback" not in output
    assert not (tmp_path / "runs/rose/figures/curves.png").exists()  # the last of them


def test_a_terminal_that_is_closed_does_not_end_the_training(tmp_path, flowers):
    ours, its = os.openpty()
    process = start(tmp_path, "rose", "--data", flowers, "--epochs", 30, output=its)
    os.close(its)
    said = b""
    while b": training" not in said:
        said += os.read(ours, 10_000)
    os.close(ours)  # what is written there now is an error, EIO
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "runs/rose/figures/curves.png").exists()


def test_in_a_thread_of_another_program_it_trains_as_well(small, flowers):
    with ThreadPoolExecutor(1) as pool:  # to which the system gives no signals
        assert pool.submit(run, "rose", "--data", flowers, "--steps", 2).result() == 0


def test_after_a_signal_the_program_around_it_has_its_own_way_again(small, flowers, monkeypatch):
    before, right = signal.getsignal(signal.SIGINT), runs.Run.step
    monkeypatch.setattr(runs.Run, "step", lambda *a: right(*a) or signal.raise_signal(signal.SIGINT))
    assert run("rose", "--data", flowers) == 130
    assert signal.getsignal(signal.SIGINT) is before is not signal.SIG_DFL


def test_pictures_that_come_or_go_in_mid_training_cost_no_figure(small, flowers, monkeypatch):
    shutil.copytree(flowers, "data")  # in the package's own place, where its cache must be no species
    right = runs.Run.step

    def step(self, images, rate):
        right(self, images, rate)
        shutil.copy("data/iris/00001.jpg", "data/rose/another.jpg")

    monkeypatch.setattr(runs.Run, "step", step)
    assert run("flowers", "--data", "data", "--epochs", 2) == 0
    assert (small / "runs/flowers/figures/curves.png").exists()
    os.unlink("data/rose/another.jpg")
    assert run("flowers", "--resume", "--epochs", 3) == 0
    assert any(Path("data/.cache").iterdir())


def test_links_that_lead_nowhere_or_to_themselves_are_skipped(small, flowers, capsys):
    shutil.copytree(flowers / "rose", "some/rose")
    os.symlink("round.jpg", "some/rose/round.jpg")
    os.symlink("nowhere.jpg", "some/rose/nothing.jpg")
    assert run("rose", "--data", "some", "--steps", 8) == 0
    assert "2 of the training files could not be used" in capsys.readouterr().out


def test_ctrl_c_before_training_begins(tmp_path):
    process = start(tmp_path, "flowers", "--epochs", 1)
    wait_for(process, "rendered flowers")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0].splitlines()[-1] == "Stopped."
    assert process.returncode == 130


def test_a_mistake_ends_with_one_line_and_exit_code_2(tmp_path):
    process = start(tmp_path, "rose", "--data", "nowhere")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 2
    assert output.startswith("Error: nowhere")
    assert len(output.splitlines()) == 1


def test_closed_streams_cost_nothing_but_what_they_would_say():
    for closed, said in ((">&-", "Error: there is no"), (">&- 2>&-", "")):
        call = ["sh", "-c", f"'{sys.executable}' -m scratch_ae.figures nowhere {closed}"]
        done = subprocess.run(call, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr[: len("Error: there is no")]) == (2, "", said)


def test_a_place_that_cannot_be_written_is_named(tmp_path, flowers):
    (tmp_path / "file").write_text("in the way")
    process = start(tmp_path, "rose", "--data", flowers, "--out", "file/run")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 2
    assert "Error:" in output
    assert "file" in output.splitlines()[-1]
    assert "Traceback" not in output


def test_a_run_says_where_the_network_is_and_when_held_out_images_were_best(small, capsys):
    log = [{"epoch": k, "held_out": {"psnr": psnr}} for k, psnr in enumerate((9, 12, 11), 1)]
    (small / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in [{"step": 1}, *log]))
    assert train.best_held_out(small) == (
        " Held-out images came out best after epoch 2, at 12.00 dB; since then it has been memorising."
    )
    (small / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log[:2]))
    assert train.best_held_out(small) == ""


@pytest.mark.parametrize(
    ("terminal", "term", "bar"), [(True, "xterm", True), (True, "dumb", False), (False, "xterm", False)]
)
def test_a_bar_is_drawn_only_where_lines_can_be_written_over(monkeypatch, terminal, term, bar):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("TERM", term)
    with runs.Progress() as progress:
        assert progress.bar.disable is not bar


def test_the_time_left_of_a_run_that_goes_on_counts_from_there(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(runs.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    with runs.Progress(0.9) as progress:
        now[0] = 60.0  # in which a hundredth of the whole was done
        progress.update(0.91, "going on")
    assert capsys.readouterr().out == " 91% going on, 9 min left\n"


def test_seed_and_augment_reach_what_they_should(small, flowers):
    for out, options in (("plain", []), ("moved", ["--augment"]), ("seed", ["--seed", 5, "--learning-rate", 1e-9])):
        run("rose", "--data", flowers, "--steps", 1, "--out", out, *options)
    assert entries(small / "plain")[1]["loss"] != entries(small / "moved")[1]["loss"]
    begun, saved = AutoEncoder(EXPERIMENTS["rose"], 5).parameters(), checkpoint.read("seed/checkpoint.npz")[0]
    assert all(np.allclose(saved[name], begun[name], atol=1e-6) for name in begun)


def test_the_preview_is_titled_and_tells_the_epoch(small, flowers, monkeypatch, capsys):
    titles, shown, begin, right = [], [], Preview.__init__, Preview.show

    def titled(self, image, title, *rest, **named):
        titles.append(title)
        begin(self, image, title, *rest, **named)

    monkeypatch.setattr(Preview, "__init__", titled)
    monkeypatch.setattr(Preview, "show", lambda self, drawn, *now: shown.append(now) or right(self, drawn, *now))
    run("rose", "--data", flowers, "--epochs", 2)
    assert shown[-1][:2] == (6, 2)
    assert "No preview window" in capsys.readouterr().out
    other = flowers / "iris/00000.jpg"
    run("rose", "--data", flowers, "--steps", 1, "--track", other, "--out", "b", "--preview", "off")
    assert titles == ["rose, a training image", "rose, 00000.jpg"]
    assert "preview" not in capsys.readouterr().out


def test_a_bar_and_lines_count_what_is_done(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(runs.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    with runs.Progress(0.9) as progress:
        for now[0] in (60.0, 61.0, 89.0):
            progress.update(0.91, "going on")
    assert capsys.readouterr().out.count("going on") == 1, "a line every half minute"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with runs.Progress(0.5) as progress:
        for done in (0.6, 0.8):
            progress.update(done, "")
        assert progress.bar.n == pytest.approx(0.8)


def test_a_line_that_meets_a_full_disk_is_no_reader_that_is_gone(monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runs.tqdm, "write", full)
    with pytest.raises(OSError, match="No space"):
        runs.say("a line")


@pytest.mark.parametrize(("last", "said"), [(11.85, True), (11.95, False)])
def test_that_it_memorises_is_said_from_a_tenth_of_a_decibel_on(small, last, said):
    log = [{"epoch": k, "held_out": {"psnr": psnr}} for k, psnr in enumerate((9, 12, last), 1)]
    (small / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
    assert bool(train.best_held_out(small)) == said


def test_versions_are_compared_as_numbers():
    assert [train.newer(version) for version in ("0.0.9", "0.1.0", "0.1.1", "0.10.0")] == [False, False, True, True]


def test_the_species_that_are_planted_are_those_of_the_experiment(small, monkeypatch):
    planted = []
    monkeypatch.setattr(garden, "plant", lambda folder, species, *_, **__: planted.append(species))
    for name in ("flowers", "iris_calendula"):
        train.find_data(EXPERIMENTS[name])
    assert planted == [tuple(garden.SPECIES), ("iris", "calendula")]


def test_every_limit_is_said(small, flowers, capsys):
    run("rose", "--data", flowers, "--steps", 1, "--epochs", 2, "--minutes", 3)
    assert "for 1 steps or 2 epochs or 3.0 minutes" in " ".join(capsys.readouterr().out.split())
