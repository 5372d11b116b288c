"""Every kernel against the loops, or against the formula that its docstring gives, over random shapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratch_ae import kernels, reference
from scratch_ae.gradcheck import error

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12, np.complex128: 1e-12}  # by norms, against the loops in float64

shapes = st.tuples(*(st.integers(1, n) for n in (3, 9, 9, 4, 4)))  # N, H, W, C, F
paddings = st.sampled_from(["same", "valid"])


@pytest.mark.parametrize("dtype", TOLERANCE)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(shapes, st.integers(1, 4), st.integers(1, 3), paddings, st.integers(0, 2**32))
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


@pytest.mark.parametrize("K", [1, 2, 3, 4])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    shapes, st.integers(1, 3), st.sampled_from(["same", "valid"]), st.integers(1, 3000), st.booleans(), st.booleans()
)
def test_parts_bias_and_relu_change_nothing_else(K, shape, S, padding, cached, relu, add):
    """Parts of any size, down to a line of an image, and written to arrays that hold something else."""
    N, H, W, C, F = (n + K - 1 if k in (1, 2) else n for k, n in enumerate(shape))
    rng = np.random.default_rng(cached)
    x, w = rng.normal(size=(N, H, W, C)), rng.normal(size=(K, K, C, F))
    ax = reference.correlate(x, w, S, padding)
    y, bx, by = rng.normal(size=ax.shape), rng.normal(size=C), rng.normal(size=F)
    ay, aw = reference.scatter(y, w, S, padding, (H, W)), reference.correlate_weights(x, y, K, S, padding)

    def after(z, b):
        return np.maximum(z + b, 0) if relu else z + b

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "CACHED_BYTES", cached)
        out = [rng.normal(size=a.shape) for a in (ax, ay, aw, ax, aw)]
        sums = [a.copy() if add else np.zeros_like(a) for a in out]
        kernels.correlate(x, w, S, padding, by, relu, out[0])
        kernels.scatter(y, w, S, padding, (H, W), bx, relu, out[1])
        kernels.correlate_weights(x, y, K, S, padding, out[2], add)
        kernels.correlate_both(x, w, y, S, padding, out[3], out[4], add)
    for ours, loops in zip(out, (after(ax, by), after(ay, bx), aw + sums[2], ax, aw + sums[4]), strict=True):
        assert np.allclose(ours, loops, rtol=0, atol=1e-12 * max(1, np.abs(loops).max()))


def test_parts_are_equal_and_as_large_as_the_cache(monkeypatch):
    monkeypatch.setattr(kernels, "CACHED_BYTES", 100)
    whole = slice(0, 4)
    assert list(kernels.parts(5, 4, 10)) == [(slice(0, 1), whole), (slice(1, 3), whole), (slice(3, 5), whole)]
    assert list(kernels.parts(1, 4, 30)) == [(slice(0, 1), slice(0, 2)), (slice(0, 1), slice(2, 4))]
    assert list(kernels.parts(2, 1, 1000)) == [(slice(0, 1), slice(0, 1)), (slice(1, 2), slice(0, 1))]
    assert list(kernels.parts(0, 4, 10)) == []


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("relu", [True, False])
def test_the_bias_and_its_gradient(dtype, relu):
    rng = np.random.default_rng(4)
    x, b, gy = numbers(rng, (50, 3), dtype), numbers(rng, (3,), dtype), numbers(rng, (50, 3), dtype)
    y, gb = x.copy(), np.ones(3, dtype)
    kernels.add_bias(y, b, relu)
    passes = (x + b).real > 0 if relu else np.ones_like(x, bool)
    assert error(y, np.where(passes, x + b, 0)) < TOLERANCE[dtype]
    gz = kernels.before_bias(y, gy, gb, relu)
    assert np.array_equal(gz, np.where(passes, gy, 0))
    assert error(gb, gz.sum(0) + 1) < TOLERANCE[dtype]


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
    gx = np.empty_like(gy)
    kernels.sigmoid_backward(kernels.sigmoid(x), gy, gx)
    assert error(gx, gy * s * (1 - s)) < TOLERANCE[dtype]


@pytest.mark.filterwarnings("error")
def test_sigmoid_never_overflows():
    x = np.array([-1e4, -800, -90, 0, 90, 800, 1e4])
    y = kernels.sigmoid(x)
    assert y.tolist() == [0, 0, pytest.approx(np.exp(-90), rel=1e-12), 0.5, 1, 1, 1]
    assert kernels.sigmoid(x.astype(np.float32)).tolist()[-2:] == [1, 1]
    assert np.isnan(kernels.sigmoid(np.array([np.nan]))[0])


def test_relu_keeps_what_is_not_a_number():
    assert np.isnan(kernels.relu(np.array([np.nan, 1.0]))[0]), "a nan that turns into 0 would hide a diverged network"
