"""Every kernel against the loops, or against the formula that its docstring gives, over random shapes."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config, njit

from scratch_ae import kernels, reference
from scratch_ae.gradcheck import error

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12, np.complex128: 1e-12}  # by norms, against the loops in float64

shapes = st.tuples(*(st.integers(1, n) for n in (3, 9, 9, 4, 4)))  # N, H, W, C, F
paddings = st.sampled_from(["same", "valid"])


def numbers(rng, shape, dtype):
    values = rng.normal(size=shape)
    return (values + 1j * rng.normal(size=shape) if dtype is np.complex128 else values).astype(dtype)


def assert_all_equal_the_loops(dtype, shape, K, S, padding, relu, seed):
    """Both convolutions, forward and backward, with bias and perhaps ReLU, against the loops."""
    N, H, W, C, F = shape
    if padding == "valid":
        H, W = max(H, K), max(W, K)
    rng = np.random.default_rng(seed)
    x, w, bx, by = (numbers(rng, s, dtype) for s in ((N, H, W, C), (K, K, C, F), (C,), (F,)))

    def rectified(z):
        return np.where(z.real > 0, z, 0) if relu else z

    y, v = kernels.correlate(x, w, S, padding, by, relu), w.swapaxes(2, 3)
    z = kernels.scatter(y, v, S, padding, (H, W), bx, relu)
    to_y, to_z = np.full_like(y, 7), np.full_like(z, 7)  # what an array held before does not matter
    assert np.array_equal(kernels.correlate(x, w, S, padding, by, relu, to_y), y)
    assert np.array_equal(kernels.scatter(y, v, S, padding, (H, W), bx, relu, to_z), z)
    assert np.array_equal(to_y, y)
    assert np.array_equal(to_z, z)
    gy, gz = numbers(rng, y.shape, dtype), numbers(rng, z.shape, dtype)
    before = [a.copy() for a in (x, w, y, z, gy, gz)]
    gx, gw, g, gv = (np.full_like(a, 7, order="C") for a in (x, w, y, v))
    gb = kernels.correlate_backward(x, w, y, gy, S, padding, relu, gx, gw)
    gc = kernels.scatter_backward(y, v, z, gz, S, padding, relu, g, gv)
    assert all(np.array_equal(a, b) for a, b in zip(before, (x, w, y, z, gy, gz), strict=True))
    if relu:
        gy, gz = np.where(y.real > 0, gy, 0), np.where(z.real > 0, gz, 0)
    for ours, loops in (
        (y, rectified(reference.correlate(x, w, S, padding) + by)),
        (gx, reference.scatter(gy, w, S, padding, (H, W))),
        (gw, reference.correlate_weights(x, gy, K, S, padding)),
        (gb, gy.sum((0, 1, 2))),
        (z, rectified(reference.scatter(y, w, S, padding, (H, W)) + bx)),
        (g, reference.correlate(gz, w, S, padding)),
        (gv, reference.correlate_weights(gz, y, K, S, padding).swapaxes(2, 3)),
        (gc, gz.sum((0, 1, 2))),
    ):
        assert ours.dtype == dtype
        assert ours.shape == loops.shape
        assert error(ours, loops) <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(shapes, st.integers(1, 4), st.integers(1, 3), paddings, st.booleans(), st.integers(0, 2**32))
def test_convolutions_equal_the_loops(dtype, shape, K, S, padding, relu, seed):
    assert_all_equal_the_loops(dtype, shape, K, S, padding, relu, seed)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("shape", "K", "S"),
    [
        ((1, 3, 4, 9, 33), 3, 2),  # more channels than a panel holds, in and out
        ((1, 4, 3, 40, 8), 2, 1),  # two panels here, and a full narrow one there
        ((19, 2, 4, 2, 3), 3, 2),  # small images side by side, in more than one line
        ((2, 2, 37, 1, 2), 3, 1),  # more pixels than a line of small images, and no multiple of a tile's rows
        ((5, 3, 5, 2, 2), 1, 3),  # pixels that no kernel touches
    ],
)
def test_wide_lines_and_many_channels(dtype, shape, K, S):
    assert_all_equal_the_loops(dtype, shape, K, S, "same", True, 0)
    assert_all_equal_the_loops(dtype, shape, K, S, "valid", False, 1)


def test_where_weights_are_many_more_images_stand_in_a_line(monkeypatch):
    """They are compared with each image alone, since the loops would take minutes."""
    rng, N, C, F = np.random.default_rng(0), 50, 150, 200
    if config.DISABLE_JIT:  # then a few are as good: what is compiled already, would not look at MANY again
        C, F = 3, 4
        monkeypatch.setattr(kernels, "MANY", 1)
    x, w, b = rng.normal(size=(N, 3, 2, C)), rng.normal(size=(3, 3, C, F)), rng.normal(size=F)
    assert w.size >= kernels.MANY

    def assert_together_as_alone(forward, backward, *size):
        def work(part):
            y = forward(x[part], w, 2, "same", *size, b, True)
            gy = np.random.default_rng(1).normal(size=(N, *y.shape[1:]))[part]
            gx, gw = np.empty_like(x[part]), np.empty_like(w)
            return y, gx, gw, backward(x[part], w, y, gy, 2, "same", True, gx, gw)

        y, gx, gw, gb = work(slice(N))
        ys, gxs, gws, gbs = zip(*(work(slice(n, n + 1)) for n in range(N)), strict=True)
        assert np.array_equal(y, np.concatenate(ys))
        assert np.array_equal(gx, np.concatenate(gxs))
        assert error(gw, sum(gws)) < 1e-12
        assert error(gb, sum(gbs)) < 1e-12

    assert_together_as_alone(kernels.correlate, kernels.correlate_backward)
    assert_together_as_alone(kernels.scatter, kernels.scatter_backward, (6, 4))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("width", kernels.WIDTHS)
def test_the_tile_is_a_product_for_every_number_of_rows(dtype, width):
    """Compiled, it is written in another language than the function that says what it means."""

    def call(rows, y, a, b, length):
        kernels.tile(width, rows, y, (3, 50), a, (5, 9, 2), b, (1, 40), length)

    if not config.DISABLE_JIT:
        call = njit(call)
    rng = np.random.default_rng(0)
    for rows in range(1, kernels.ROWS + 1):
        for length in (0, 1, 4):
            y, a, b = (numbers(rng, (n,), dtype) for n in (500, 100, 250))
            expected = y.copy()
            for r in range(rows):
                for v in range(width):
                    expected[3 + 50 * r + v] += sum(a[5 + 9 * r + 2 * k] * b[1 + 40 * k + v] for k in range(length))
            call(rows, y, a, b, length)
            assert error(y, expected) <= TOLERANCE[dtype]
            assert np.array_equal(y[:3], expected[:3]), "nothing before the tile is touched"


def test_what_is_not_a_number_reaches_the_gradients():
    """A gradient of nan that the ReLU turned into 0 would hide a diverged network."""
    x, w, gx, gw = np.ones((1, 4, 4, 1)), -np.ones((3, 3, 1, 1)), np.empty((1, 4, 4, 1)), np.empty((3, 3, 1, 1))
    y = kernels.correlate(x, w, 2, "same", None, True)
    assert not y.any()
    kernels.correlate_backward(x, w, y, np.full_like(y, np.nan), 2, "same", True, gx, gw)
    assert np.isnan(gw).all()
    assert np.isnan(kernels.correlate(x * np.nan, w, 2, "same", None, True)).all()


def test_without_more_there_is_no_bias_and_no_relu():
    rng = np.random.default_rng(0)
    x, w, y = rng.normal(size=(1, 4, 3, 2)), rng.normal(size=(3, 3, 2, 5)), rng.normal(size=(1, 2, 2, 5))
    assert error(kernels.correlate(x, w, 2, "same"), reference.correlate(x, w, 2, "same")) < 1e-12
    spread = kernels.scatter(y, w.swapaxes(2, 3), 2, "same", (4, 3))
    assert error(spread, reference.scatter(y, w, 2, "same", (4, 3))) < 1e-12


def test_shapes_that_do_not_fit_are_refused():
    """The loops of Python would notice; compiled ones would read and write beside the arrays."""
    x, w = np.ones((1, 4, 4, 2)), np.ones((3, 3, 3, 8))
    with pytest.raises(ValueError, match=r"x has 2 channels, wanted 3, since w has the shape \(3, 3, 3, 8\)"):
        kernels.correlate(x, w, 1, "same")
    for y, size in ((np.ones((1, 4, 4, 3)), (20, 20)), (np.ones((1, 4, 4, 2)), (8, 8))):
        with pytest.raises(ValueError, match=r"y has the shape .*, wanted \(N, (10, 10|4, 4), 3\)"):
            kernels.scatter(y, w, 2, "same", size)


def test_channels_fill_whole_tiles_and_tiles_whole_registers():
    assert [kernels.tiled(n) for n in (1, 8, 9, 16, 17, 32, 33, 64, 65)] == [8, 8, 16, 16, 32, 32, 64, 64, 96]
    assert (kernels.ROWS, kernels.BITS) in ((8, 512), (6, 256))
    assert all(width * 32 % min(kernels.BITS, width * 32) == width * 32 % 256 == 0 for width in kernels.WIDTHS)


@pytest.mark.parametrize("exchange", [False, True])
@pytest.mark.parametrize(
    ("F", "apart", "width"), [(3, True, 8), (8, True, 8), (12, False, 16), (33, True, 32), (33, False, 64)]
)
@pytest.mark.parametrize(("C", "rows"), [(5, 5), (5, 8), (32, 32)])
def test_panels_hold_each_weight_once_and_else_zeros(C, rows, F, apart, width, exchange):
    w = np.random.default_rng(C).normal(size=(2, 2, F, C) if exchange else (2, 2, C, F))
    w = w.swapaxes(2, 3) if exchange else w
    expected = np.zeros((-(-F // width), 2, 2, rows, width))
    for p, q, c, f in np.ndindex(w.shape):
        expected[f // width, p, q, c, f % width] = w[p, q, c, f]
    np.full((len(expected), 2, 2, rows, width), np.nan)  # its memory is taken next, and has to be cleared
    assert np.array_equal(kernels.panels(w, rows, apart), expected)


@pytest.mark.parametrize("C", [3, 16])  # in one case the tile is wider than the channels, in the other not
def test_the_weights_gradient_goes_to_any_array(C):
    """It is summed in place, unless that array holds numbers of another type, or numbers that lie apart."""
    rng = np.random.default_rng(C)
    x, y = rng.normal(size=(2, 4, 5, C)), rng.normal(size=(2, 2, 3, C))
    right = reference.correlate_weights(x, y, 3, 2, "same")
    for backward, of, to, expected in (
        (kernels.correlate_backward, x, y, right), (kernels.scatter_backward, y, x, right.swapaxes(2, 3)),
    ):  # fmt: skip
        plain, other = (np.full(right.shape, 7, dtype) for dtype in (float, np.float32))
        apart = np.full((3, 3, C, 2 * C), 7.0)
        for gw in (plain, other, apart[..., ::2]):
            backward(of, np.ones_like(right), to, to, 2, "same", False, np.empty_like(of), gw)
        assert error(plain, expected) < 1e-12
        assert np.array_equal(other, plain.astype(np.float32))  # summed in float64, rounded once
        assert np.array_equal(apart[..., ::2], plain)
        assert (apart[..., 1::2] == 7).all()


@pytest.mark.parametrize("writable", [True, False])
def test_compiled_code_is_kept_where_it_can_be(writable):
    """Where no folder can be written to, numba refuses to keep it, and so to start."""
    code = f"""
