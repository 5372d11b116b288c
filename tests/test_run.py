"""A run that is stopped, in whatever way, goes on to the bit; and what cannot go on says why."""

import errno
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from scratch_ae import UserError, checkpoint, figures, train
from scratch_ae import run as runs
from scratch_ae.data import image_files, split
from scratch_ae.experiments import EXPERIMENTS
from scratch_ae.model import AutoEncoder
from scratch_ae.parallel import processors
from tests import kill
from tests.test_train import entries, flowers, run, small, start, wait_for  # noqa: F401  (fixtures among them)


class Struck(Exception):
    """Something that training does not expect, as a power cut."""


@pytest.fixture
def struck_in_step(monkeypatch):
    """Makes the next run end in a given step."""
    right = runs.Run.step

    def strike(at):
        def step(self, images, rate):
            if self.adam.t + 1 == at:
                monkeypatch.setattr(runs.Run, "step", right)
                self.log.close()  # as the system does for a process that dies
                raise Struck
            right(self, images, rate)

        monkeypatch.setattr(runs.Run, "step", step)

    monkeypatch.setattr(runs, "SAVED", 2)
    return strike


@pytest.fixture
def stopped_after(monkeypatch):
    """Makes the next run get a signal after a given step."""
    right = runs.Run.step

    def stop(at):
        def step(self, images, rate):
            right(self, images, rate)
            if self.adam.t == at:
                signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(runs.Run, "step", step)

    return stop


@pytest.mark.parametrize("at", [3, 6, 8, 11])  # in mid-epoch after a save, in the next epochs, in the last step
@pytest.mark.parametrize("options", [(), ("--augment",)])
def test_what_goes_on_ends_with_the_same_bits(small, flowers, struck_in_step, at, options):  # noqa: F811
    for k in range(3):
        (flowers / f"rose/{k} broken.jpg").write_bytes(b"no picture")
    arguments = ("rose", "--data", flowers, "--steps", 11, "--threads", 2, *options)
    run(*arguments, "--out", "whole")
    struck_in_step(at)
    with pytest.raises(Struck):
        run(*arguments, "--out", "struck")
    assert checkpoint.read("struck/checkpoint.npz")[1]["t"] < at
    assert run("rose", "--out", "struck", "--resume") == 0  # data, steps and threads are those that it began with
    for k in range(3):
        (flowers / f"rose/{k} broken.jpg").unlink()
    assert kill.differing(kill.state(small / "whole"), kill.state(small / "struck")) == []
    assert (small / "struck/checkpoint.before.npz").exists()


def test_ctrl_c_and_going_on_is_as_never_stopped(small, flowers, stopped_after):  # noqa: F811
    arguments = ("iris_calendula", "--data", flowers, "--epochs", 2, "--threads", 2)
    run(*arguments, "--out", "whole")
    stopped_after(4)
    assert run(*arguments, "--out", "a") == 128 + signal.SIGTERM
    assert (small / "a/figures/curves.png").exists()
    assert len([e for e in entries(small / "a") if "training" in e]) == 1
    assert run("iris_calendula", "--out", "a", "--resume") == 0
    assert kill.differing(kill.state(small / "whole"), kill.state(small / "a")) == []


