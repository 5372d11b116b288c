import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from scratch_ae import UserError, checkpoint, reference
from scratch_ae.experiments import EXPERIMENTS, Experiment
from scratch_ae.gradcheck import error, same
from scratch_ae.model import AutoEncoder

SMALL = Experiment("small", (), 16, (4, 6), latent=3)
IMAGES = np.random.default_rng(0).random((5, 16, 16, 3), dtype=np.float32)


def test_shapes_types_and_ranges():
    model = AutoEncoder(SMALL, threads=2)
    codes = model.encode(IMAGES)
    pictures = model.decode(codes)
    assert codes.shape == (5, 3)
    assert pictures.shape == IMAGES.shape
    assert codes.dtype == pictures.dtype == np.float32
    assert 0 < pictures.min() < pictures.max() < 1
    assert np.array_equal(model.reconstruct(IMAGES), pictures)


def test_images_do_not_see_each_other():
    model = AutoEncoder(SMALL, threads=2)
    alone = np.concatenate([model.reconstruct(IMAGES[k : k + 1]) for k in range(5)])
    assert np.allclose(model.reconstruct(IMAGES), alone, atol=1e-6)
    assert model.reconstruct(IMAGES[:0]).shape == (0, 16, 16, 3)


@pytest.mark.parametrize("kernel_size", [3, 4])
def test_the_network_is_what_the_loops_say(kernel_size):
    """The whole of it once more, from the reference and the formulas: architecture, mirroring, kernel size, loss."""
    experiment = replace(SMALL, kernel_size=kernel_size, tv_weight=0.3)
    model = AutoEncoder(experiment, seed=5, threads=2, dtype=np.float64)
    p = model.parameters()
    x = y = IMAGES[:3].astype(np.float64)
    for k in (0, 1):
        y = np.maximum(reference.correlate(y, p[f"{k}.w"], 2, "same") + p[f"{k}.b"], 0)
    codes = y.reshape(3, -1) @ p["3.w"] + p["3.b"]
    y = np.maximum(codes @ p["4.w"] + p["4.b"], 0).reshape(3, 4, 4, 6)
    for k, side in ((7, 8), (8, 16)):
        assert p[f"{k}.w"].shape[0] == kernel_size
        y = np.maximum(reference.scatter(y, p[f"{k}.w"].swapaxes(2, 3), 2, "same", (side, side)) + p[f"{k}.b"], 0)
    y = 1 / (1 + np.exp(-(y @ p["9.w"][0, 0] + p["9.b"])))
    assert [p[f"{k}.w"].shape[3] for k in (7, 8)] == [6, 4], "the filters in mirrored order"
    assert np.allclose(model.encode(x), codes, rtol=1e-10)
    assert np.allclose(model.reconstruct(x), y, rtol=1e-10)
    dx, dy = np.zeros_like(y), np.zeros_like(y)
    dx[:, :, :-1], dy[:, :-1] = np.diff(y, axis=2), np.diff(y, axis=1)
    expected = 0.7 * ((y - x) ** 2).mean() + 0.3 * (np.sqrt(dx**2 + dy**2 + 1e-6) - 1e-3).mean()
    assert model.loss_and_gradients(x)[0] == pytest.approx(expected, rel=1e-10)


def test_weights_begin_as_he_et_al_say():
    p = AutoEncoder(EXPERIMENTS["rose"]).parameters()
    after_relu = {"2.w": 2 / (9 * 32), "14.w": 2 / (9 * 128 / 4), "7.w": 2 / 1024, "11.w": 2 / (9 * 256 / 4)}
    for name, variance in (after_relu | {"8.w": 1 / 32}).items():
        assert p[name].var() == pytest.approx(variance, rel=0.05), name
    assert np.allclose(p["0.b"], -0.5 * p["0.w"].sum((0, 1, 2)), atol=1e-6)
    assert not any(p[name].any() for name in p if name.endswith(".b") and name != "0.b")


def test_the_network_begins_linear_but_for_one_relu():
    """What goes into a pair of ReLUs comes out of it. Only the ReLU that reads the code has no pairs: layer 5."""
    model = AutoEncoder(SMALL, threads=1, dtype=np.float64)
    a, b = IMAGES[:1].astype(np.float64), IMAGES[1:2].astype(np.float64)
    first, second, between = model.encode(a), model.encode(b), model.encode((a + b) / 2)
    assert np.allclose(between, (first + second) / 2, rtol=1e-9)
    assert np.abs(first - second).max() > 0.1
    behind = [model.forward(model.layers[4:6], codes) for codes in (first, second)]
    drawn = [model.forward(model.layers[6:], y) for y in (*behind, (behind[0] + behind[1]) / 2)]
    logits = [np.log(y / (1 - y)) for y in drawn]
    assert np.allclose(logits[2], (logits[0] + logits[1]) / 2, rtol=1e-9)
    assert np.abs(logits[0] - logits[1]).max() > 0.1


