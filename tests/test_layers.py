"""Derivatives on small arrays, and what they do not say: errors, shapes, types, and the size that signals keep."""

import copy

import numpy as np
import pytest

from scratch_ae.gradcheck import check_layer, rejected_by
from scratch_ae.layers import Conv2D, ConvTranspose2D, Dense, Kept, ReLU, Reshape, Sigmoid

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (Conv2D(3, 5, 3, 2, "same", RNG), (2, 7, 8, 3), (2, 4, 4, 5)),
        (Conv2D(3, 5, 3, 2, "valid", RNG), (2, 7, 8, 3), (2, 3, 3, 5)),
        (ConvTranspose2D(3, 5, 3, 2, "same", RNG), (2, 3, 4, 3), (2, 6, 8, 5)),
        (ConvTranspose2D(3, 5, 4, 2, "same", RNG), (2, 3, 4, 3), (2, 6, 8, 5)),
        (ConvTranspose2D(3, 5, 3, 2, "valid", RNG), (2, 3, 4, 3), (2, 7, 9, 5)),
        (Conv2D(3, 5, 3, 2, "valid", RNG), (2, 3, 3, 3), (2, 1, 1, 5)),
        (Dense(6, 4, RNG), (3, 6), (3, 4)),
        (Reshape(2, 3), (4, 6), (4, 2, 3)),
        (ReLU(), (2, 3, 4), (2, 3, 4)),
        (Sigmoid(), (5,), (5,)),
    ],
    ids=str,
)
def test_output_shapes(layer, shape, expected):
    x = RNG.normal(size=shape)
    y = layer.forward(x)
    assert y.shape == expected
    assert layer.backward(np.ones_like(y)).shape == shape


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Conv2D(3, 5, 3, 2, "same", RNG), (2, 7, 8, 4), r"Conv2D 3 -> 5.*input.*\(2, 7, 8, 4\), wanted \(N, H, W, 3\)"),
        (Conv2D(3, 5, 3, 2, "same", RNG), (7, 8, 3), r"Conv2D.*\(7, 8, 3\), wanted \(N, H, W, 3\)"),
        (ConvTranspose2D(3, 5, 4, 2, "same", RNG), (2, 3, 4, 5), r"ConvTranspose2D 3 -> 5.*\(2, 3, 4, 5\), wanted"),
        (Conv2D(3, 5, 3, 2, "valid", RNG), (2, 2, 8, 3), r"Conv2D.*\(2, 2, 8, 3\), wanted an image as large as"),
        (Dense(6, 4, RNG), (3, 4), r"Dense 6 -> 4.*\(3, 4\), wanted \(N, 6\)"),
        (Reshape(2, 3), (4, 7), r"Reshape to 2 x 3.*\(4, 7\), wanted 6 numbers an image"),
    ],
)
def test_a_wrong_input_is_named_with_the_layer_and_both_shapes(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.forward(np.zeros(shape))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Conv2D(3, 5, 3, 2, "same", RNG), (2, 7, 8, 3)),
        (ConvTranspose2D(3, 5, 3, 2, "same", RNG), (2, 3, 4, 3)),
        (Dense(6, 4, RNG), (3, 6)),
        (Reshape(2, 3), (4, 6)),
        (ReLU(), (2, 3)),
        (Sigmoid(), (2, 3)),
    ],
    ids=str,
)
def test_a_wrong_upstream_gradient_is_refused(layer, shape):
    y = layer.forward(np.zeros(shape))
    with pytest.raises(ValueError, match=rf"{str(layer).split()[0]}.*the gradient has the shape.*wanted"):
        layer.backward(np.zeros((*y.shape, 1)))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Conv2D(2, 3, 3, 2, "same", RNG, relu=True), (2, 5, 4, 2)),
        (Conv2D(2, 3, 2, 1, "valid", RNG), (2, 3, 4, 2)),
        (ConvTranspose2D(3, 2, 3, 2, "same", RNG), (2, 2, 3, 3)),
        (ConvTranspose2D(3, 2, 4, 2, "valid", RNG, relu=True), (2, 2, 2, 3)),
        (Dense(3, 4, RNG), (2, 3)),
        (ReLU(), (2, 3, 2, 2)),
        (Sigmoid(), (2, 3)),
        (Reshape(6), (2, 3, 2)),
    ],
    ids=str,
)
def test_backward_is_the_derivative_of_forward(layer, shape):
    """On small arrays; `python -m scratch_ae.gradcheck` takes more kinds, and the network at its real size."""
    if hasattr(layer, "b"):
        layer.b = RNG.normal(size=layer.b.shape)
    x = RNG.normal(size=shape)
    gy = RNG.normal(size=copy.copy(layer).forward(x).shape)
    assert rejected_by(check_layer(layer, x, gy)) == []