@pytest.mark.parametrize("moment", ["step", "evaluate"])
def test_a_signal_at_the_very_end_changes_nothing(small, flowers, monkeypatch, moment):  # noqa: F811
    arguments = ("rose", "--data", flowers, "--steps", 4, "--threads", 2)
    run(*arguments, "--out", "whole")
    right = getattr(runs.Run, moment)

    def signalled(self, *rest):
        if moment == "evaluate" or self.adam.t == 3:
            signal.raise_signal(signal.SIGTERM)
        return right(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(runs.Run, moment, signalled)
        patch.setattr(runs.Stop, "come", lambda self, number, _: setattr(self, "signal", number))
        assert run(*arguments, "--out", "a") in (0, 128 + signal.SIGTERM)
    assert run("rose", "--out", "a", "--resume") == 0
    assert kill.differing(kill.state(small / "whole"), kill.state(small / "a")) == []


def test_a_signal_after_an_epoch_that_is_not_evaluated_loses_nothing(small, flowers, monkeypatch):  # noqa: F811
    monkeypatch.setattr(runs, "HUNDREDTH", 0.9)
    right = runs.Run.done

    def signalled(self):
        if (self.epoch, self.batches) == (2, 0):
            signal.raise_signal(signal.SIGTERM)
        return right(self)

    with monkeypatch.context() as patch:
        patch.setattr(runs.Run, "done", signalled)
        patch.setattr(runs.Stop, "come", lambda self, number, _: setattr(self, "signal", number))
        assert run("rose", "--data", flowers, "--epochs", 4, "--out", "a") == 128 + signal.SIGTERM
    header = checkpoint.read("a/checkpoint.npz")[1]
    assert (header["t"], header["epoch"], header["batches"]) == (3, 2, 0)


def test_a_run_that_is_made_longer_is_evaluated_on(small, flowers, monkeypatch):  # noqa: F811
    monkeypatch.setattr(runs, "STEPS", 999)
    run("rose", "--data", flowers, "--epochs", 2)
    run("rose", "--resume", "--epochs", 5)
    assert [e["epoch"] for e in entries(small / "runs/rose") if "training" in e] == [1, 2, 3, 4, 5]


def test_the_tracked_picture_is_tracked_on_and_pictures_may_move(small, flowers):  # noqa: F811
    track = next((flowers / "sunflower").iterdir())
    shutil.copytree(flowers, small / "old")
    for out in ("whole", "a"):
        run("rose", "--data", "old", "--steps", 9, "--track", track, "--out", out)
    (small / "a/tracked.webp").unlink()
    (small / "old").rename(small / "new")
    other = next(file for file in (small / "new/rose").iterdir() if file.name != track.name)
    with pytest.raises(UserError, match=rf"the run in a tracks .*{track.name}; leave --track out"):
        run("rose", "--out", "a", "--resume", "--data", "new", "--track", other)
    twin = shutil.copy(other, small / track.name)  # the garden's pictures of each species have the same names
    with pytest.raises(UserError, match="leave --track out"):
        run("rose", "--out", "a", "--resume", "--data", "new", "--track", twin)
    assert run("rose", "--out", "a", "--resume", "--data", "new") == 0
    assert kill.differing(kill.state(small / "whole"), kill.state(small / "a")) == []
    (small / "new").rename(small / "newer")
    assert figures.main(["a", "newer"]) == 0


def test_a_finished_run_says_so_and_totals_are_totals(small, flowers, capsys):  # noqa: F811
    run("rose", "--data", flowers, "--steps", 4)
    (small / "runs/rose/figures/curves.png").unlink()
    log = (small / "runs/rose/log.jsonl").read_text()
    capsys.readouterr()
    assert run("rose", "--resume") == 0
    assert "The run in runs/rose is finished: 4 steps" in capsys.readouterr().out
    assert (small / "runs/rose/log.jsonl").read_text() == log
    assert (small / "runs/rose/figures/curves.png").exists(), "what was not drawn any more is drawn"
    assert run("rose", "--resume", "--steps", 6) == 0
    assert [e["step"] for e in entries(small / "runs/rose") if "loss" in e] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--latent", "8"], "was begun with latent 32, not 8"),
        (["--kernel-size", "4"], "was begun with kernel-size 3, not 4"),
        (["--seed", "1"], "was begun with seed 0, not 1"),
        (["--augment"], "was begun with augment False, not True"),
        (["--overwrite"], "give one of the two"),
        (["--data", "other"], "not those that the run in runs/rose began with"),
        (["--out", "nowhere"], "there is no nowhere/checkpoint.npz"),
    ],
)
def test_what_does_not_fit_the_run_is_refused(small, flowers, arguments, message):  # noqa: F811
    run("rose", "--data", flowers, "--steps", 2)
    shutil.copytree(flowers / "iris", small / "other/rose")
    before = kill.state(small / "runs/rose")
    with pytest.raises(UserError, match=message):
        run("rose", "--resume", *arguments)
    assert kill.differing(before, kill.state(small / "runs/rose")) == []


