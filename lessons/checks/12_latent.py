"""The check of exercise 12."""

import numpy as np

from lessons.check import Wrong, call, expect_close, expect_shape
from scratch_ae import figures

FORBIDDEN = [(figures, "sheet"), (figures, "morph"), (figures, "alphas")]


def dots(codes):
    """Images of one pixel that shows its code: the first number plus ten times the second."""
    return (np.asarray(codes) @ [1.0, 10])[:, None, None, None]


FUNCTIONS = {
    "interpolate": (np.zeros(1), np.ones(1), 2),
    "sheet": (dots, np.zeros(2), np.ones(2), 2, 2),
}
HINTS = [
    "Code number k of `count` is (1 - alpha) a + alpha b. It takes count - 1 steps to get from the first to the last: "
    "which alpha has code 0, which code count - 1?",
    "alpha as a column (count, 1) times a row (K,) gives (count, K): NumPy repeats both. Near the end, "
    "a + alpha (b - a) is not quite b.",
    "For the sheet begin with one row: a list of codes that share their second number. Decode them at once, and "
    "put the images side by side, np.concatenate(..., axis=1). Then put the rows below each other.",
    "Without a loop: the axes of the images are (rows, columns, H, W, C), and the picture wants (rows, H, columns, W, "
    "C) before the reshape. Only a transpose changes the order of axes.",
]


class Decoder:
    """A decoder that judges what it is given, and counts."""

    def __init__(self, H=1, W=1, C=1, random=None):
        self.calls, self.frame = 0, np.zeros((H, W, C)) if random is None else random.normal(size=(H, W, C))

    def __call__(self, codes):
        if np.ndim(codes) != 2 or np.shape(codes)[1] != 2:
            raise Wrong(f"decode takes codes (n, 2), and is given an array {np.shape(codes)}")
        self.calls += 1
        return dots(codes) + self.frame


def check_interpolate(f):
    expect_shape("the result", call(f, np.zeros(3), np.ones(3), 5), (5, 3))
    a, b = np.array([0.0, 10]), np.array([4.0, 2])
    yours, right = np.asarray(call(f, a, b, 5)), np.array([[0.0, 10], [1, 8], [2, 6], [3, 4], [4, 2]])
    case = {"a": a, "b": b, "count": 5}
    if np.allclose(yours, right[::-1]):
        expect_close("it runs from b to a, not from a to b", yours, right, **case)
    expect_close("the first code is a", yours[0], a, **case)
    expect_close("the last code is b: from the first to the last there are count - 1 steps", yours[-1], b, **case)
    steps = np.diff(yours, axis=0)
    expect_close("the steps are not equal", steps, np.diff(right, axis=0), **case)
    expect_close("with a count of 2 there are the two ends and nothing else", call(f, a, b, 2), np.array([a, b]))
    a, b = np.array([-0.8]), np.array([0.1])
    expect_exact_ends(np.asarray(call(f, a, b, 4)), a, b)
    random = np.random.default_rng(0)
    for _ in range(60):
        K, count = int(random.integers(1, 9)), int(random.integers(2, 12))
        a, b = random.normal(size=(2, K)) * 10.0 ** random.integers(-3, 4)
        yours = np.asarray(call(f, a, b, count))
        expect_shape("the result", yours, (count, K))
        text = f"K {K}, count {count}: row k is not a + k / (count - 1) of the way to b"
        expect_close(text, yours, np.array([a + k / (count - 1) * (b - a) for k in range(count)]), a=a, b=b)
        expect_exact_ends(yours, a, b)


def expect_exact_ends(yours, a, b):
    for name, end, code in (("first", a, yours[0]), ("last", b, yours[-1])):
        if not np.array_equal(code, end):
            k = np.flatnonzero(code != end)[0]  # one number is enough to see it
            raise Wrong(f"the {name} code is off by rounding, and should be exact: a + 1 * (b - a) is not always b",
                        a=repr(float(a[k])), b=repr(float(b[k])), yours=repr(float(code[k])),
                        expected=repr(float(end[k])), difference=f"{code[k] - end[k]:.0e}")  # fmt: skip