@pytest.mark.parametrize("cls", [Conv2D, ConvTranspose2D])
def test_a_layer_that_cannot_be_is_not_built(cls):
    for K, S, padding, why in ((3, 0, "same", "at least 1"), (0, 1, "same", "at least 1"), (3, 2, "sam", "'sam'")):
        with pytest.raises(ValueError, match=why):
            cls(2, 3, K, S, padding, RNG)


@pytest.mark.parametrize(("K", "S"), [(3, 1), (3, 2), (4, 2)])
@pytest.mark.parametrize("cls", [Conv2D, ConvTranspose2D])
def test_he_weights_keep_the_size_of_the_signal(cls, K, S):
    """The mean square after a ReLU stays near that before; a fan-in of K*K*C would lose S*S a transposed layer."""
    rng = np.random.default_rng(3)
    side = 8
    for _ in range(10):
        x = rng.normal(size=(2, side, side, 64))
        y = ReLU().forward(cls(64, 64, K, S, "same", rng).forward(x))
        inside = y[:, 2:-2, 2:-2] if y.shape[1] > 4 else y
        assert 0.7 < (inside**2).mean() / (x**2).mean() < 1.4


@pytest.mark.parametrize("cls", [Conv2D, ConvTranspose2D])
def test_a_relu_inside_is_a_relu_behind(cls):
    together, apart = (cls(3, 5, 3, 2, "same", np.random.default_rng(1), relu=relu) for relu in (True, False))
    together.b = apart.b = RNG.normal(size=5)
    x, relu = RNG.normal(size=(2, 7, 8, 3)), ReLU()
    y = together.forward(x)
    gy = RNG.normal(size=y.shape)
    assert np.array_equal(y, relu.forward(apart.forward(x)))
    assert np.array_equal(together.backward(gy), apart.backward(relu.backward(gy)))
    assert np.array_equal(together.gw, apart.gw)
    assert np.array_equal(together.gb, apart.gb)
    assert str(together) == str(apart) + ", ReLU"


def test_what_a_layer_returned_stays_as_it_was():
    for layer in (Conv2D(3, 5, 3, 2, "same", RNG), ConvTranspose2D(3, 5, 3, 2, "same", RNG), Sigmoid(), ReLU()):
        x = RNG.normal(size=(2, 4, 4, 3))
        y = layer.forward(x)
        gx = layer.backward(y)
        before = y.copy(), gx.copy()
        layer.backward(2 * layer.forward(2 * x))
        assert np.array_equal(before[0], y)
        assert np.array_equal(before[1], gx)


def test_kept_memory_serves_every_size():
    kept = Kept()
    large = kept("y", (4, 3), np.dtype(np.float32))
    assert kept("y", (2, 3), np.dtype(np.float32)).base is large.base
    assert kept("gx", (4, 3), np.dtype(np.float32)).base is not large.base
    assert kept("y", (4, 3), np.dtype(np.float32)).base is large.base
    assert kept("y", (5, 3), np.dtype(np.float32)).shape == (5, 3)
    assert kept("y", (5, 3), np.dtype(np.float64)).dtype == np.float64


def test_the_first_layer_has_weight_gradients_alone():
    first, other = (Conv2D(3, 5, 3, 2, "same", np.random.default_rng(1), first=first) for first in (True, False))
    x = RNG.normal(size=(2, 7, 8, 3))
    y = first.forward(x)
    other.forward(x)
    assert first.backward(y).size == 0
    assert other.backward(y).shape == x.shape
    assert np.array_equal(first.gw, other.gw)


def test_float32_stays_float32():
    layer = Conv2D(2, 3, 3, 2, "same", RNG)
    layer.w, layer.b = layer.w.astype(np.float32), layer.b.astype(np.float32)
    y = layer.forward(np.ones((1, 4, 4, 2), np.float32))
    gx = layer.backward(y)
    assert {a.dtype for a in (y, gx, layer.gw, layer.gb)} == {np.dtype(np.float32)}


@pytest.mark.filterwarnings("error")
def test_sigmoid_never_overflows_and_nothing_hides_what_is_not_a_number():
    x = np.array([-1e4, -800, -90, 0, 90, 800, 1e4])
    assert Sigmoid().forward(x).tolist() == [0, 0, pytest.approx(np.exp(-90), rel=1e-12), 0.5, 1, 1, 1]
    assert Sigmoid().forward(x.astype(np.float32)).tolist()[-2:] == [1, 1]
    for layer in (Sigmoid(), ReLU()):
        y = layer.forward(np.array([np.nan, 1.0, -1.0]))
        assert np.isnan(y).tolist() == [True, False, False]
        assert np.isnan(layer.backward(np.array([1.0, np.nan, np.nan]))).tolist()[1:] == [True, True]