@pytest.mark.parametrize("N", [1, 2, 5, 20])
def test_threads_change_nothing_but_the_rounding(N):
    images = np.random.default_rng(N).random((N, 16, 16, 3))
    models = [AutoEncoder(SMALL, threads=threads, dtype=np.float64) for threads in (3, 3, 2, 1)]
    first, second, *others = (model.loss_and_gradients(images) for model in models)
    assert same(first, second), "equal to the bit for the same number of threads"
    for value, gradients in others:
        assert value == pytest.approx(first[0], rel=1e-12)
        assert all(error(gradients[name], first[1][name]) < 1e-12 for name in gradients)
    assert all(same(models[0].reconstruct(images), model.reconstruct(images)) for model in models[1:])


def test_memory_that_is_kept_is_seen_by_nobody():
    """Gradients stay what they were when the next batch comes, and a batch does not see the one before."""
    model, fresh = AutoEncoder(SMALL, threads=2), AutoEncoder(SMALL, threads=2)
    first = model.loss_and_gradients(IMAGES)
    before = copy.deepcopy(first)
    second = model.loss_and_gradients(IMAGES[:3] ** 2)
    assert same(first, before)
    assert same(second, fresh.loss_and_gradients(IMAGES[:3] ** 2))
    assert same(model.loss_and_gradients(IMAGES), before)


def test_two_callers_at_once_do_not_mix():
    model = AutoEncoder(SMALL, threads=2)
    batches = [IMAGES, IMAGES[:4] / 2, IMAGES[::-1] ** 2]
    wanted = [model.loss_and_gradients(batch) for batch in batches]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(10):
            assert same(list(pool.map(model.loss_and_gradients, batches)), wanted)


def test_a_batch_gives_the_mean_of_its_images():
    images = np.random.default_rng(1).random((33, 16, 16, 3))  # many shards
    model = AutoEncoder(SMALL, threads=2, dtype=np.float64)
    value, gradients = model.loss_and_gradients(images)
    parts = [model.loss_and_gradients(images[k : k + 1]) for k in range(33)]
    assert value == pytest.approx(np.mean([part[0] for part in parts]), rel=1e-12)
    for name, gradient in gradients.items():
        assert np.allclose(gradient, np.mean([part[1][name] for part in parts], axis=0), rtol=1e-9, atol=1e-15)


def test_the_seed_decides_the_weights():
    a, b, c = (AutoEncoder(SMALL, seed) for seed in (1, 1, 2))
    assert same(a.parameters(), b.parameters())
    assert not same(a.parameters(), c.parameters())


def test_save_and_load(tmp_path):
    model = AutoEncoder(replace(SMALL, kernel_size=4, channels=1, tv_weight=0.5), seed=3)
    model.save(tmp_path / "m.npz")
    loaded = AutoEncoder.load(tmp_path / "m.npz")
    assert loaded.experiment == model.experiment
    assert same(loaded.parameters(), model.parameters())


@pytest.mark.parametrize("change", [{"filters": [4, 8]}, {"latent": 5}, {"size": 8}, {"filters": [4, 6, 8]}])
def test_load_refuses_arrays_of_another_shape(tmp_path, change):
    model = AutoEncoder(SMALL)
    model.save(tmp_path / "m.npz")
    arrays, header = checkpoint.read(tmp_path / "m.npz")
    header["experiment"].update(change)
    checkpoint.write(tmp_path / "m.npz", arrays, header)
    with pytest.raises(UserError, match="does not hold the network"):
        AutoEncoder.load(tmp_path / "m.npz")


def test_load_refuses_a_header_of_another_version(tmp_path):
    other = {"experiment": {"name": "a", "depth": 3}}
    for header, message in (({}, "does not say which"), (other, "m.npz was written by another version.*depth")):
        checkpoint.write(tmp_path / "m.npz", {}, header)
        with pytest.raises(UserError, match=message):
            AutoEncoder.load(tmp_path / "m.npz")


@pytest.mark.parametrize(("name", "parameters"), [("rose", 2_621_411), ("sunflower", 1_379_781)])
def test_summary_counts_every_parameter(name, parameters):
    model = AutoEncoder(EXPERIMENTS[name])
    lines = model.summary().splitlines()
    assert len(lines) == len(model.layers) + 3
    assert str(parameters) in lines[-1]
    assert sum(p.size for p in model.parameters().values()) == parameters
    assert max(map(len, lines)) <= 80, "a terminal of 80 columns would break the table"


def test_what_the_network_was_not_made_for_is_refused():
    model = AutoEncoder(SMALL)
    for method in (model.encode, model.reconstruct, model.loss_and_gradients):
        with pytest.raises(ValueError, match=r"AutoEncoder: .*\(1, 15, 15, 3\), wanted \(N, 16, 16, 3\)"):
            method(np.zeros((1, 15, 15, 3), np.float32))
        with pytest.raises(ValueError, match=r"images are of type uint8, wanted floating-point numbers in \[0,1\]"):
            method(np.zeros((1, 16, 16, 3), np.uint8))
    with pytest.raises(ValueError, match="without images"):
        model.loss_and_gradients(IMAGES[:0])
    with pytest.raises(ValueError, match=r"Dense 3 -> 96: .*wanted \(N, 3\)"):
        AutoEncoder(SMALL).decode(np.zeros((1, 4)))
