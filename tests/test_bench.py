"""What the benchmark says is true: contenders compute the same, counts are right, the table is what was timed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from scratch_ae import UserError, bench, ladder, peers
from scratch_ae.experiments import EXPERIMENTS, Experiment
from scratch_ae.model import AutoEncoder
from scratch_ae.parallel import Team

SMALL = Experiment("small", (), 16, (4, 6), latent=3, batch_size=2)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "rose", SMALL)
    monkeypatch.setattr(bench, "SLEEP", 0)
    monkeypatch.setattr(bench, "installed", lambda name: name == "scratch_ae")


def test_operations_are_those_of_the_products():
    """Counted again from the shapes that the layers see."""
    model, x, total = AutoEncoder(SMALL, threads=1), np.zeros((2, 16, 16, 3), np.float32), 0
    for layer in model.layers:
        y = layer.forward(x)
        if hasattr(layer, "w"):
            pixels = min(x.size // x.shape[-1], y.size // y.shape[-1])  # where a kernel is laid down
            total += 2 * pixels * layer.w.size * (2 if layer is model.layers[0] else 3)
        x = y
    assert bench.flops(model, 2) == total


def test_the_table_of_a_race_without_peers(small, tmp_path, capsys):
    assert bench.main(["--only", "step", "--quick", "--batch-size", "2", "--json", str(tmp_path / "b.json")]) == 0
    out = capsys.readouterr().out
    assert "PyTorch NCHW: absent" in out
    assert "scratch_ae: loss 0e+00 and gradients 0e+00 from ours" in out
    found = json.loads((tmp_path / "b.json").read_text())
    assert found["environment"]["numpy"] == np.__version__
    ours, limit = found["rows"]
    assert (ours["contender"], limit["contender"], ours["batch"]) == ("scratch_ae", "limit", 2)
    assert ours["ratio_to_limit"] == pytest.approx(ours["median_ms"] / limit["median_ms"])
    assert ours["ratio_to_fastest_peer"] is None
    assert 0 < ours["peak_mib"] < 5000


def test_decoding_is_timed_without_a_limit(small, monkeypatch, capsys):
    monkeypatch.delattr(bench, "product_rate")
    bench.main(["--only", "decode", "--quick"])
    assert "decode" in capsys.readouterr().out


def test_the_ladder_writes_no_file():
    with pytest.raises(UserError, match="not allowed with"):
        bench.main(["--ladder", "--json", "b.json"])


def test_a_file_that_cannot_be_written_is_found_before_all_work(tmp_path):
    with pytest.raises(FileNotFoundError):
        bench.main(["--json", str(tmp_path / "nowhere/b.json")])


def test_ratios_are_those_of_medians(capsys):
    times = {"scratch_ae": [10.0, 8.0, 9.0], "PyTorch NCHW": [30.0, 30.0], "Keras tf.function": [18.0, 18.0]}
    times["limit"] = [6.0, 6.0]
    rows = bench.table("rose", 32, 2, times, {"scratch_ae": 100.0}, 9e9, "step")
    assert [row["ratio_to_fastest_peer"] for row in rows] == [0.5, pytest.approx(30 / 18), 1, pytest.approx(6 / 18)]
    assert [row["ratio_to_limit"] for row in rows] == [1.5, 5, 3, 1]
    assert rows[0]["spread_ms"] == 2, "from the first quartile to the third"
    assert " 1000 " in capsys.readouterr().out, "9 GFLOP in 9 ms"


def test_a_contender_that_computes_something_else_is_not_timed():
    for loss, gradients in ((0.0, 0.1), (1.0, 0.0), (0.0, float("nan")), (float("nan"), 0.0)):
        off = {"loss": loss, "gradients": gradients}
        with pytest.raises(UserError, match="fast computes something else"):
            bench.check(SimpleNamespace(name="fast", ask=lambda off=off: off))


def test_rounding_is_no_disagreement():
    bench.check(SimpleNamespace(name="fast", ask=lambda: {"loss": 9e-4, "gradients": 9e-4}))
    with pytest.raises(UserError):
        bench.check(SimpleNamespace(name="fast", ask=lambda: {"loss": 0, "gradients": 2e-3}))


def test_contenders_are_compared_before_the_clock_starts(small, monkeypatch):
    monkeypatch.setattr(bench, "AGREEMENT", -1)
    with pytest.raises(UserError, match="computes something else"):
        bench.main(["--only", "step", "--quick", "--batch-size", "2"])


def test_the_limit_is_the_operations_at_the_speed_of_a_product(small, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(bench, "seconds", lambda work: 2.0)
        assert bench.product_rate(1) == 2048**3, "a product takes 2 n^3 operations"
    monkeypatch.setattr(bench, "product_rate", lambda threads: 1e9)
    bench.main(["--only", "step", "--quick", "--batch-size", "2", "--json", str(tmp_path / "b.json")])
    limit = json.loads((tmp_path / "b.json").read_text())["rows"][1]
    assert limit["median_ms"] == pytest.approx(bench.flops(AutoEncoder(SMALL), 2) / 1e6)


@pytest.mark.parametrize(
    ("given", "cases"),
    [
        ({}, [(name, N, 2) for N in (32, 8) for name in EXPERIMENTS] + [("rose", 32, 1)]),
        ({"batch_size": 5}, [(name, 5, 2) for name in EXPERIMENTS] + [("rose", 5, 1)]),
        ({"experiment": "sunflower", "threads": 3}, [("sunflower", 32, 3)]),
        ({"quick": True, "threads": 1}, [("rose", 32, 1)]),
    ],
)
def test_what_is_timed(monkeypatch, given, cases):
    monkeypatch.setattr(bench, "processors", lambda: 2)
    monkeypatch.setattr(bench, "race", lambda *case: [case[:3]])
    options = {"threads": None, "quick": False, "experiment": None, "batch_size": None}
    assert bench.steps(SimpleNamespace(**options | given)) == cases


def test_the_ladder_multiplies_what_was_timed_on_a_small_image(monkeypatch, capsys):
    monkeypatch.setattr(ladder, "seconds", lambda work: 1.0)
    bench.main(["--ladder", "--threads", "2"])
    times = {line.split()[0]: line.split()[-2:] for line in capsys.readouterr().out.splitlines() if line}
    assert (times["Line"], times["Seven"]) == (["1000.0", "1.21"], ["512000.0", "0.00"])


def test_a_wrong_gradient_is_seen_through_the_pipe(tmp_path):
    model, images = AutoEncoder(SMALL, threads=1), np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    right = model.loss_and_gradients
    model.loss_and_gradients = lambda x: (right(x)[0], {name: 1.01 * g for name, g in right(x)[1].items()})
    peers.write_job(tmp_path / "job.npz", model, images)
    process = peers.Process("scratch_ae", tmp_path / "job.npz", 1)
    try:
        assert process.ask() == {"loss": 0, "gradients": pytest.approx(0.01 / 1.01, rel=1e-3)}
        assert len(process.ask("step 2")) == 2
    finally:
        process.end()


def test_a_contender_that_dies_while_it_waits_is_missed(tmp_path):
    peers.write_job(tmp_path / "job.npz", AutoEncoder(SMALL, threads=1), np.ones((2, 16, 16, 3), np.float32))
    process = peers.Process("scratch_ae", tmp_path / "job.npz", 1)
    process.ask()
    process.process.kill()
    process.process.wait()
    with pytest.raises(UserError, match="scratch_ae ended: no message"):
        process.ask("step 2")
    process.end()
    assert all(stream.closed for stream in (process.process.stdin, process.process.stdout, process.errors))


def test_a_contender_that_dies_says_why(tmp_path):
    (tmp_path / "job.npz").write_bytes(b"nothing")
    process = peers.Process("scratch_ae", tmp_path / "job.npz", 1)
    with pytest.raises(UserError, match=r"scratch_ae ended: .*job\.npz"):
        process.ask()
    process.end()


def test_for_pytorch_every_array_is_turned_and_none_is_lost():
    model = AutoEncoder(SMALL, threads=1)
    arrays = list(model.parameters().values())
    turned = peers.for_torch(model, arrays)
    assert [np.sort(a, None).tolist() for a in turned] == [np.sort(a, None).tolist() for a in arrays]
    assert np.array_equal(turned[0][:, :, 0, 0], arrays[0][2, 2].T)
    assert turned[4].shape == (3, 6 * 4 * 4)
    assert turned[6].shape == (6 * 4 * 4, 3)


@pytest.mark.parametrize("arguments", [["--threads", "0"], ["--batch-size", "-1"]])
def test_foolish_numbers_are_refused(arguments):
    with pytest.raises(UserError, match=r"must be at least 1"):
        bench.main(arguments)


def test_every_rung_of_the_ladder_is_the_convolution():
    x, w, b = ladder.case(np.random.default_rng(3), 3, 7, 8, 5, 4)
    expected = ladder.loops(x.astype(float), w.astype(float), b.astype(float))
    threaded = ladder.on_threads(Team(2))
    for rung in (ladder.compiled, ladder.filters_innermost, ladder.one_product, ladder.in_registers, threaded):
        assert np.allclose(rung(x, w, b), expected, rtol=1e-5, atol=1e-6), rung.__name__
    assert 0.2 < (expected == 0).mean() < 0.8, "the ReLU has something to do"
