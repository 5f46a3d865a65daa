"""One uncompressed `.npz` file: a JSON header, arrays, and one digest over both."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import uuid
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore import __version__

Array = NDArray[Any]

FORMAT = "convexscore model"
SCHEMA_VERSION = 1
# Booleans, integers, floats, text: arrays that are nothing but numbers and letters.
KINDS = "biufSU"


class BadFile(Exception):
    """What is wrong with a file, without its name."""


# ---------------------------------------------------------------------------------- writing


def write_archive(path: Path, header: dict[str, Any], arrays: dict[str, Array]) -> None:
    """Put header and arrays where ``path`` leads, all at once or not at all.

    Raises
    ------
    OSError
        Names ``path``.  Whatever was there is still there, and nothing beside it.
    """
    versions = {"schema_version": SCHEMA_VERSION, "convexscore_version": __version__}
    text = json.dumps({"format": FORMAT, **versions, **header}, allow_nan=False).encode()
    entries = {"header": np.array(text), **arrays}
    entries["digest"] = np.array(digest_of(entries))
    try:
        _replace(path, entries)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def digest_of(entries: dict[str, Array]) -> bytes:
    """SHA-256 over names, types, shapes and numbers of all entries but the digest itself."""
    total = hashlib.sha256()
    for name in sorted(entries.keys() - {"digest"}):
        array = entries[name]
        total.update(f"{len(name)} {name} {array.dtype.str} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest().encode()


def _replace(path: Path, entries: dict[str, Array]) -> None:
    """Write beside the file that ``path`` leads to, then take its place."""
    target = Path(os.path.realpath(path))
    mode = None
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):  # a folder or a device must not be replaced
            raise OSError(errno.EEXIST, "exists and is not a regular file", str(path))
    except FileNotFoundError:
        pass
    # every writer has its own; a new file gets what the umask leaves of 666, an old one keeps its mode
    partial = target.with_name(f".{uuid.uuid4().hex}.part")

    def create(name: str, flags: int) -> int:
        return os.open(name, flags, 0o666 if mode is None else 0o600)

    try:
        with open(partial, "xb", opener=create) as file:
            if mode is not None:
                os.chmod(partial, stat.S_IMODE(mode))
            # without dates: the same model makes the same bytes
            np.savez(file, **entries)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


# ---------------------------------------------------------------------------------- reading


def read_archive(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Header and arrays of a file that is bit for bit what was written.

    Raises
    ------
    BadFile
        Whatever is wrong with the contents.
    OSError
        If the file cannot be opened.
    """
    entries = {name: _array(name, content) for name, content in _read_zip(path).items()}
    header = _header_of(entries)
    if entries.get("digest", np.empty(0)).tobytes() != digest_of(entries):
        raise BadFile(
            "its contents are not those that were saved (the digest is another); save the model "
            "again."
        )
    return header, {name: entries[name] for name in entries.keys() - {"header", "digest"}}


def _read_zip(path: Path) -> dict[str, bytes]:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                declared = sum(member.file_size for member in members)
                if declared <= size:  # nothing is compressed: no small file can fill the memory
                    return {m.filename.removesuffix(".npy"): archive.read(m) for m in members}
        except zipfile.BadZipFile as error:
            raise BadFile(
                f"it is not an .npz file, or damaged, or its end is missing ({error}); expected a file "
                "written by convexscore.save."
            ) from error
        except Exception as error:  # zipfile has no single error for fields that make no sense
            raise BadFile(f"it is damaged ({error}); save the model again.") from error
    raise BadFile(
        f"its entries declare {declared} bytes and the whole file has {size}; "
        "convexscore.save did not write it."
    )


def _header_of(entries: dict[str, Array]) -> dict[str, Any]:
    text = entries.get("header")
    if text is None or text.dtype.kind != "S" or text.shape:
        raise BadFile(
            f"it has no header that is text, so convexscore.save did not write it (entries: "
            f"{', '.join(sorted(entries)) or 'none'})."
        )
    try:
        header = json.loads(text.item())
    except (ValueError, RecursionError) as error:
        raise BadFile(f"its header is not valid JSON ({error}).") from error
    found = header.get("format") if isinstance(header, dict) else type(header).__name__
    if found != FORMAT:
        raise BadFile(f"its header says format {found!r}; expected {FORMAT!r}.")
    version = header.get("schema_version")
    if version != SCHEMA_VERSION:
        raise BadFile(
            f"it has schema version {version!r}, written by convexscore "
            f"{header.get('convexscore_version')}; this is convexscore {__version__}, which reads "
            f"version {SCHEMA_VERSION}. Use the version that wrote it, or save the model again."
        )
    return header


def _array(name: str, content: bytes) -> Array:
    """The array of one entry, whose bytes must be all that its own header promises."""
    stream = io.BytesIO(content)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("its .npy version is not 1.0")
        shape, in_columns, dtype = np.lib.format.read_array_header_1_0(stream)
        start = stream.tell()
        if dtype.kind not in KINDS or prod(shape) * dtype.itemsize != len(content) - start:
            raise ValueError(f"{dtype} with shape {shape} in {len(content) - start} bytes")
        order: Any = "F" if in_columns else "C"
        return np.ndarray(shape, dtype, content, start, order=order).copy(order="K")
    except Exception as error:  # whatever numpy says of a header that makes no sense
        raise BadFile(f"entry {name!r} is damaged or not a plain array ({error}).") from error