def test_another_experiments_run_a_newer_version_and_a_mere_network_are_refused(small, flowers):  # noqa: F811
    run("rose", "--data", flowers, "--steps", 2, "--out", "a")
    with pytest.raises(UserError, match="the run in a was begun with name rose, not sunflower"):
        run("sunflower", "--out", "a", "--resume")
    arrays, header = checkpoint.read("a/checkpoint.npz")
    for version in ("0.1.1", "0.10.0", "1.0"):
        checkpoint.write("a/checkpoint.npz", arrays, header | {"version": version})
        with pytest.raises(UserError, match=rf"written by scratch_ae {version}; this is 0\.1\.0"):
            run("rose", "--out", "a", "--resume")
    AutoEncoder(EXPERIMENTS["rose"]).save("a/checkpoint.npz")
    with pytest.raises(UserError, match="holds a network, but no run"):
        run("rose", "--out", "a", "--resume")


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_offered(small, flowers):  # noqa: F811
    run("rose", "--data", flowers, "--epochs", 2)
    out = small / "runs/rose"
    whole = kill.state(out)
    (out / "checkpoint.npz").write_bytes((out / "checkpoint.npz").read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"is damaged .* before it is runs/rose/checkpoint\.before\.npz: copy that"):
        run("rose", "--resume")
    (out / "checkpoint.npz").unlink()  # and then the one before it is not to be lost
    with pytest.raises(UserError, match=r"^There is no runs/rose/checkpoint\.npz\. The checkpoint before it is .*copy"):
        run("rose", "--resume")
    with pytest.raises(UserError, match="holds a trained network"):
        run("rose", "--data", flowers, "--epochs", 2)
    shutil.copy(out / "checkpoint.before.npz", out / "checkpoint.npz")
    assert run("rose", "--resume") == 0
    assert kill.differing(whole, kill.state(out)) == []


@pytest.mark.skipif(runs.fcntl is None, reason="no locks on this system")
def test_a_folder_in_use_is_left_alone(small, flowers):  # noqa: F811
    run("rose", "--data", flowers, "--steps", 2)
    kept = (small / "runs/rose/log.jsonl").read_bytes()
    with open(small / "runs/rose/log.jsonl", "a") as log:
        runs.fcntl.flock(log, runs.fcntl.LOCK_EX)
        for way in ("--resume", "--overwrite"):
            with pytest.raises(UserError, match="runs/rose is in use by another run"):
                run("rose", "--data", flowers, "--steps", 4, way)
    assert (small / "runs/rose/log.jsonl").read_bytes() == kept
    assert run("rose", "--steps", 4, "--resume") == 0


def test_a_full_disk_costs_nothing_that_was_saved(small, flowers, monkeypatch):  # noqa: F811
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runs, "SAVED", 2)
    run("rose", "--data", flowers, "--steps", 3, "--out", "whole")
    with monkeypatch.context() as patch:
        evaluate = runs.Run.evaluate
        patch.setattr(runs.Run, "evaluate", lambda *a: patch.setattr(np, "savez", full) or evaluate(*a))
        with pytest.raises(UserError, match=r"No space left on device\. What was saved before is whole: .*--resume"):
            run("rose", "--data", flowers, "--steps", 3, "--out", "a")
    assert not (small / "a/checkpoint.npz.part").exists()
    assert checkpoint.read("a/checkpoint.npz")[1]["t"] == 2
    assert run("rose", "--out", "a", "--resume") == 0
    assert kill.differing(kill.state(small / "whole"), kill.state(small / "a")) == []


def test_what_goes_on_to_fewer_steps_than_it_has_is_judged_all_the_same(small, flowers, stopped_after):  # noqa: F811
    stopped_after(5)
    assert run("rose", "--data", flowers, "--steps", 11) == 128 + signal.SIGTERM
    for _ in range(2):  # once
        assert run("rose", "--resume", "--steps", 4) == 0
        log = entries(small / "runs/rose")
        assert [entry["step"] for entry in log if "all" in entry] == [5]
        assert "all" in log[-1]
    assert checkpoint.read("runs/rose/checkpoint.npz")[1]["evaluated"] == [1, 5]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_log_that_meets_a_full_disk_says_what_to_do(small, flowers, monkeypatch):  # noqa: F811
    begin = runs.Run.begin

    def filled(self, *arguments):
        begin(self, *arguments)
        self.log.close()
        self.log = open("/dev/full", "a", buffering=1)  # noqa: SIM115

    monkeypatch.setattr(runs.Run, "begin", filled)
    with pytest.raises(UserError, match=r"No space left on device\. Mend this, and begin again\."):  # nothing was saved
        run("rose", "--data", flowers, "--steps", 3)


