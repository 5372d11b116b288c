"""The fast path: the three maps of `reference.py`, compiled by numba, with a register tile inside.

A processor multiplies fast only what is in its registers. `tile` adds the product of a few rows and a panel of columns
to a small part of the result, which it holds in registers meanwhile. There is nothing else to gain, and the rest of
this file only feeds it numbers. For line i of an image, with the lines of x around it in the cache, that is:

    correlate_line:   y[j,f]       += sum_pqc  x[i*S+p, j*S+q, c] * w[p,q,c,f]
    scatter_line:     x[..., c]    += sum_f    y[j,f] * w[p,q,f,c]
    weights_line:     w[p,q,c,f]   += sum_j    x[i*S+p, j*S+q, c] * y[j,f]     (and the same for w[p,q,f,c])

The four functions after them go through the lines of all images: convolution forward and backward, transposed
convolution forward and backward. Bias and ReLU, and their gradients, are done while a line is in the cache anyway.
A 1x1 convolution without ReLU is a matrix product as it stands, and is left to BLAS.

Every function that numba caches is in this file, since its cache notices no change in another. They release
Python's lock, so that threads run side by side. float32, float64 and complex128 all work: the complex numbers are
there for the gradient checks, which is why squares are d*d and branches look at the real part. Their tile alone is
plain loops: another would take longer to compile than all the checks take.
"""

from collections.abc import Callable

import numpy as np
from llvmlite import ir  # a part of numba
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from .shapes import convolved

Size = tuple[int, int]
Bias = np.ndarray | None
Out = np.ndarray | None  # an array to write to, or None for a new one

# With AVX-512 a processor has 32 registers of 512 bits; with AVX2 alone, 16 of 256. A tile takes two for each of
# its rows, two for columns and one for a number of a row: 19, or 15.
ROWS, BITS = (8, 512) if get_host_cpu_features().get("avx512f") else (6, 256)
WIDTHS = 8, 16, 32  # columns of a tile: narrow ones are for layers with few channels
WIDE = WIDTHS[-1]
# Images narrower than a line stand in it side by side. A line reads all the weights, so it is longer where there are
# many, which have left the cache since the line before.
NARROW, LONG = 32, 96  # pixels of a line
MANY = 2**18  # weights
TINY = np.float32(1e-30)  # for Adam's moments: its root is far below eps


def compiled(function: Callable) -> Callable:
    """numba's njit, its code cached on disk for the next start unless no folder can be written to."""
    try:
        return njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:
        return njit(function, nogil=True, error_model="numpy")


# ------------------------------------------------------------------------------------------------- the tile


def tile(width, rows, y, y_at, a, a_at, b, b_at, length):
    """y[r,v] += sum_k a[r,k] * b[k,v] for r < rows <= ROWS, v < width, k < length; width is one of WIDTHS.

    The arrays are flat, and the tuples say where in them: y[r,v] is y[y_at[0] + r*y_at[1] + v], a[r,k] is
    a[a_at[0] + r*a_at[1] + k*a_at[2]], and b[k,v] is b[b_at[0] + k*b_at[1] + v]. This is what a call means, and what
    it does for complex numbers and with NUMBA_DISABLE_JIT=1; else, in compiled code, it becomes `registers`.
    """
    for r in range(rows):
        sums = y[y_at[0] + r * y_at[1] :][:width]
        for k in range(length):
            sums += a[a_at[0] + r * a_at[1] + k * a_at[2]] * b[b_at[0] + k * b_at[1] :][:width]


@overload(tile)
def compiled_tile(width, rows, y, y_at, a, a_at, b, b_at, length):
    def loops(width, rows, y, y_at, a, a_at, b, b_at, length):  # numba makes slow code of slices
        for r in range(rows):
            for k in range(length):
                one = a[a_at[0] + r * a_at[1] + k * a_at[2]]
                for v in range(width):
                    y[y_at[0] + r * y_at[1] + v] += one * b[b_at[0] + k * b_at[1] + v]

    def call(width, rows, y, y_at, a, a_at, b, b_at, length):
        registers(width, rows, y, y_at, a, a_at, b, b_at, length)  # type: ignore[call-arg]

    return loops if y.dtype in types.complex_domain else call


