"""Named arrays and a header of plain values in one file: NumPy's .npz, no pickle, written whole or not at all."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from . import UserError


def write(file: Path | str, arrays: dict[str, np.ndarray], header: dict) -> None:
    """Write arrays and header (whatever JSON can hold) to a temporary file beside it, and rename that when complete."""
    file = Path(file)
    temporary = file.with_name(file.name + ".part")
    entries: dict[str, Any] = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays}
    try:
        with open(temporary, "wb") as stream:
            np.savez(stream, allow_pickle=False, **entries)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def read(file: Path | str) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the header that `write` was given. Raises UserError where the file is missing or damaged."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        header = dict(json.loads(arrays.pop("header").tobytes()))
    except FileNotFoundError:
        raise UserError(f"there is no {file}. Train first: python -m scratch_ae.train rose") from None
    except (ValueError, TypeError, AttributeError, KeyError, EOFError, OSError, zipfile.BadZipFile) as problem:
        raise UserError(f"{file} is no checkpoint, or is damaged ({problem}). Use another, or train again.") from None
    return arrays, header
