"""Exercise 13: a checkpoint that survives a crash. Check it with: python -m lessons.check 13"""

from pathlib import Path

import numpy as np


def save(file: Path, arrays: dict[str, np.ndarray], header: dict) -> None:
    """Write arrays (of any shape and of any type but object) and header (whatever JSON can hold) to one file.

    No array is named 'header' or 'file'. At every moment `file` is whole, the old one or the new one, if there was an
    old one. So write a temporary file in the same folder, hand all of it to the disk with os.fsync, and only then let
    it take the place of `file`. No other file is left in the folder, neither after success nor after an exception
    (Ctrl-C raises one too, KeyboardInterrupt, which is no Exception). The exception goes on to the caller. Where a
    killed process has left its temporary file behind, the next save works all the same. What cannot be stored without
    pickle, such as an array of objects, is refused by an exception.
    """
    raise NotImplementedError


def load(file: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the header that `save` was given: same names, shapes, types and bits.

    ValueError, and never anything that was not saved, where the file was cut off, where a byte of the arrays or of the
    header was changed, and where it holds a pickle. (A zip file, and so .npz, keeps a checksum of each entry, and
    reading an entry to its end compares it. Any other format needs one of its own.)
    """
    raise NotImplementedError
