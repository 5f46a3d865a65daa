"""One uncompressed `.npz` file: a JSON header, arrays, and one digest over every byte of both."""

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
from typing import IO, Any

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
    header = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "convexscore_version": __version__,
        **header,
    }
    text = json.dumps(header, allow_nan=False).encode()
    entries = {name: _npy(array) for name, array in {"header": np.array(text), **arrays}.items()}
    entries["digest"] = _npy(np.array(digest_of(entries).encode()))
    try:
        _replace(path, entries)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def digest_of(entries: dict[str, bytes]) -> str:
    """SHA-256 over names and contents of all entries but the digest itself."""
    total = hashlib.sha256()
    for name in sorted(entries.keys() - {"digest"}):
        total.update(f"{len(name)} {len(entries[name])} {name}".encode())
        total.update(entries[name])
    return total.hexdigest()


def _npy(array: Array) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()


def _replace(path: Path, entries: dict[str, bytes]) -> None:
    """Write beside the file that ``path`` leads to, then take its place."""
    target = Path(os.path.realpath(path))
    mode = _mode_of(path)
    # every writer has its own; a new file gets what the umask leaves of 666, an old one keeps its mode
    partial = target.with_name(f".{uuid.uuid4().hex}.part")

    def create(name: str, flags: int) -> int:
        return os.open(name, flags, 0o666 if mode is None else 0o600)

    try:
        with open(partial, "xb", opener=create) as file:
            if mode is not None:
                os.chmod(partial, mode)
            _write_zip(file, entries)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _mode_of(path: Path) -> int | None:
    """Mode bits of an existing file; a folder or a device must not be replaced."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise OSError(errno.EEXIST, "exists and is not a regular file", str(path))
    return stat.S_IMODE(mode)


def _write_zip(file: IO[bytes], entries: dict[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # of a fixed date: same model, same bytes
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)


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
    with open(path, "rb") as file:
        entries = _read_zip(file)
    header = _header_of(entries)
    if (
        "digest" not in entries
        or _array(entries, "digest").tobytes() != digest_of(entries).encode()
    ):
        raise BadFile(
            "its contents are not those that were saved (the digest is another); save the model "
            "again."
        )
    return header, {name: _array(entries, name) for name in entries.keys() - {"header", "digest"}}


def _read_zip(file: IO[bytes]) -> dict[str, bytes]:
    size = os.fstat(file.fileno()).st_size
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_size(sum(member.file_size for member in members), size)
            return {m.filename.removesuffix(".npy"): archive.read(m) for m in members}
    except zipfile.BadZipFile as error:
        raise BadFile(
            f"it is not an .npz file, or damaged, or its end is missing ({error}); expected a file "
            "written by convexscore.save."
        ) from error
    except BadFile:
        raise
    except Exception as error:  # zipfile has no single error for fields that make no sense
        raise BadFile(f"it is damaged ({error}); save the model again.") from error


def _check_size(declared: int, size: int) -> None:
    """Nothing is compressed, so no small file can fill the memory."""
    if declared > size:
        raise BadFile(
            f"its entries declare {declared} bytes and the whole file has {size}; "
            "convexscore.save did not write it."
        )


def _header_of(entries: dict[str, bytes]) -> dict[str, Any]:
    if "header" not in entries:
        raise BadFile(
            f"it has no header, so convexscore.save did not write it (entries: "
            f"{', '.join(sorted(entries)) or 'none'})."
        )
    text = _array(entries, "header")
    if text.dtype.kind != "S" or text.shape:
        raise BadFile("its header is not text; convexscore.save did not write it.")
    try:
        header = json.loads(text.item())
    except (ValueError, RecursionError) as error:
        raise BadFile(f"its header is not valid JSON ({error}).") from error
    found = header.get("format") if isinstance(header, dict) else type(header).__name__
    if not isinstance(header, dict) or found != FORMAT:
        raise BadFile(f"its header says format {found!r}; expected {FORMAT!r}.")
    version = header.get("schema_version")
    if version != SCHEMA_VERSION:
        raise BadFile(
            f"it has schema version {version!r}, written by convexscore "
            f"{header.get('convexscore_version')}; this is convexscore {__version__}, which reads "
            f"version {SCHEMA_VERSION}. Use the version that wrote it, or save the model again."
        )
    return header


def _array(entries: dict[str, bytes], name: str) -> Array:
    """The array of one entry, whose bytes must be all that its own header promises."""
    content = entries[name]
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