def grid(low, high, rows, columns):
    """dots of each code of the sheet (rows, columns)."""
    return np.linspace(low[0], high[0], columns)[None] + 10 * np.linspace(low[1], high[1], rows)[:, None]


def check_sheet(f):
    low, high = np.array([0.0, 1]), np.array([2.0, 3])
    case = {"low": low, "high": high, "rows": 2, "columns": 3, "images": "one pixel each, first + 10 * second"}
    yours, right = call(f, Decoder(), low, high, 2, 3), grid(low, high, 2, 3)
    expect_shape("the sheet of 2 rows and 3 columns, of images (1, 1, 1),", yours, (2, 3, 1))
    yours = np.asarray(yours)[:, :, 0]
    exchanged = np.linspace(0, 2, 2)[:, None] + 10 * np.linspace(1, 3, 3)[None]
    for text, mistaken in (
        ("upside down: the second number grows downwards, since `low` is at the top", right[::-1]),
        ("mirrored: the first number grows to the right", right[:, ::-1]),
        ("the wrong way round: `low` is at the top left and `high` at the bottom right", right[::-1, ::-1]),
        ("the first number of the code grows to the right and the second downwards: here they are exchanged",
         exchanged),
        ("the first number of the code grows to the right and the second downwards: the images are in the order of "
         "columns", right.reshape(3, 2).T),
        ("the first number of the code grows to the right and the second downwards: the images are in the order of "
         "columns", right.T.reshape(2, 3)),
    ):  # fmt: skip
        if np.allclose(yours, mistaken):
            expect_close(text, yours, right, **case)
    expect_close("the image at the top left is that of `low`", yours[0, 0], right[0, 0], **case)
    expect_close("the image at the bottom right is that of `high`", yours[-1, -1], right[-1, -1], **case)
    expect_close("not the codes of the rectangle in equal steps", yours, right, **case)

    random = np.random.default_rng(0)
    decode = Decoder(2, 3, 2, random)
    low, high = np.array([0.0, 0]), np.array([2.0, 1])
    yours, right = call(f, decode, low, high, 2, 3), grid(low, high, 2, 3)
    expect_shape("the sheet of 2 rows and 3 columns, of images (2, 3, 2),", yours, (4, 9, 2))
    for r in range(2):
        for c in range(3):
            text = (f"row {r}, column {c}: these 2 x 3 pixels are not one image; a reshape alone never puts images "
                    "side by side, it reads number after number")  # fmt: skip
            tile = np.asarray(yours)[2 * r : 2 * r + 2, 3 * c : 3 * c + 3]
            expect_close(text, tile[:, :, 0], (decode.frame + right[r, c])[:, :, 0], channel=0)
            expect_close(text, tile[:, :, 1], (decode.frame + right[r, c])[:, :, 1], channel=1)
    if decode.calls > 2:
        text = "give it a row, or all codes, at once"
        raise Wrong(f"decode is called {decode.calls} times for 2 rows and 3 columns; {text}")
    for _ in range(20):
        rows, columns, H, W, C = (int(n) for n in random.integers([2, 2, 1, 1, 1], [6, 6, 4, 4, 4]))
        low, high = random.normal(size=(2, 2))
        decode = Decoder(H, W, C, random)
        yours = call(f, decode, low, high, rows, columns)
        text = f"the sheet of {rows} rows and {columns} columns, of images {H, W, C},"
        expect_shape(text, yours, (rows * H, columns * W, C))
        right = np.kron(grid(low, high, rows, columns)[:, :, None], np.ones((H, W, 1)))
        text = f"rows {rows}, columns {columns}, H {H}, W {W}, C {C}: the picture differs"
        expect_close(text, yours, right + np.tile(decode.frame, (rows, columns, 1)), low=low, high=high)


def check(answer):
    check_interpolate(answer.interpolate)
    try:
        check_sheet(answer.sheet)
    except NotImplementedError:
        raise Wrong("interpolate is right; sheet is not written yet") from None