def test_minutes_that_are_over_do_not_begin_anew(small, flowers, capsys):  # noqa: F811
    run("rose", "--data", flowers, "--minutes", 0.001)
    log = (small / "runs/rose/log.jsonl").read_bytes()
    capsys.readouterr()
    assert run("rose", "--resume") == 0
    assert "The run in runs/rose is finished" in capsys.readouterr().out
    assert (small / "runs/rose/log.jsonl").read_bytes() == log
    assert run("rose", "--resume", "--minutes", 0.02) == 0
    assert (small / "runs/rose/log.jsonl").read_bytes() > log


def test_files_that_are_left_out_are_named_when_it_goes_on(small, flowers, capsys):  # noqa: F811
    shutil.copytree(flowers, "some")
    for file in split(image_files(["some/rose"]))[0][:2]:
        file.write_bytes(b"no picture")
    run("rose", "--data", "some", "--steps", 9)
    capsys.readouterr()
    run("rose", "--resume", "--steps", 12)
    assert "2 files that could not be used before are left out again." in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_the_layer_that_first_was_not_finite_is_named(small, flowers, monkeypatch):  # noqa: F811
    right = runs.Run.step

    def step(self, images, rate):
        if self.adam.t == 2:
            self.model.parameters()["1.w"][0, 0, 0, 0] = np.nan
        right(self, images, rate)

    monkeypatch.setattr(runs, "SAVED", 1)
    monkeypatch.setattr(runs.Run, "step", step)
    with pytest.raises(UserError, match=r"loss is nan after 2 steps.*: layer 1, Conv2D 8 -> 16.* has weights that are"):
        run("rose", "--data", flowers, "--steps", 5)
    assert checkpoint.read("runs/rose/checkpoint.npz")[1]["t"] == 2
    model = AutoEncoder(EXPERIMENTS["rose"])
    images = np.ones((1, 32, 32, 3), np.float32)
    assert model.first_not_finite(images) == "every layer is finite"
    model.parameters()["3.w"][...] = 3e38
    assert model.first_not_finite(images).startswith("layer 3, Dense 1024 -> 32, is the first whose output")


def test_sigterm_saves_draws_and_exits_143(tmp_path, flowers):  # noqa: F811
    process = start(tmp_path, "rose", "--data", flowers, "--epochs", 100_000)
    wait_for(process, ": training")
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 143, output
    assert (tmp_path / "runs/rose/figures/curves.png").exists()


def test_runs_killed_outright_go_on_to_the_bit():
    """Three of the kinds of moments; `python -m tests.kill` does twenty."""
    assert kill.kills(3) == 0


def test_a_tracked_picture_that_is_gone_is_asked_for_where_it_is_now(small, flowers):  # noqa: F811
    for folder in ("here", "there/here"):
        (small / folder).mkdir(parents=True)
        shutil.copy(flowers / "rose/00000.jpg", small / folder / "mine.jpg")
    run("rose", "--data", flowers, "--steps", 2, "--track", "here/mine.jpg")
    (small / "here/mine.jpg").unlink()
    with pytest.raises(UserError, match=r"here/mine\.jpg cannot be used; give --track where the picture is now"):
        run("rose", "--resume", "--steps", 4)
    assert run("rose", "--resume", "--steps", 4, "--track", "there/here/mine.jpg") == 0


def test_seed_and_threads_of_a_run_are_kept(small, flowers, struck_in_step):  # noqa: F811
    arguments = ("rose", "--data", flowers, "--steps", 5, "--seed", 7, "--threads", processors() + 1)
    run(*arguments, "--out", "whole")
    struck_in_step(4)
    with pytest.raises(Struck):
        run(*arguments, "--out", "struck")
    assert run("rose", "--out", "struck", "--resume") == 0
    assert kill.differing(kill.state(small / "whole"), kill.state(small / "struck")) == []
    assert checkpoint.read("whole/checkpoint.npz")[1]["threads"] == processors() + 1


