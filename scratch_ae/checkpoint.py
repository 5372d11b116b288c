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
    with open(temporary, "wb") as stream:
        entries: dict[str, Any] = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays}
        np.savez(stream, **entries)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, file)


def read(file: Path | str) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the header that `write` was given. Raises UserError where the file is missing or damaged."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        header = json.loads(arrays.pop("header").tobytes())
    except FileNotFoundError:
        raise UserError(f"there is no {file}. Train first: python -m scratch_ae.train rose") from None
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as problem:
        raise UserError(f"{file} is no checkpoint, or is damaged ({problem}). Use another, or train again.") from None
    return arrays, header
