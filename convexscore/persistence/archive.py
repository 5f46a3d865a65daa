"""One `.npz` file of float64 arrays under a JSON header, written whole and read without trust."""

from __future__ import annotations

import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore import __version__

Floats = NDArray[np.float64]

FORMAT = "convexscore fit"
# 2: fits of several columns.  3: diffusion models; the header names the model.
SCHEMA_VERSION = 3
# What the header of each model must hold.
MODELS: dict[str, dict[str, type]] = {
    "ConvexScore": {"n_features": int, "activation": str, "certificate": dict},
    "ConvexDiffusion": {"n_features": int, "activation": str, "levels": list, "digest": str},
}


class BadFile(Exception):
    """What is wrong with a file, without its name."""


# ---------------------------------------------------------------------------------- writing


def write_archive(path: Path, header: dict[str, Any], arrays: dict[str, Floats]) -> None:
    """Write beside the destination and move there when complete, so a crash leaves no half file."""
    header = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "convexscore_version": __version__,
        **header,
        "arrays": {name: list(array.shape) for name, array in arrays.items()},
    }
    text = np.array(json.dumps(header, allow_nan=False))
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(partial, "wb") as file:
            np.savez_compressed(file, header=text, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def plain(value: Any) -> Any:
    """NumPy scalars as the Python numbers they are equal to."""
    return value.item() if isinstance(value, np.generic) else value


def to_json(value: Any) -> Any:
    """JSON has no infinity and no NaN: they become text."""
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


# ---------------------------------------------------------------------------------- reading


def read_archive(path: Path) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Header and arrays, of the shapes that the header declares.

    Raises
    ------
    BadFile
        Whatever is wrong with the contents.
    OSError
        If the file cannot be opened.
    """
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise BadFile(
                "it is not an .npz file (or its end is missing); expected a file written by "
                "convexscore.save."
            )
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                entries = {name: archive[name] for name in archive.files}
        # zipfile, zlib, numpy's header parser: each has its own error for a damaged entry
        except Exception as error:
            raise BadFile(
                f"an entry is damaged or not a plain array ({error}); save the fit again."
            ) from error
    # numpy hands out members of the archive that are not arrays as bytes
    strange = [name for name, entry in entries.items() if not isinstance(entry, np.ndarray)]
    if strange:
        raise BadFile(f"entry {strange[0]!r} is not an array; convexscore.save did not write it.")
    if "header" not in entries:
        raise BadFile(
            f"it has no header, so convexscore.save did not write it (entries: "
            f"{', '.join(sorted(entries)) or 'none'})."
        )
    header = _parse_header(entries.pop("header"))
    _check_declared(header["arrays"], entries)
    return header, entries


def _parse_header(entry: NDArray[Any]) -> dict[str, Any]:
    if entry.shape != () or entry.dtype.kind != "U":
        raise BadFile("its header is not text; convexscore.save did not write it.")
    try:
        header = json.loads(entry.item())
    except json.JSONDecodeError as error:
        raise BadFile(f"its header is not valid JSON ({error}).") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else type(header).__name__
        raise BadFile(f"its header says format {found!r}; expected {FORMAT!r}.")
    version = header.get("schema_version")
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise BadFile(
            f"it has schema version {version!r}, written by convexscore "
            f"{header.get('convexscore_version')}; this is convexscore {__version__}, which reads "
            f"versions 1 to {SCHEMA_VERSION}. Upgrade convexscore."
        )
    # before schema 3 there was one model, before schema 2 for one column
    model = header.setdefault("model", "ConvexScore") if version < 3 else header.get("model")
    if model not in MODELS:
        raise BadFile(f"its header says model {model!r}; expected one of {', '.join(MODELS)}.")
    kinds = {"params": dict, "arrays": dict, **MODELS[model]}
    if version == 1:
        header.setdefault("n_features", 1)
    for name, kind in kinds.items():
        if not isinstance(header.get(name), kind):
            raise BadFile(f"its header lacks {name!r}.")
    return header


def _check_declared(declared: dict[str, list[int]], arrays: dict[str, Floats]) -> None:
    if set(declared) != set(arrays):
        missing = sorted(set(declared) - set(arrays))
        extra = sorted(set(arrays) - set(declared))
        raise BadFile(f"entries differ from the header: missing {missing}, unexpected {extra}.")
    for name, array in arrays.items():
        if array.dtype != np.float64 or list(array.shape) != declared[name]:
            raise BadFile(
                f"entry {name!r} is {array.dtype} with shape {array.shape}; expected float64 with "
                f"shape {tuple(declared[name])}."
            )
