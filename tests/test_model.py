from dataclasses import replace

import numpy as np
import pytest

from scratch_ae import UserError, checkpoint
from scratch_ae.experiments import EXPERIMENTS, Experiment
from scratch_ae.gradcheck import same
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


@pytest.mark.parametrize("N", [2, 5, 20])
def test_any_number_of_threads_gives_the_same_bits(N):
    images = np.random.default_rng(N).random((N, 16, 16, 3), dtype=np.float32)
    results = [AutoEncoder(SMALL, threads=threads).loss_and_gradients(images) for threads in (1, 2, 3, 2)]
    assert all(same(results[0], other) for other in results[1:])


def test_a_batch_gives_the_mean_of_its_images():
    model = AutoEncoder(SMALL, threads=2, dtype=np.float64)
    value, gradients = model.loss_and_gradients(IMAGES)
    parts = [model.loss_and_gradients(IMAGES[k : k + 1]) for k in range(5)]
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


@pytest.mark.parametrize(("name", "parameters"), [("rose", 2_907_811), ("sunflower", 1_666_181)])
def test_summary_counts_every_parameter(name, parameters):
    model = AutoEncoder(EXPERIMENTS[name])
    lines = model.summary().splitlines()
    assert len(lines) == len(model.layers) + 3
    assert str(parameters) in lines[-1]
    assert sum(p.size for p in model.parameters().values()) == parameters
    assert max(map(len, lines)) <= 80, "a terminal of 80 columns would break the table"


def test_a_picture_of_another_size_is_refused_by_the_layer_that_it_does_not_fit():
    with pytest.raises(ValueError, match=r"Reshape to 96: the input has the shape .* wanted 96 numbers an image"):
        AutoEncoder(SMALL).encode(np.zeros((1, 32, 32, 3), np.float32))
    with pytest.raises(ValueError, match=r"Dense 3 -> 96: .*wanted \(N, 3\)"):
        AutoEncoder(SMALL).decode(np.zeros((1, 4)))
