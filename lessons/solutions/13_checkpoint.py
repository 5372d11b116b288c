import json
import os
from pathlib import Path

import numpy as np


def save(file: Path, arrays: dict[str, np.ndarray], header: dict) -> None:
    part = file.with_name(file.name + ".part")
    entries = {"header": np.array(json.dumps(header)), **arrays}
    try:
        with open(part, "wb") as stream:
            np.savez(stream, allow_pickle=False, **entries)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def load(file: Path) -> tuple[dict[str, np.ndarray], dict]:
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        header = json.loads(arrays.pop("header").item())
    except FileNotFoundError:
        raise
    except Exception as problem:
        raise ValueError(f"{file} is damaged: {problem}") from problem
    return arrays, header
