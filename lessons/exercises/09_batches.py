"""Exercise 9: batches that can be left and taken up again. Check it with: python -m lessons.check 09"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np


def batches(
    files: Sequence[str], load: Callable[[str], np.ndarray], batch_size: int, seed: int, epoch: int, skip: int,
    bad: dict[str, str], report: Callable[[str, str], None],
) -> Iterator[np.ndarray]:  # fmt: skip
    """One pass over the files, a batch at a time: a generator of arrays (batch_size, ...), np.stack of the images.

    Each usable file comes exactly once, in a random order. It depends on the numbers seed and epoch alone, and the
    pairs (0, 1) and (1, 0) have different orders, too. Every batch is full but the last, which holds what is left.

    load(file) gives the image, all of the same shape. ValueError means that the file is bad: the next file takes its
    place, report(file, reason) is called, where the reason is str(error), and bad[file] = reason is noted. Files that
    are in `bad` when this begins, from earlier epochs say, are left out: not tried, and not reported. Any other error
    is passed on.

    The first `skip` batches are left out, and what follows is as if they had been taken. Those who skip give a `bad`
    that already names the bad files of the batches left out. So no file of these has to be loaded, and none is.

    A file is loaded when the batch that it belongs to is asked for, no earlier. When no file is usable, there is no
    batch. The caller's `files` stay as they are.
    """
    raise NotImplementedError
