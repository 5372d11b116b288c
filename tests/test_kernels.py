"""Every kernel against the loops, or against the formula that its docstring gives, over random shapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratch_ae import kernels, reference
from scratch_ae.gradcheck import error

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12, np.complex128: 1e-12}  # by norms, against the loops in float64

shapes = st.tuples(*(st.integers(1, n) for n in (3, 9, 9, 4, 4)))  # N, H, W, C, F


@pytest.mark.parametrize("dtype", TOLERANCE)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(shapes, st.integers(1, 4), st.integers(1, 3), st.sampled_from(["same", "valid"]), st.integers(0, 2**32))
def test_convolutions_equal_the_loops(dtype, shape, K, S, padding, seed):
    N, H, W, C, F = shape
    if padding == "valid":
        H, W = max(H, K), max(W, K)
    rng = np.random.default_rng(seed)
    x, w = numbers(rng, (N, H, W, C), dtype), numbers(rng, (K, K, C, F), dtype)
    expected = reference.correlate(x, w, S, padding)
    y = numbers(rng, expected.shape, dtype)
    before = x.copy(), w.copy(), y.copy()
    results = [
        (kernels.correlate(x, w, S, padding), expected),
        (kernels.scatter(y, w, S, padding, (H, W)), reference.scatter(y, w, S, padding, (H, W))),
        (kernels.correlate_weights(x, y, K, S, padding), reference.correlate_weights(x, y, K, S, padding)),
    ]
    for ours, loops in results:
        assert ours.dtype == dtype
        assert ours.shape == loops.shape
        assert error(ours, loops) <= TOLERANCE[dtype]
    assert all(np.array_equal(a, b) for a, b in zip(before, (x, w, y), strict=True))


def numbers(rng, shape, dtype):
    values = rng.normal(size=shape)
    return (values + 1j * rng.normal(size=shape) if dtype is np.complex128 else values).astype(dtype)


def test_a_batch_is_packed_in_several_pieces(monkeypatch):
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(5, 8, 8, 2)), rng.normal(size=(3, 3, 2, 4))
    y = kernels.correlate(x, w, 2, "same")
    whole = y, kernels.scatter(y, w, 2, "same", (8, 8)), kernels.correlate_weights(x, y, 3, 2, "same")
    monkeypatch.setattr(kernels, "CACHED_BYTES", 2 * 4 * 4 * 9 * 2 * 8)  # two images at a time, and one left over
    pieces = [rows.shape for _, rows in kernels.packed(x, 3, 2, "same")]
    assert pieces == [(32, 18), (32, 18), (16, 18)]
    parts = (
        kernels.correlate(x, w, 2, "same"),
        kernels.scatter(y, w, 2, "same", (8, 8)),
        kernels.correlate_weights(x, y, 3, 2, "same"),
    )
    assert all(error(a, b) < 1e-14 for a, b in zip(parts, whole, strict=True))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_relu_and_sigmoid_and_their_derivatives(dtype):
    rng = np.random.default_rng(2)
    x, gy = (numbers(rng, (1000,), dtype) * 8 for _ in range(2))
    x[:3] = 0, -3, 3
    wide = x.astype(np.complex128)
    positive = wide.real > 0
    assert np.array_equal(kernels.relu(x), np.where(positive, x, 0))
    assert np.array_equal(kernels.relu_backward(kernels.relu(x), gy), np.where(positive, gy, 0))
    s = 1 / (1 + np.exp(-wide))
    assert error(kernels.sigmoid(x), s) < TOLERANCE[dtype]
    y = kernels.sigmoid(x)
    assert error(kernels.sigmoid_backward(y, gy), gy * s * (1 - s)) < TOLERANCE[dtype]


@pytest.mark.filterwarnings("error")
def test_sigmoid_never_overflows():
    x = np.array([-1e4, -800, -90, 0, 90, 800, 1e4])
    y = kernels.sigmoid(x)
    assert y.tolist() == [0, 0, pytest.approx(np.exp(-90), rel=1e-12), 0.5, 1, 1, 1]
    assert kernels.sigmoid(x.astype(np.float32)).tolist()[-2:] == [1, 1]
    assert np.isnan(kernels.sigmoid(np.array([np.nan]))[0])


def test_relu_keeps_what_is_not_a_number():
    assert np.isnan(kernels.relu(np.array([np.nan, 1.0]))[0]), "a nan that turns into 0 would hide a diverged network"
