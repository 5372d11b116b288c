"""Wrong answers to exercise 12: the mistakes that people make, each with a part of the sentence that helps."""

import numpy as np


def way(alphas):
    return {"interpolate": lambda a, b, count: np.array([(1 - alpha) * a + alpha * b for alpha in alphas(count)])}


def alphas_right(count):
    return np.arange(count) / (count - 1)


def sheet(grid=None, together=None):
    """The right sheet with another grid of codes (rows, columns, 2), or another way to put the images together."""

    def answer(decode, low, high, rows, columns):
        codes = (grid or codes_right)(low, high, rows, columns)
        images = decode(codes.reshape(-1, 2))
        return (together or put_right)(images.reshape(rows, columns, *images.shape[1:]))

    return {"sheet": answer}


def codes_right(low, high, rows, columns):
    axes = np.linspace(low[0], high[0], columns), np.linspace(low[1], high[1], rows)
    return np.stack(np.meshgrid(*axes), axis=-1)


def put_right(images):
    R, S, H, W, C = images.shape
    return images.transpose(0, 2, 1, 3, 4).reshape(R * H, S * W, C)


def exchanged(low, high, rows, columns):
    axes = np.linspace(low[0], high[0], rows), np.linspace(low[1], high[1], columns)
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def by_columns(low, high, rows, columns):
    axes = np.linspace(low[0], high[0], columns), np.linspace(low[1], high[1], rows)
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def half_a_cell(low, high, rows, columns):
    n = np.array([columns, rows])
    return codes_right(low + (high - low) / n / 2, high - (high - low) / n / 2, rows, columns)


def no_end(low, high, rows, columns):
    return codes_right(low, high - (high - low) / np.array([columns, rows]), rows, columns)


def transposed(images):
    R, S, H, W, C = images.shape
    return images.transpose(1, 2, 0, 3, 4).reshape(S * H, R * W, C)


def interleaved(images):
    R, S, H, W, C = images.shape
    return images.reshape(R * H, S * W, C)


def columns_within(images):
    R, S, H, W, C = images.shape
    return images.transpose(0, 2, 3, 1, 4).reshape(R * H, S * W, C)


def turned(images):
    return put_right(images[:, :, ::-1])


def one_dimension_more(decode, low, high, rows, columns):
    return put_right(decode(codes_right(low, high, rows, columns)))


def one_by_one(decode, low, high, rows, columns):
    codes = codes_right(low, high, rows, columns)
    return np.concatenate([np.concatenate([decode(c[None])[0] for c in row], 1) for row in codes], 0)


def not_written(decode, low, high, rows, columns):
    raise NotImplementedError


WRONG = {
    "end point missing": (way(lambda n: np.linspace(0, 1, n, endpoint=False)), "the last code is b"),
    "both ends missing": (way(lambda n: np.arange(1, n + 1) / (n + 1)), "the first code is a"),
    "steps unequal": (way(lambda n: alphas_right(n) ** 2), "the steps are not equal"),
    "along half a cosine": (way(lambda n: (1 - np.cos(np.pi * alphas_right(n))) / 2), "the steps are not equal"),
    "from b to a": (way(lambda n: 1 - alphas_right(n)), "it runs from b to a"),
    "one code too many": (way(lambda n: np.arange(n + 1) / n), "has the shape (6, 3), expected (5, 3)"),
    "end off by rounding": (
        {"interpolate": lambda a, b, count: a + alphas_right(count)[:, None] * (b - a)}, "is off by rounding"
    ),
    "codes in columns": (
        {"interpolate": lambda a, b, count: np.linspace(a, b, count).T}, "has the shape (3, 5), expected (5, 3)"
    ),
    "steps of a fixed length": (
        {"interpolate": lambda a, b, count: np.array([a + 0.25 * k * (b - a) for k in range(count - 1)] + [b])},
        "K",
    ),
    "no sheet yet": ({"sheet": not_written}, "interpolate is right; sheet is not written yet"),
    "upside down": (sheet(lambda l, h, r, c: codes_right(l, h, r, c)[::-1]), "upside down"),
    "mirrored": (sheet(lambda l, h, r, c: codes_right(l, h, r, c)[:, ::-1]), "mirrored"),
    "low and high exchanged": (sheet(lambda l, h, r, c: codes_right(h, l, r, c)), "the wrong way round"),
    "first number downwards": (sheet(exchanged), "here they are exchanged"),
    "codes by columns": (sheet(by_columns), "in the order of columns"),
    "sheet transposed": (sheet(together=transposed), "has the shape (3, 2, 1), expected (2, 3, 1)"),
    "half a cell off": (sheet(half_a_cell), "at the top left is that of `low`"),
    "end of the grid missing": (sheet(no_end), "at the bottom right is that of `high`"),
    "images interleaved by a reshape": (sheet(together=interleaved), "are not one image"),
    "axes in the wrong order": (sheet(together=columns_within), "are not one image"),
    "each image upside down": (sheet(together=turned), "are not one image"),
    "decode given the whole grid": ({"sheet": one_dimension_more}, "decode takes codes (n, 2), and is given an array"),
    "one code at a time": ({"sheet": one_by_one}, "give it a row, or all codes, at once"),
    "rows and columns exchanged": (
        {"sheet": lambda decode, low, high, rows, columns: sheet()["sheet"](decode, low, high, columns, rows)},
        "has the shape (3, 2, 1), expected (2, 3, 1)",
    ),
}  # fmt: skip
