"""Named arrays and a header of plain values in one file: NumPy's .npz, no pickle, written whole or not at all."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from . import UserError

NAME, BEFORE = "checkpoint.npz", "checkpoint.before.npz"  # of a run: the latest, and the one before it


def there(run: Path) -> bool:
    """Whether a run's folder holds a checkpoint, or at least the one before it."""
    return any((run / name).exists() for name in (NAME, BEFORE))


def write(file: Path | str, arrays: dict[str, np.ndarray], header: dict, before: Path | None = None) -> None:
    """Write arrays and header (whatever JSON can hold) to a temporary file beside `file`, renamed when complete.

    What `file` held is kept as `before`. At every moment there is a whole file, even if the power fails.
    """
    file = Path(file)
    temporary, spare = file.with_name(file.name + ".part"), file.with_name(file.name + ".spare")
    first = json.dumps({"header": header, "arrays": {name: kind(array) for name, array in arrays.items()}})
    entries: dict[str, Any] = {"header": np.frombuffer(first.encode(), np.uint8), **arrays}
    try:
        with open(temporary, "wb") as stream:
            np.savez(stream, allow_pickle=False, **entries)
            stream.flush()
            os.fsync(stream.fileno())
        if before and file.exists():
            spare.unlink(missing_ok=True)
            try:
                os.link(file, spare)
            except OSError:  # a file system that has no second names
                shutil.copyfile(file, spare)
            os.replace(spare, before)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
        spare.unlink(missing_ok=True)


def kind(array: np.ndarray) -> list:
    """Type and shape, as JSON gives them back."""
    return [array.dtype.str, list(array.shape)]


def read(file: Path | str) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the header that `write` was given. Raises UserError where the file is missing or damaged."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        first = json.loads(arrays.pop("header").tobytes())
        header = dict(first["header"])
        if {name: kind(array) for name, array in arrays.items()} != first["arrays"]:  # which no checksum notices
            raise ValueError("its arrays are not those that were written")
    except PermissionError:  # it says what is wrong, and that is not the file's content
        raise
    except FileNotFoundError:
        raise UserError(f"there is no {file}. Train first, without --resume.") from None
    except Exception as problem:  # NumPy and zipfile raise nearly anything on a damaged file
        raise UserError(f"{file} is not a checkpoint or is damaged ({problem}). Use another, or train again.") from None
    return arrays, header
