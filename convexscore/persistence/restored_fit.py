"""A saved fit put together again from header and arrays, and checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore.models.score import ConvexScore
from convexscore.objectives.standardization import MODES
from convexscore.persistence.archive import BadFile
from convexscore.persistence.stored_parts import (
    STANDARDIZATION,
    certificate_from,
    feature_names_from,
    require_finite,
    require_same_problem,
    standardization_from,
)
from convexscore.persistence.stored_score import (
    Probes,
    require_same_as_piecewise,
    require_same_at_probes,
)
from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.selection.line_selection import BetaSelection

Floats = NDArray[np.float64]

_NETWORK = ("network_u", "network_w", "network_b", "network_offset")
# What a fit of one column has, and what one of several has instead.
_ONE = ("piecewise_knots", "piecewise_values", "piecewise_outer_slopes")
_SEVERAL = (*STANDARDIZATION, "start_points", "probe_points", "probe_scores")
_OPTIONAL_GROUPS = (
    ("network_skip",),
    ("noisy_points", "noise_labels"),
    ("selection_betas", "selection_loss", "selection_standard_error"),
)


def fit_from(header: dict[str, Any], arrays: dict[str, Floats]) -> ConvexScore:
    """The fit of a file; BadFile says what does not fit together."""
    n_features = header.get("n_features", 1)
    _check_entries(arrays, n_features)
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
        certificate = certificate_from(header["certificate"], header["schema_version"])
        selection = _selection(header, arrays)
        beta, blur = float(header["beta"]), float(header["blur"])
        names = feature_names_from(header, n_features)
        parts = (
            _parts_of_one(header, arrays)
            if n_features == 1
            else _parts_of_several(header, arrays, n_features)
        )
    except (TypeError, ValueError, KeyError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise BadFile(f"its contents do not fit together ({reason}).") from error
    if network.dim != n_features:
        raise BadFile(f"its network has dimension {network.dim}; expected {n_features}.")
    if n_features == 1:
        known = float(header["network_minus_piecewise"])
        require_same_as_piecewise(network, parts["piecewise_"], known)
    else:
        require_same_at_probes(network, Probes(arrays["probe_points"], arrays["probe_scores"]))
    require_same_problem(certificate, beta, network.n_neurons)
    fit.network_, fit.certificate_ = network, certificate
    fit.beta_, fit.beta_selection_ = beta, selection
    fit.noisy_points_ = arrays.get("noisy_points")
    fit.noise_labels_ = arrays.get("noise_labels")
    fit.blur_, fit.n_features_in_ = blur, n_features
    for name, value in (parts | names).items():
        setattr(fit, name, value)
    return fit


def _check_entries(arrays: dict[str, Floats], n_features: int) -> None:
    """All there that belongs together, and finite."""
    own, other = (_ONE, _SEVERAL) if n_features == 1 else (_SEVERAL, _ONE)
    for name in (*_NETWORK, *own):
        if name not in arrays:
            raise BadFile(f"entry {name!r} is missing.")
    for name in other:
        if name in arrays:
            raise BadFile(
                f"entry {name!r} does not belong to a fit with n_features = {n_features}."
            )
    for group in _OPTIONAL_GROUPS:
        present = [name in arrays for name in group]
        if any(present) and not all(present):
            raise BadFile(f"entries {', '.join(group)} belong together; some are missing.")
        if any(present) and len({arrays[name].shape for name in group}) > 1:
            raise BadFile(f"entries {', '.join(group)} differ in shape.")
    require_finite(arrays)


def _parts_of_one(header: dict[str, Any], arrays: dict[str, Floats]) -> dict[str, Any]:
    """What only fits of one column have."""
    float(header["network_minus_piecewise"])
    left, right = arrays["piecewise_outer_slopes"]
    score = PiecewiseLinearScore(
        arrays["piecewise_knots"], arrays["piecewise_values"], float(left), float(right)
    )
    return {"piecewise_": score}


def _parts_of_several(header: dict[str, Any], arrays: dict[str, Floats], d: int) -> dict[str, Any]:
    """What only fits of several columns have."""
    name = header["standardization"]
    if name not in MODES or name != header["params"].get("standardize"):
        raise ValueError(
            f"standardization {name!r} with standardize={header['params'].get('standardize')!r}"
        )
    made = standardization_from(header, arrays, d)
    for entry in ("start_points", "probe_points", "probe_scores", "noisy_points"):
        rows = arrays.get(entry)
        if rows is not None and (rows.ndim != 2 or rows.shape[1] != d or not len(rows)):
            raise ValueError(f"{entry} must have rows of {d} numbers; got shape {rows.shape}")
    if arrays["probe_points"].shape != arrays["probe_scores"].shape:
        raise ValueError("probe_points and probe_scores differ in shape")
    return {"standardization_": made, "start_points_": arrays["start_points"]}


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