def test_another_number_of_threads_is_said(small, flowers, capsys):  # noqa: F811
    run("rose", "--data", flowers, "--steps", 2, "--threads", 2)
    for threads, said in ((2, False), (1, True)):
        capsys.readouterr()
        run("rose", "--resume", "--threads", threads)
        assert ("It began with --threads 2; with 1 the last bits differ." in capsys.readouterr().out) == said


@pytest.mark.parametrize(
    ("begun", "options", "message"),
    [
        (False, ["--steps", 1], "holds a trained network now"),
        (True, ["--resume", "--steps", 9], "another run has continued in runs/rose"),
    ],
)
def test_a_run_that_has_ended_since_we_looked(small, flowers, monkeypatch, begun, options, message):  # noqa: F811
    run("rose", "--data", flowers, "--steps", 3, "--out", "other")
    if begun:
        run("rose", "--data", flowers, "--steps", 2)
    right = runs.Run.open

    def late(self, out):
        right(self, out)
        shutil.copy("other/checkpoint.npz", out)

    monkeypatch.setattr(runs.Run, "open", late)
    with pytest.raises(UserError, match=message):
        run("rose", "--data", flowers, *options)


def test_a_run_that_is_replaced_is_gone_at_once(small, flowers, struck_in_step):  # noqa: F811
    run("rose", "--data", flowers, "--steps", 6)
    struck_in_step(1)
    with pytest.raises(Struck):
        run("rose", "--data", flowers, "--steps", 6, "--overwrite")
    assert {path.name for path in Path("runs/rose").iterdir()} == {"figures", "log.jsonl"}


def test_weights_that_are_not_finite_are_not_saved(small, flowers, monkeypatch):  # noqa: F811
    right = runs.Run.step

    def step(self, images, rate):
        right(self, images, rate)
        if self.adam.t == 2:
            self.model.parameters()["3.b"].fill(np.inf)

    monkeypatch.setattr(runs, "SAVED", 2)
    monkeypatch.setattr(runs.Run, "step", step)
    with pytest.raises(UserError, match="not all weights are finite after 2 steps"):
        run("rose", "--data", flowers, "--steps", 5)
    assert not checkpoint.there(Path("runs/rose"))


def test_minutes_that_are_over_at_once_allow_one_batch(small, flowers, monkeypatch):  # noqa: F811
    monkeypatch.setattr(runs.Limits, "progress", lambda *_: 1.0)
    assert run("rose", "--data", flowers, "--minutes", 1) == 0
    assert [entry["step"] for entry in entries(small / "runs/rose") if "loss" in entry] == [1]


def test_minutes_are_those_of_training(small, flowers, monkeypatch):  # noqa: F811
    done = []
    monkeypatch.setattr(train, "describe", lambda experiment, preset, limits: setattr(limits, "start", -1e6))
    monkeypatch.setattr(train, "train", lambda run: done.append(run.done()) or 0)
    with pytest.raises(UserError):  # since nothing is saved
        run("rose", "--data", flowers, "--minutes", 10)
    assert done[0] < 0.5


def test_a_file_system_without_locks(small, flowers, monkeypatch):  # noqa: F811
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(runs.fcntl, "flock", refuse)
    assert run("rose", "--data", flowers, "--steps", 1) == 0


def test_a_run_goes_on_from_another_working_folder(small, flowers, monkeypatch, tmp_path_factory):  # noqa: F811
    shutil.copytree(flowers, "some")
    run("rose", "--data", "some", "--steps", 2, "--track", next(Path("some/iris").iterdir()))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert run("rose", "--out", small / "runs/rose", "--resume", "--steps", 3) == 0


def test_the_log_is_on_the_disk_before_the_checkpoint_that_counts_its_lines(small, flowers, monkeypatch):  # noqa: F811
    synced, right = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: right(number) or synced.append(os.fstat(number).st_ino))
    run("rose", "--data", flowers, "--steps", 1, "--no-cache")
    assert synced == [Path(f"runs/rose/{name}").stat().st_ino for name in ("log.jsonl", "checkpoint.npz")]
