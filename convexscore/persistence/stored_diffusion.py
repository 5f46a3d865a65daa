"""A diffusion model as header and arrays: the networks of all levels stacked, one row per level."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore.models.diffusion import ConvexDiffusion
from convexscore.models.levels import LevelFit
from convexscore.persistence.archive import to_json
from convexscore.persistence.stored_parts import (
    certificate_to_json,
    feature_names_of,
    params_of,
    standardization_parts,
)
from convexscore.persistence.stored_score import difference_from_piecewise
from convexscore.scores.ladder import ScoreLadder

Floats = NDArray[np.float64]

# Points at which the scores of all levels are stored as well.
_N_PROBES = 64


def contents_of(model: ConvexDiffusion) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Header and arrays of a fitted model.

    Everything is in units of Z, where the levels were solved; ``networks_`` follow from them.
    """
    table = list(model.certificates_)
    fits = [fit for fit in table if fit.network is not None]
    to_z_header, to_z_arrays = standardization_parts(model.standardization_)
    arrays = {
        "levels": np.array([fit.level for fit in table]),
        "betas": np.array([fit.beta for fit in table]),
        "seconds": np.array([fit.seconds for fit in table]),
        "mean": model.ladder_.mean,
        "covariance": model.ladder_.covariance,
        **to_z_arrays,
        **_networks(fits),
    }
    if model.n_features_in_ == 1:
        arrays |= _pieces(fits)
    else:
        arrays |= _probes(fits, model.ladder_)
    selection = model.factor_selection_
    if selection is not None:
        arrays["selection_factors"] = selection.factors
        arrays["selection_loss"] = selection.loss
        arrays["selection_standard_error"] = selection.standard_error
        arrays["selection_levels"] = selection.levels
    params, notes = params_of(model)
    header = {
        "model": "ConvexDiffusion",
        "params": params,
        "n_features": int(model.n_features_in_),
        "activation": fits[0].network.activation,  # type: ignore[union-attr]
        "n_draws": int(model.n_draws_),
        **to_z_header,
        "levels": [_row(fit) for fit in table],
        "factor": None if selection is None else float(selection.factor),
        "digest": digest_of(arrays),
        "notes": notes,
        **feature_names_of(model),
    }
    return header, arrays


def digest_of(arrays: dict[str, Floats]) -> str:
    """SHA-256 of names, shapes and contents: no number can change unseen."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name], dtype="<f8")
        total.update(f"{name}{array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _row(fit: LevelFit) -> dict[str, Any]:
    network, score = fit.network, fit.piecewise
    row: dict[str, Any] = {"error": fit.error, "messages": list(fit.messages)}
    if network is None:
        return row
    row["n_neurons"] = network.n_neurons
    if fit.certificate is not None:
        row["certificate"] = certificate_to_json(fit.certificate)
    if score is not None:
        row["n_knots"] = int(score.knots.size)
        row["network_minus_piecewise"] = to_json(difference_from_piecewise(network, score))
    return row


def _networks(fits: Sequence[LevelFit]) -> dict[str, Floats]:
    networks = [fit.network for fit in fits if fit.network is not None]
    stacked = {
        "network_u": np.concatenate([network.u for network in networks]),
        "network_w": np.concatenate([network.w for network in networks]),
        "network_b": np.concatenate([network.b for network in networks]),
        "network_offset": np.stack([network.offset for network in networks]),
    }
    skips = [network.skip for network in networks if network.skip is not None]
    if skips:
        stacked["network_skip"] = np.stack(skips)
    return stacked


def _pieces(fits: Sequence[LevelFit]) -> dict[str, Floats]:
    scores = [fit.piecewise for fit in fits if fit.piecewise is not None]
    return {
        "piecewise_knots": np.concatenate([score.knots for score in scores]),
        "piecewise_values": np.concatenate([score.values for score in scores]),
        "piecewise_outer_slopes": np.array(
            [[score.left_slope, score.right_slope] for score in scores]
        ),
    }


def _probes(fits: Sequence[LevelFit], ladder: ScoreLadder) -> dict[str, Floats]:
    """Points like noisy data and the scores of all levels there."""
    d = len(ladder.mean)
    values, axes = np.linalg.eigh(ladder.covariance)
    away = np.random.default_rng(0).normal(size=(_N_PROBES, d)) * np.sqrt(values.clip(min=0.0))
    points = ladder.mean + away @ axes.T
    return {"probe_points": points, "probe_scores": np.stack([fit.score(points) for fit in fits])}
