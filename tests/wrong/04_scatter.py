"""Wrong answers to exercise 4: the mistakes that people make, each with a part of the sentence that helps."""

import numpy as np


def loops(flip=False, overwrite=False, first=False, gather=False, filters=False, channels=False, lost=0, around=False):
    """The right loops, with one mistake."""

    def scatter(gy, w, H, W, S):
        (I, J, F), (K, _, C, _) = gy.shape, w.shape
        P, Q = max((I - 1) * S + K - H, 0), max((J - 1) * S + K - W, 0)
        P, Q = ((P + 1) // 2, (Q + 1) // 2) if first else (P // 2, Q // 2)
        gx = np.zeros((H, W, C))
        for i in range(I - lost):
            for j in range(J):
                for p in range(K):
                    for q in range(K):
                        row, column = i * S + p - P, j * S + q - Q
                        inside = row < H and column < W and (around or (row >= 0 and column >= 0))
                        if not inside:
                            continue
                        weights = w[K - 1 - p, K - 1 - q] if flip else w[p, q]
                        if channels:
                            weights = weights.reshape(F, C).T
                        share = weights @ gy[i, j]
                        if filters:
                            share = weights[:, 0] * gy[i, j, 0]
                        if overwrite:
                            gx[row, column] = share
                        else:
                            gx[row, column] += share
        return gx

    return scatter


def only(function):
    return {"scatter": function}


def inverse(gy, w, H, W, S):
    """What undoes the convolution, in the sense of least squares: not what blames."""
    C, rows = w.shape[2], []
    for k in range(H * W * C):
        unit = np.zeros(H * W * C)
        unit[k] = 1
        rows.append([(loops()(e.reshape(gy.shape), w, H, W, S).ravel() @ unit) for e in np.eye(gy.size)])
    return (np.linalg.pinv(np.array(rows).T) @ gy.ravel()).reshape(H, W, C)


WRONG = {
    "kernel turned round": (only(loops(flip=True)), "the kernel is turned round"),
    "overwritten instead of added": (only(loops(overwrite=True)), "they add up"),
    "zeros on the wrong side": (only(loops(first=True)), "the one column of zeros is on the right"),
    "gx[-1] is the last pixel": (only(loops(around=True)), "the zeros beside the image are blamed for nothing"),
    "first filter only": (only(loops(filters=True)), "every filter sends its share"),
    "C and F not exchanged": (only(loops(channels=True)), "every filter sends its share"),
    "last row lost": (only(loops(lost=1)), "its blame goes there"),
    "the inverse": (only(inverse), "its blame goes there"),
    "fooled is right": ({"fooled": loops()}, "is it wrong at all?"),
    "fooled by a factor": ({"fooled": lambda *case: 2 * loops()(*case)}, "differs from `scatter`, so it is caught"),
    "fooled with its kernel turned": ({"fooled": loops(flip=True)}, "differs from `scatter`, so it is caught"),
}