@intrinsic
def registers(typing, width, rows, y, y_at, a, a_at, b, b_at, length):
    """The tile in the compiler's own language (LLVM IR): no loop in Python makes a compiler keep y in registers.

    Each width and number of rows has code of its own, and a jump leads to the right one.
    """

    def generate(context, builder, signature, values):
        end = builder.append_basic_block("end")
        jump = builder.switch(builder.add(builder.mul(values[1], integer(64)), values[0]), end)  # 64 is above any width
        for columns in WIDTHS:
            for count in range(1, ROWS + 1):
                block = builder.append_basic_block(f"{count}_rows_{columns}_columns")
                jump.add_case(integer(64 * count + columns), block)
                builder.position_at_end(block)
                unrolled(context, builder, signature.args, values, columns, count)
                builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(width, rows, y, y_at, a, a_at, b, b_at, length), generate


def integer(n):
    return ir.Constant(ir.IntType(64), n)


def unrolled(context, builder, kinds, values, width, rows):
    """Write the code of a tile: for a few columns at a time, sums in vector registers, a loop over k, sums to y.

    The loop copies a[r,k] to all lanes of a vector, multiplies by one of b's line k, and adds that to a sum.
    """
    number, size = (ir.FloatType(), 4) if kinds[2].dtype == types.float32 else (ir.DoubleType(), 8)
    lanes = min(BITS // 8 // size, width)
    vectors = min(2, width // lanes)
    vector = ir.VectorType(number, lanes)
    zero, nothing = ir.Constant(vector, [0.0] * lanes), ir.Constant(vector, ir.Undefined)

    def start(k):  # of the array values[k], at the place that the tuple after it names
        data = context.make_array(kinds[k])(context, builder, values[k]).data
        return builder.gep(data, [steps(k + 1, 0, integer(1))])

    def steps(k, entry, count):
        return builder.mul(builder.extract_value(values[k], entry), count)

    def at(pointer, line, lane):  # where a vector is
        return builder.bitcast(builder.gep(pointer, [builder.add(line, integer(lane))]), vector.as_pointer())

    def on_all_lanes(number):
        lane_0 = builder.insert_element(nothing, number, integer(0))
        return builder.shuffle_vector(lane_0, nothing, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes))

    y, a, b = start(2), start(4), start(6)
    for first in range(0, width, vectors * lanes):
        columns = [first + v * lanes for v in range(vectors)]
        keys = [(r, column) for r in range(rows) for column in columns]
        sums = {key: cgutils.alloca_once_value(builder, zero) for key in keys}  # LLVM puts them into registers
        with cgutils.for_range(builder, values[8], intp=ir.IntType(64)) as loop:
            k = loop.index
            b_line = {column: builder.load(at(b, steps(7, 1, k), column), align=size) for column in columns}
            for r, column in keys:
                place = builder.add(steps(5, 1, integer(r)), steps(5, 2, k))
                one, total = on_all_lanes(builder.load(builder.gep(a, [place]))), sums[r, column]
                product = builder.fmul(one, b_line[column], flags=("contract",))  # one instruction with the sum,
                builder.store(builder.fadd(product, builder.load(total), flags=("contract",)), total)  # if there is one
        for r, column in keys:
            place, total = at(y, steps(3, 1, integer(r)), column), builder.load(sums[r, column])
            builder.store(builder.fadd(builder.load(place, align=size), total), place, align=size)


# --------------------------------------------------------------------------------------- a line, in four ways

# x is the larger of two images and y the smaller, whichever of them is the layer's input. A line (pixels, channels)
# holds a row of an image, or of several small ones side by side with zeros between. K + S lines of x are held at a
# time, those under the kernel and the next: row r is x[r % (K + S)]. `top` is the row of x that the kernel's first one
# falls on; outside the image everything is 0. What serves as a tile's columns or sums has its channels padded with
# zeros to whole tiles. The weights to multiply by come in `panels`, some of their columns in each: w_at says where
# the columns from f (or c) on begin in row p of the kernel, and how far it is to the next line of this panel.


@compiled
def correlate_line(x, top, H, S, w, y):
    """y[j,f] += sum_pqc x[top+p, j*S+q, c] * w[p,q,c,f]"""
    (_, K, _, C, panel), (T, F) = w.shape, y.shape
    sums, weights, width = y.reshape(-1), w.reshape(-1), min(F, WIDE)
    for p in range(max(0, -top), min(K, H - top)):
        pixels = x[(top + p) % len(x)].reshape(-1)
        for f in range(0, F, width):
            w_at = (f // panel * K + p) * K * C * panel + f % panel, panel
            for j in range(0, T, ROWS):
                y_at, x_at = (j * F + f, F), (j * S * C, S * C, 1)
                tile(width, min(ROWS, T - j), sums, y_at, pixels, x_at, weights, w_at, K * C)


@compiled
def scatter_line(y, w, x, top, H, S):
    """x[top+p, j*S+q, c] += sum_f y[j,f] * w[p,q,f,c]"""
    (_, K, _, F, panel), (T, step), C = w.shape, y.shape, x.shape[2]
    pixels, weights, width = y.reshape(-1), w.reshape(-1), min(C, WIDE)
    for p in range(max(0, -top), min(K, H - top)):
        sums = x[(top + p) % len(x)].reshape(-1)
        for q in range(K):
            for c in range(0, C, width):
                w_at = ((c // panel * K + p) * K + q) * F * panel + c % panel, panel
                for j in range(0, T, ROWS):
                    x_at, y_at = ((j * S + q) * C + c, S * C), (j * step, step, 1)
                    tile(width, min(ROWS, T - j), sums, x_at, pixels, y_at, weights, w_at, F)


@compiled
def weights_line(x, top, H, S, y, w):
    """w[p,q,c,f] += sum_j x[top+p, j*S+q, c] * y[j,f]"""
    (K, _, C, F), T = w.shape, len(y)
    pixels, sums, width = y.reshape(-1), w.reshape(-1), min(F, WIDE)
    for p in range(max(0, -top), min(K, H - top)):
        row = x[(top + p) % len(x)].reshape(-1)
        for k in range(0, K * C, ROWS):  # in the order of memory, since they may come from afar
            for f in range(0, F, width):
                w_at, x_at, y_at = ((p * K * C + k) * F + f, F), (k, 1, S * C), (f, F)
                tile(width, min(ROWS, K * C - k), sums, w_at, row, x_at, pixels, y_at, T)


@compiled
def transposed_weights_line(y, x, top, H, S, w):
    """w[p,q,f,c] += sum_j y[j,f] * x[top+p, j*S+q, c]"""
    (K, _, F, C), (T, step) = w.shape, y.shape
    pixels, sums, width = y.reshape(-1), w.reshape(-1), min(C, WIDE)
    for p in range(max(0, -top), min(K, H - top)):
        row = x[(top + p) % len(x)].reshape(-1)
        for q in range(K):
            for f in range(0, F, ROWS):
                for c in range(0, C, width):
                    w_at, y_at, x_at = (((p * K + q) * F + f) * C + c, C), (f, 1, step), (q * C + c, S * C)
                    tile(width, min(ROWS, F - f), sums, w_at, pixels, y_at, row, x_at, T)


# ------------------------------------------------------------------------------------ lines come and lines go


@compiled
def tiled(columns):
    """This many columns, rounded up to whole tiles."""
    for width in WIDTHS:
        if columns <= width:
            return width
    return -(-columns // WIDE) * WIDE


@compiled
def side_by_side(N, W, J, w, S, Q):
    """(images in a line, pixels of y from one to the next), with room for zeros between images."""
    step = -(-max(Q + W, (J - 1) * S + w.shape[1]) // S)
    return max(1, min(N, (NARROW if w.size < MANY else LONG) // step)), step


@compiled
def in_view(i, S, P, K):
    """(top, the rows of x that come into view) for row i of y, after the rows before it."""
    top = i * S - P
    return top, range(top + K if i > 0 else top, top + K + S)


@compiled
def out_of_view(i, I, S, P, H):
    """The rows of x that no row of y after i reaches."""
    return range(max(i * S - P, 0), min((i + 1) * S - P, H) if i + 1 < I else H)


@compiled
def clear(line):
    line.reshape(-1)[:] = 0


@compiled
def runs(row, line):
    """The row (W,C) of an image, and its place at the start of a line, as runs of memory: one if nothing is between."""
    (W, C), wide = row.shape, line.shape[1]
    count = 1 if wide == C else W
    return row.reshape(count, -1), line[:W].reshape(count, -1)


@compiled
def load(x, n, images, row, line, step):
    """line[g*step + j, c] = x[n+g, row, j, c] for all g < images."""
    for g in range(images):
        pixels, to = runs(x[n + g, row], line[g * step :])
        for r in range(len(pixels)):
            of, into = pixels[r], to[r]
            for c in range(len(of)):
                into[c] = of[c]


@compiled
def load_gradient(y, gy, relu, gb, n, images, row, line, step):
    """`load` of gy, with `relu` only where y > 0; its sum over pixels is added to gb (C,)."""
    for g in range(images):
        place = line[g * step :]
        (gate, _), (pixels, to) = runs(y[n + g, row], place), runs(gy[n + g, row], place)
        for r in range(len(pixels)):
            of, into, passes = pixels[r], to[r], gate[r]
            for c in range(len(of)):
                into[c] = of[c] if not relu or passes[c].real > 0 else of[c] - of[c]
        total = np.zeros(len(gb), line.dtype)
        for j in range(gy.shape[2]):
            pixel = place[j]
            for c in range(len(total)):
                total[c] += pixel[c]
        gb += total


@compiled
def store(line, step, b, relu, y, n, images, row):
    """y[n+g, row, j, c] = line[g*step + j, c] + b[c], with `relu` 0 where that is below 0, and nan where not finite."""
    for g in range(images):
        for j in range(y.shape[2]):
            pixel, sums = y[n + g, row, j], line[g * step + j]
            for c in range(len(pixel)):
                total = sums[c] + b[c]
                pixel[c] = total if not relu or total.real > 0 else total - total  # which hides nothing


# ------------------------------------------------------------------- forward and backward, through all images

# P rows of zeros lie above x, and Q columns to its left. C' and F' are C and F padded with zeros to whole tiles.
# What is called w (K,K,C,F') here is its `panels`.


@compiled
def convolution(x, w, b, relu, S, P, Q, y):
    """y = correlate(x, w) + b: x (N,H,W,C), w (K,K,C,F'), b (F,), y (N,I,J,F)."""
    (N, H, W, C), (_, I, J, F), K = x.shape, y.shape, w.shape[1]
    G, step = side_by_side(N, W, J, w, S, Q)
    x_lines, y_line = np.zeros((K + S, G * step * S, C), x.dtype), np.empty((G * step, tiled(F)), x.dtype)
    for n in range(0, N, G):
        images = min(G, N - n)
        sums = y_line[: (images - 1) * step + J]
        for i in range(I):
            top, rows = in_view(i, S, P, K)
            for row in rows:
                if 0 <= row < H:
                    load(x, n, images, row, x_lines[row % (K + S), Q:], step * S)
            clear(sums)
            correlate_line(x_lines, top, H, S, w, sums)
            store(sums, step, b, relu, y, n, images, i)


@compiled
def convolution_backward(x, w, y, gy, relu, S, P, Q, gx, gw, gb):
    """gx = scatter(gz, w), gw += correlate_weights(x, gz), gb += the sum of gz; gz is gy masked by the ReLU.

    w (K,K,F',C'), gw (K,K,C,F').
    """
    (N, H, W, C), (_, I, J, F), K = x.shape, y.shape, w.shape[1]
    G, step = side_by_side(N, W, J, w, S, Q)
    x_lines, gz_line = np.zeros((K + S, G * step * S, C), x.dtype), np.zeros((G * step, tiled(F)), x.dtype)
    gx_lines, no_bias = np.empty((K + S, G * step * S, tiled(C)), x.dtype), np.zeros(C, x.dtype)
    for n in range(0, N, G):
        images = min(G, N - n)
        gz = gz_line[: (images - 1) * step + J]
        for i in range(I):
            top, rows = in_view(i, S, P, K)
            for row in rows:
                clear(gx_lines[row % (K + S)])
                if 0 <= row < H:
                    load(x, n, images, row, x_lines[row % (K + S), Q:], step * S)
            load_gradient(y, gy, relu, gb, n, images, i, gz, step)
            weights_line(x_lines, top, H, S, gz, gw)
            if len(gx):
                scatter_line(gz, w, gx_lines, top, H, S)
                for row in out_of_view(i, I, S, P, H):
                    store(gx_lines[row % (K + S), Q:], step * S, no_bias, False, gx, n, images, row)


@compiled
def transposed_convolution(x, w, b, relu, S, P, Q, y):
    """y = scatter(x, w) + b: x (N,I,J,F), w (K,K,F,C'), b (C,), y (N,H,W,C)."""
    (N, I, J, F), (_, H, W, C), K = x.shape, y.shape, w.shape[1]
    G, step = side_by_side(N, W, J, w, S, Q)
    x_line, y_lines = np.zeros((G * step, F), x.dtype), np.empty((K + S, G * step * S, tiled(C)), x.dtype)
    for n in range(0, N, G):
        images = min(G, N - n)
        for i in range(I):
            top, rows = in_view(i, S, P, K)
            for row in rows:
                clear(y_lines[row % (K + S)])
            load(x, n, images, i, x_line, step)
            scatter_line(x_line[: (images - 1) * step + J], w, y_lines, top, H, S)
            for row in out_of_view(i, I, S, P, H):
                store(y_lines[row % (K + S), Q:], step * S, b, relu, y, n, images, row)


@compiled
def transposed_convolution_backward(x, w, y, gy, relu, S, P, Q, gx, gw, gb):
    """gx = correlate(gz, w), gw += correlate_weights(gz, x), gb += the sum of gz; gz is gy masked by the ReLU.

    w (K,K,C',F'), gw (K,K,F,C').
    """
    (N, I, J, F), (_, H, W, C), K = x.shape, y.shape, w.shape[1]
    G, step = side_by_side(N, W, J, w, S, Q)
    gz_lines, x_line = np.zeros((K + S, G * step * S, tiled(C)), x.dtype), np.zeros((G * step, F), x.dtype)
    gx_line, no_bias = np.empty((G * step, tiled(F)), x.dtype), np.zeros(F, x.dtype)
    for n in range(0, N, G):
        images = min(G, N - n)
        T = (images - 1) * step + J
        for i in range(I):
            top, rows = in_view(i, S, P, K)
            for row in rows:
                if 0 <= row < H:
                    load_gradient(y, gy, relu, gb, n, images, row, gz_lines[row % (K + S), Q:], step * S)
            load(x, n, images, i, x_line, step)
            clear(gx_line)
            correlate_line(gz_lines, top, H, S, w, gx_line[:T])
            transposed_weights_line(x_line[:T], gz_lines, top, H, S, gw)
            store(gx_line, step, no_bias, False, gx, n, images, i)


# ------------------------------------------------------------------------------------- the maps, for arrays


@compiled
def fill(w, found):
    """found[g,p,q,c,v] = w[p,q,c, g*width + v], in the order of w's memory, whose last two axes may be exchanged."""
    (G, K, _, _, width), C, exchanged = found.shape, w.shape[2], w.strides[2] < w.strides[3]
    outer, inner = (G, C) if exchanged else (C, G)
    for p in range(K):
        for q in range(K):
            for a in range(outer):
                for b in range(inner):
                    g, c = (a, b) if exchanged else (b, a)
                    columns, row = w[p, q, c, g * width : (g + 1) * width], found[g, p, q, c]
                    for v in range(len(columns)):
                        row[v] = columns[v]


def panels(w: np.ndarray, C: int, apart: bool = True) -> np.ndarray:
    """w (K,K,C or fewer,F) -> (G,K,K,C,width), the columns 0 to width, then the next ones; zeros where w has none.

    With `apart` a panel is as wide as a tile, which then reads numbers that lie together. In w its lines are F numbers
    apart, and a cache has room for few at such addresses. Copying does not pay for a single image.
    """
    K, _, rows, F = w.shape
    width = min(tiled(F), WIDE) if apart else tiled(F)
    if (rows, F) == (C, width) and w.flags.c_contiguous:
        return w[None]
    shape = tiled(F) // width, K, K, C, width
    found = (np.empty if (rows, F) == (C, tiled(F)) else np.zeros)(shape, w.dtype)
    fill(w, found)
    return found


def alike(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays in one type that holds them all, each contiguous in memory."""
    return tuple(np.ascontiguousarray(a, np.result_type(*arrays)) for a in arrays)


def places(H: int, W: int, K: int, S: int, padding: str) -> tuple[Size, Size]:
    """(height and width of the output, zeros before and left of the input) of a convolution."""
    (I, P), (J, Q) = convolved(H, K, S, padding), convolved(W, K, S, padding)
    return (I, J), (P, Q)


def correlate(
    x: np.ndarray, w: np.ndarray, S: int, padding: str, b: Bias = None, relu: bool = False, y: Out = None
) -> np.ndarray:  # fmt: skip
    """x (N,H,W,C), w (K,K,C,F) -> y (N,I,J,F); stride S, padding 'same' or 'valid'. The convolution of networks.

    With b (F,) a bias is added; with `relu`, what is then below 0 becomes 0. y is the array to write to.
    """
    x, w, b = alike(x, w, np.zeros(w.shape[3], w.dtype) if b is None else b)
    (N, H, W, C), (K, _, wanted, F) = x.shape, w.shape
    if wanted != C:
        raise ValueError(f"correlate: x has {C} channels, wanted {wanted}, since w has the shape {w.shape}")
    size, before = places(H, W, K, S, padding)
    y = np.empty((N, *size, F), x.dtype) if y is None else y
    if K == S == 1 and not relu:  # a matrix product, for which BLAS needs no lines
        np.matmul(x, w[0, 0], out=y)
        y += np.tile(b, (W, 1))  # a line at a time, since a loop over three colours is too short
    else:
        convolution(x, panels(w, C, N > 1), b, relu, S, *before, y)
    return y


def correlate_backward(
    x: np.ndarray, w: np.ndarray, y: np.ndarray, gy: np.ndarray, S: int, padding: str, relu: bool, gx: np.ndarray,
    gw: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Writes the gradients in x, unless gx is empty, and in w; returns that in b (F,). y is what `correlate` gave."""
    x, w, y, gy = alike(x, w, y, gy)
    _, _, C, F = w.shape
    if len(w) == S == 1 and not relu:
        np.matmul(gy[: len(gx)], w[0, 0].T, out=gx)
        gw[0, 0] = sum(image.reshape(-1, C).T @ g.reshape(-1, F) for image, g in zip(x, gy, strict=True))
        lines = gy.sum((0, 1), np.result_type(np.float64, w))  # first, as in `correlate`
        return lines.sum(0).astype(w.dtype)
    return backward(convolution_backward, x, w, y, gy, S, padding, relu, gx, gw)


def scatter(
    y: np.ndarray, w: np.ndarray, S: int, padding: str, size: Size, b: Bias = None, relu: bool = False, x: Out = None
) -> np.ndarray:  # fmt: skip
    """y (N,I,J,F), w (K,K,F,C) -> x (N,H,W,C) with size = (H,W): the adjoint of `correlate` with w (K,K,C,F), in x.

    With b (C,) a bias is added; with `relu`, what is then below 0 becomes 0. x is the array to write to.
    """
    y, w, b = alike(y, w, np.zeros(w.shape[3], w.dtype) if b is None else b)
    K, _, F, C = w.shape
    of, before = places(*size, K, S, padding)
    if y.shape[1:] != (*of, F):
        raise ValueError(f"scatter: y has the shape {y.shape}, wanted (N, {of[0]}, {of[1]}, {F})")
    x = np.empty((len(y), *size, C), y.dtype) if x is None else x
    transposed_convolution(y, panels(w, F, len(y) > 1), b, relu, S, *before, x)
    return x


def scatter_backward(
    y: np.ndarray, w: np.ndarray, x: np.ndarray, gx: np.ndarray, S: int, padding: str, relu: bool, gy: np.ndarray,
    gw: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Writes the gradients in y and in w; returns that in b (C,). x is what `scatter` gave, gx the gradient in it."""
    y, w, x, gx = alike(y, w, x, gx)
    return backward(transposed_convolution_backward, y, w, x, gx, S, padding, relu, gy, gw)


def backward(
    lines: Callable, x: np.ndarray, w: np.ndarray, y: np.ndarray, gy: np.ndarray, S: int, padding: str, relu: bool,
    gx: np.ndarray, gw: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """The gradients of a map from x to y with weights w (K,K,C,F)."""
    (K, _, _, F), width, (_, H, W, _) = w.shape, tiled(w.shape[3]), map(max, x.shape, y.shape)  # of the larger image
    in_place = width == F and gw.dtype == w.dtype and gw.flags.c_contiguous
    sums, gb = gw if in_place else np.empty((*w.shape[:3], width), w.dtype), np.zeros(F, np.result_type(np.float64, w))
    sums[:] = 0
    _, before = places(H, W, K, S, padding)
    lines(x, panels(w.swapaxes(2, 3), width), y, gy, relu, S, *before, gx, sums, gb)
    if not in_place:
        gw[:] = sums[..., :F]
    return gb.astype(w.dtype)


# ------------------------------------------------------------------------------------------------- the loss


@compiled
def squared_error_and_variation(y, target, a, b, eps, gy, sums):
    """y, target (N,H,W,C) -> sums (2,) and gy (N,H,W,C), the gradient of a*sums[0] + b*sums[1] in y.

    sums[0] = sum of (y - target)^2;  sums[1] = sum of r - eps with r = sqrt(dx^2 + dy^2 + eps^2), where
    dx = y[n,i,j+1,c] - y[n,i,j,c] and dy = y[n,i+1,j,c] - y[n,i,j,c], 0 where there is no neighbour. A row at a time,
    k = j*C + c, in loops without branches, which the compiler turns into vector instructions.
    """
    N, H, W, C = y.shape
    L = W * C
    ys, targets, gys = y.reshape(N, H, L), target.reshape(N, H, L), gy.reshape(N, H, L)
    dx, r, from_left = np.zeros(L, y.dtype), np.zeros(L, y.dtype), np.zeros(L + C, y.dtype)
    from_above = np.zeros((2, L), y.dtype)
    for n in range(N):
        from_above[0] = 0
        for i in range(H):
            here, below, wanted, g = ys[n, i], ys[n, min(i + 1, H - 1)], targets[n, i], gys[n, i]
            above, down = from_above[i % 2], from_above[1 - i % 2]
            for k in range(L - C):
                dx[k] = here[k + C] - here[k]
            for k in range(L):
                dy = below[k] - here[k]
                r[k] = np.sqrt(dx[k] * dx[k] + dy * dy + eps * eps)
                from_left[k + C] = dx[k] / r[k]
                down[k] = dy / r[k]
            for k in range(L):
                g[k] = 2 * a * (here[k] - wanted[k]) + b * (from_left[k] - from_left[k + C] + above[k] - down[k])
            for k in range(L):
                d = here[k] - wanted[k]
                sums[0] += d * d
                sums[1] += r[k] - eps


# ------------------------------------------------------------------------------------------------- Adam


@compiled
def adam(p, g, m, v, decay1, gain1, decay2, gain2, rate, scale, eps):
    """One step on flat arrays (n,), in place: parameters p, moments m and v; g is only read.

    m = decay1*m + gain1*g;  v = decay2*v + gain2*g^2;  p -= rate * m / (sqrt(scale*v) + eps)

    A moment below TINY, which moves nothing, becomes 0. Where a ReLU is off for good, its weights' moments would keep
    falling, and a processor may take a hundred times as long on numbers below 1e-38.
    """
    for k in range(p.size):
        mean, square = decay1 * m[k] + gain1 * g[k], decay2 * v[k] + gain2 * (g[k] * g[k])
        m[k] = mean if abs(mean) > TINY else g[k] - g[k]
        v[k] = square if abs(square) > TINY else g[k] - g[k]
        p[k] -= rate * m[k] / (np.sqrt(scale * v[k]) + eps)
