"""Save a fit as one `.npz` file and read it back, verified; never a pickle."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from convexscore import __version__
from convexscore.estimators import ConvexScore
from convexscore.networks import TwoLayerNetwork
from convexscore.piecewise import PiecewiseLinearScore
from convexscore.selection import BetaSelection
from convexscore.solvers.result import Certificate

Floats = NDArray[np.float64]

FORMAT = "convexscore fit"
SCHEMA_VERSION = 1

# Network and piecewise score are the same function, up to rounding that `save` measures and records
# (far from zero the positions of kinks are coarse).  On load they may differ by twice that plus
# this share of the terms the network sums, far above rounding and far below any real damage.
_AGREEMENT = 1e-9
_REQUIRED = (
    "network_u", "network_w", "network_b", "network_offset",
    "piecewise_knots", "piecewise_values", "piecewise_outer_slopes",
)  # fmt: skip
_OPTIONAL_GROUPS = (
    ("network_skip",),
    ("noisy_points", "noise_labels"),
    ("selection_betas", "selection_loss", "selection_standard_error"),
)


def save(fit: ConvexScore, path: str | os.PathLike[str]) -> Path:
    """Write a fitted estimator to one `.npz` file.

    Arrays are stored in float64, everything else in a JSON header (entry ``header``) with format
    name, schema version, package version, parameters, certificate and beta.  The file is written
    beside its destination and moved there when complete, so a crash leaves no half file.

    Parameters
    ----------
    fit : ConvexScore
    path : path-like
        Used as it is (no suffix is added); an existing file is replaced.

    Returns
    -------
    pathlib.Path
        Where the fit was written.

    Raises
    ------
    TypeError
        If ``fit`` is not a ConvexScore.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    OSError
        If the file cannot be written.

    Notes
    -----
    A ``random_state`` that is a generator has a position that cannot be given back: None is
    stored, with a note in the header.  The training data are not stored, except the noisy points
    and labels of denoising.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np
    >>> from convexscore import fit_convex_score, load, save
    >>> fit = fit_convex_score(np.linspace(-1.0, 1.0, 9), beta=4.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = load(save(fit, pathlib.Path(folder) / "fit.npz"))
    >>> bool(again.score_function(0.3) == fit.score_function(0.3))
    True
    """
    if not isinstance(fit, ConvexScore):
        raise TypeError(
            f"fit must be a fitted ConvexScore; got {type(fit).__name__}. "
            "Save what fit_convex_score returned."
        )
    check_is_fitted(fit)
    arrays = _arrays_of(fit)
    header = np.array(json.dumps(_header_of(fit, arrays), allow_nan=False))
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(partial, "wb") as file:
            np.savez_compressed(file, header=header, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def load(path: str | os.PathLike[str]) -> ConvexScore:
    """Read a fit written by :func:`save` and verify it.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    ConvexScore
        Fitted; scores, densities and samples are equal to the last bit.

    Raises
    ------
    FileNotFoundError, OSError
        If the file cannot be opened.
    ValueError
        If it is damaged, not a saved fit, or written by a newer version; the message names the
        file and what is wrong.
    """
    path = Path(path)
    try:
        header, arrays = _read(path)
        return _fit_from(header, arrays)
    except _BadFile as error:
        raise ValueError(f"{path} cannot be loaded: {error}") from error.__cause__


class _BadFile(Exception):
    """What is wrong with a file, without its name."""


# ---------------------------------------------------------------------------------- writing


def _arrays_of(fit: ConvexScore) -> dict[str, Floats]:
    network, score = fit.network_, fit.piecewise_
    arrays = {
        "network_u": network.u,
        "network_w": network.w,
        "network_b": network.b,
        "network_offset": network.offset,
        "piecewise_knots": score.knots,
        "piecewise_values": score.values,
        "piecewise_outer_slopes": np.array([score.left_slope, score.right_slope]),
    }
    if network.skip is not None:
        arrays["network_skip"] = network.skip
    if fit.noisy_points_ is not None and fit.noise_labels_ is not None:
        arrays["noisy_points"] = fit.noisy_points_
        arrays["noise_labels"] = fit.noise_labels_
    selection = fit.beta_selection_
    if selection is not None:
        arrays["selection_betas"] = selection.betas
        arrays["selection_loss"] = selection.loss
        arrays["selection_standard_error"] = selection.standard_error
    return arrays


def _header_of(fit: ConvexScore, arrays: dict[str, Floats]) -> dict[str, Any]:
    params = {name: _plain(value) for name, value in fit.get_params(deep=False).items()}
    notes = []
    if not isinstance(params["random_state"], int | None):
        kind = type(params["random_state"]).__name__
        params["random_state"] = None
        notes.append(f"random_state was a {kind}, which cannot be stored; None stands for it")
    selection = fit.beta_selection_
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "convexscore_version": __version__,
        "params": params,
        "activation": fit.network_.activation,
        "beta": _to_json(float(fit.beta_)),
        "blur": _to_json(float(fit.blur_)),
        "network_minus_piecewise": float(_differences(fit.network_, fit.piecewise_)[1].max()),
        "certificate": {
            name: _to_json(_plain(value))
            for name, value in dataclasses.asdict(fit.certificate_).items()
        },
        "beta_selection": None
        if selection is None
        else {"beta": float(selection.beta), "beta_min": float(selection.beta_min)},
        "arrays": {name: list(array.shape) for name, array in arrays.items()},
        "notes": notes,
    }


def _plain(value: Any) -> Any:
    """NumPy scalars as the Python numbers they are equal to."""
    return value.item() if isinstance(value, np.generic) else value


def _to_json(value: Any) -> Any:
    """JSON has no infinity and no NaN: they become text."""
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


# ---------------------------------------------------------------------------------- reading


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Floats]]:
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise _BadFile(
                "it is not an .npz file (or its end is missing); expected a file written by "
                "convexscore.save."
            )
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                entries = {name: archive[name] for name in archive.files}
        # zipfile, zlib, numpy's header parser: each has its own error for a damaged entry
        except Exception as error:
            raise _BadFile(
                f"an entry is damaged or not a plain array ({error}); save the fit again."
            ) from error
    # numpy hands out members of the archive that are not arrays as bytes
    strange = [name for name, entry in entries.items() if not isinstance(entry, np.ndarray)]
    if strange:
        raise _BadFile(f"entry {strange[0]!r} is not an array; convexscore.save did not write it.")
    if "header" not in entries:
        raise _BadFile(
            f"it has no header, so convexscore.save did not write it (entries: "
            f"{', '.join(sorted(entries)) or 'none'})."
        )
    header = _parse_header(entries.pop("header"))
    _check_arrays(header, entries)
    return header, entries


def _parse_header(entry: NDArray[Any]) -> dict[str, Any]:
    if entry.shape != () or entry.dtype.kind != "U":
        raise _BadFile("its header is not text; convexscore.save did not write it.")
    try:
        header = json.loads(entry.item())
    except json.JSONDecodeError as error:
        raise _BadFile(f"its header is not valid JSON ({error}).") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else type(header).__name__
        raise _BadFile(f"its header says format {found!r}; expected {FORMAT!r}.")
    version = header.get("schema_version")
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise _BadFile(
            f"it has schema version {version!r}, written by convexscore "
            f"{header.get('convexscore_version')}; this is convexscore {__version__}, which reads "
            f"versions 1 to {SCHEMA_VERSION}. Upgrade convexscore."
        )
    kinds = {"params": dict, "certificate": dict, "arrays": dict, "activation": str}
    for name, kind in kinds.items():
        if not isinstance(header.get(name), kind):
            raise _BadFile(f"its header lacks {name!r}.")
    return header


def _check_arrays(header: dict[str, Any], arrays: dict[str, Floats]) -> None:
    declared = header["arrays"]
    if set(declared) != set(arrays):
        missing = sorted(set(declared) - set(arrays))
        extra = sorted(set(arrays) - set(declared))
        raise _BadFile(f"entries differ from the header: missing {missing}, unexpected {extra}.")
    for name, array in arrays.items():
        if array.dtype != np.float64 or list(array.shape) != declared[name]:
            raise _BadFile(
                f"entry {name!r} is {array.dtype} with shape {array.shape}; expected float64 with "
                f"shape {tuple(declared[name])}."
            )
    for name in _REQUIRED:
        if name not in arrays:
            raise _BadFile(f"entry {name!r} is missing.")
    for group in _OPTIONAL_GROUPS:
        present = [name in arrays for name in group]
        if any(present) and not all(present):
            raise _BadFile(f"entries {', '.join(group)} belong together; some are missing.")
        if any(present) and len({arrays[name].shape for name in group}) > 1:
            raise _BadFile(f"entries {', '.join(group)} differ in shape.")
    for name, array in arrays.items():
        # the held-out curve is NaN where the path was not followed
        if not name.startswith("selection_") and not np.isfinite(array).all():
            raise _BadFile(f"entry {name!r} holds NaN or infinity.")


def _fit_from(header: dict[str, Any], arrays: dict[str, Floats]) -> ConvexScore:
    try:
        fit = ConvexScore(**header["params"])
        fit._options()
        network = TwoLayerNetwork(
            arrays["network_u"],
            arrays["network_w"],
            arrays["network_b"],
            skip=arrays.get("network_skip"),
            offset=arrays["network_offset"],
            activation=header["activation"],
        )
        left, right = arrays["piecewise_outer_slopes"]
        score = PiecewiseLinearScore(
            arrays["piecewise_knots"], arrays["piecewise_values"], float(left), float(right)
        )
        certificate = _certificate(header["certificate"])
        selection = _selection(header, arrays)
        beta, known = float(header["beta"]), float(header["network_minus_piecewise"])
        blur = float(header["blur"])
    except (TypeError, ValueError, KeyError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise _BadFile(f"its contents do not fit together ({reason}).") from error
    _check_agreement(network, score, known)
    if not beta == certificate.beta > 0 or certificate.n_neurons != network.n_neurons:
        raise _BadFile(
            f"its certificate is for beta {certificate.beta:g}, {certificate.n_neurons} neurons, "
            f"the network for beta {beta:g} and {network.n_neurons}."
        )
    fit.network_, fit.piecewise_, fit.certificate_ = network, score, certificate
    fit.beta_, fit.beta_selection_ = beta, selection
    fit.noisy_points_ = arrays.get("noisy_points")
    fit.noise_labels_ = arrays.get("noise_labels")
    fit.blur_, fit.n_features_in_ = blur, 1
    return fit


def _certificate(stored: dict[str, Any]) -> Certificate:
    kinds = {"exact": bool, "n_neurons": int, "n_iter": int, "status": str}
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Certificate):
        kind = kinds.get(field.name, float)
        value = stored[field.name]
        if kind is not float and type(value) is not kind:
            raise ValueError(f"certificate field {field.name!r} is {value!r}")
        values[field.name] = kind(value)
    return Certificate(**values)


def _selection(header: dict[str, Any], arrays: dict[str, Floats]) -> BetaSelection | None:
    if "selection_betas" not in arrays:
        return None
    return BetaSelection(
        beta=float(header["beta_selection"]["beta"]),
        betas=arrays["selection_betas"],
        loss=arrays["selection_loss"],
        standard_error=arrays["selection_standard_error"],
        beta_min=float(header["beta_selection"]["beta_min"]),
    )


def _check_agreement(network: TwoLayerNetwork, score: PiecewiseLinearScore, known: float) -> None:
    if network.dim != 1:
        raise _BadFile(f"its network has dimension {network.dim}; expected 1.")
    points, apart = _differences(network, score)
    terms = np.abs(network.w[:, 0]) @ np.abs(network.u * points + network.b[:, None])
    terms += np.abs(network.offset[0])
    if network.skip is not None:
        terms += np.abs(network.skip[0, 0] * points)
    excess = apart - 2.0 * known - _AGREEMENT * terms
    if not (excess <= 0).all():
        worst = int(np.argmax(excess))
        raise _BadFile(
            f"its network and its piecewise-linear score differ by {apart[worst]:.3g} at "
            f"x = {points[worst]:.6g}, {known:.3g} when it was saved; it was altered since. "
            "Save the fit again."
        )


def _differences(network: TwoLayerNetwork, score: PiecewiseLinearScore) -> tuple[Floats, Floats]:
    """|network - piecewise| at the knots and one spread of the knots beyond either end."""
    knots = score.knots
    reach = float(knots[-1] - knots[0]) or max(abs(float(knots[0])), 1.0)
    points = np.concatenate([[knots[0] - reach], knots, [knots[-1] + reach]])
    return points, np.abs(network(points) - score(points))