import tempfile
def refused(*_, **__): raise PermissionError("read-only")
if not {writable}:
    tempfile.TemporaryFile = refused  # with which numba tries a folder
from scratch_ae import kernels
print(kernels.tiled.stats.cache_path is not None, kernels.tiled(9))
"""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "0"}
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{writable} 16\n"


def test_nobody_needs_a_home():
    """As in a container whose user is in no list of users."""
    code = """
import os, pwd
def nobody(*_): raise KeyError
pwd.getpwuid = nobody
os.environ.pop("HOME", None), os.environ.pop("XDG_CACHE_HOME", None)
import scratch_ae.kernels
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("wide", "expected"), [(True, (8, 512)), (False, (6, 256))])
def test_either_width_of_registers(wide, expected, tmp_path):
    """As a processor with AVX-512 compiles it, and one without; the latter runs everywhere."""
    code = f"""
import llvmlite.binding
features = llvmlite.binding.get_host_cpu_features()
has = features.get("avx512f")
features["avx512f"] = {wide}
llvmlite.binding.get_host_cpu_features = lambda: features
import numpy as np
from scratch_ae import kernels, reference
print(kernels.ROWS, kernels.BITS)
if has or not {wide}:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, 7, 19, 3)).astype("f"), rng.normal(size=(3, 3, 3, 40)).astype("f")
    right = reference.correlate(x, w, 2, "same")
    assert np.linalg.norm(kernels.correlate(x, w, 2, "same") - right) < 1e-5 * np.linalg.norm(right)
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    assert tuple(map(int, done.stdout.split())) == expected
