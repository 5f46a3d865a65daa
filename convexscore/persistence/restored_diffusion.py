"""A saved diffusion model put together again from header and arrays, and checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore.models.diffusion import ConvexDiffusion
from convexscore.models.levels import LevelFit, LevelTable
from convexscore.persistence.archive import BadFile
from convexscore.persistence.stored_diffusion import digest_of
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
from convexscore.scores.ladder import ScoreLadder
from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.selection.ladder import FactorSelection

Floats = NDArray[np.float64]

_ALWAYS = (
    "levels", "betas", "seconds", "mean", "covariance", *STANDARDIZATION,
    "network_u", "network_w", "network_b", "network_offset",
)  # fmt: skip
_ONE = ("piecewise_knots", "piecewise_values", "piecewise_outer_slopes")
_SEVERAL = ("probe_points", "probe_scores")
_SELECTION = (
    "selection_factors", "selection_loss", "selection_standard_error", "selection_levels",
)  # fmt: skip


def diffusion_from(header: dict[str, Any], arrays: dict[str, Floats]) -> ConvexDiffusion:
    """The model of a file; BadFile says what does not fit together."""
    d = header["n_features"]
    _check_entries(arrays, d)
    if digest_of(arrays) != header["digest"]:
        raise BadFile(
            "its numbers are not those that were saved (the digest in the header is another); "
            "save the model again."
        )
    try:
        return _model_from(header, arrays, d)
    except (TypeError, ValueError, KeyError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise BadFile(f"its contents do not fit together ({reason}).") from error


def _check_entries(arrays: dict[str, Floats], d: int) -> None:
    own, other = (_ONE, _SEVERAL) if d == 1 else (_SEVERAL, _ONE)
    for name in (*_ALWAYS, *own):
        if name not in arrays:
            raise BadFile(f"entry {name!r} is missing.")
    for name in other:
        if name in arrays:
            raise BadFile(f"entry {name!r} does not belong to a model with n_features = {d}.")
    present = [name in arrays for name in _SELECTION]
    if any(present) and not all(present):
        raise BadFile(f"entries {', '.join(_SELECTION)} belong together; some are missing.")
    require_finite(arrays)


def _model_from(header: dict[str, Any], arrays: dict[str, Floats], d: int) -> ConvexDiffusion:
    model = ConvexDiffusion(**header["params"])
    model._check_options()
    if model.activation != header["activation"]:
        raise ValueError(
            f"activation {header['activation']!r} of a model with {model.activation!r}"
        )
    to_z = standardization_from(header, arrays, d)
    if to_z.name != model._standardize_mode():
        raise ValueError(f"standardization {to_z.name!r} with standardize={model.standardize!r}")
    mean, covariance = arrays["mean"], arrays["covariance"]
    if mean.shape != (d,) or covariance.shape != (d, d):
        raise ValueError(f"mean and covariance are not those of {d} columns")
    table = LevelTable(_fits(header, arrays, d))
    good = [fit for fit in table if fit.network is not None]
    networks = [fit.network for fit in table if fit.network is not None]
    levels = np.array([fit.level for fit in good])
    if not good or not (levels > 0).all() or not (np.diff(levels) < 0).all():
        raise ValueError(f"the levels must decrease and be > 0; got {levels.tolist()}")
    model.certificates_ = table
    model.factor_selection_ = _selection(header, arrays)
    model.levels_ = levels
    model.betas_ = np.array([fit.beta for fit in good])
    model.standardization_ = to_z
    model.networks_ = tuple(to_z.network_back(network) for network in networks)
    model.ladder_ = ScoreLadder(levels, [fit.score for fit in good], mean, covariance)
    model.n_draws_ = int(header["n_draws"])
    model.n_features_in_ = d
    for name, value in feature_names_from(header, d).items():
        setattr(model, name, value)
    return model


def _fits(header: dict[str, Any], arrays: dict[str, Floats], d: int) -> list[LevelFit]:
    """One row of the table for each level, each with its network, if it has one."""
    rows = header["levels"]
    for name in ("levels", "betas", "seconds"):
        if arrays[name].shape != (len(rows),):
            raise ValueError(f"{name} must hold one number for each of {len(rows)} levels")
    fitted = [row for row in rows if "n_neurons" in row]
    networks = iter(_networks(fitted, arrays, header["activation"], d))
    scores: Iterator[Any] = iter(_pieces(fitted, arrays) if d == 1 else [None] * len(fitted))
    fits = []
    for k, row in enumerate(rows):
        if not isinstance(row["error"], str) or bool(row["error"]) == ("n_neurons" in row):
            raise ValueError(f"row {k} of the levels has both or neither of a network and an error")
        network = score = certificate = None
        beta = float(arrays["betas"][k])
        if "n_neurons" in row:
            network, score = next(networks), next(scores)
            certificate = certificate_from(row["certificate"], header["schema_version"])
            require_same_problem(certificate, beta, network.n_neurons)
            if score is not None:
                require_same_as_piecewise(network, score, float(row["network_minus_piecewise"]))
        fits.append(
            LevelFit(
                level=float(arrays["levels"][k]),
                beta=beta,
                network=network,
                piecewise=score,
                certificate=certificate,
                seconds=float(arrays["seconds"][k]),
                error=row["error"],
                messages=tuple(row["messages"]),
            )
        )
    return fits


def _networks(
    rows: list[dict[str, Any]], arrays: dict[str, Floats], activation: str, d: int
) -> list[TwoLayerNetwork]:
    ends = _ends(
        [row["n_neurons"] for row in rows], arrays, ("network_u", "network_w", "network_b")
    )
    offsets, skips = arrays["network_offset"], arrays.get("network_skip")
    if offsets.shape != (len(rows), d) or not (skips is None or skips.shape == (len(rows), d, d)):
        raise ValueError(f"offsets or skip connections are not those of {len(rows)} networks")
    networks = [
        TwoLayerNetwork(
            u,
            w,
            b,
            skip=None if skips is None else skips[k],
            offset=offsets[k],
            activation=activation,
        )
        for k, (u, w, b) in enumerate(
            zip(
                np.split(arrays["network_u"], ends),
                np.split(arrays["network_w"], ends),
                np.split(arrays["network_b"], ends),
                strict=True,
            )
        )
    ]
    if d > 1:
        points, scores = arrays["probe_points"], arrays["probe_scores"]
        if points.ndim != 2 or scores.shape != (len(rows), len(points), d) or not len(points):
            raise ValueError(f"the probes are not those of {len(rows)} networks of {d} columns")
        for network, score in zip(networks, scores, strict=True):
            require_same_at_probes(network, Probes(points, score))
    return networks


def _pieces(rows: list[dict[str, Any]], arrays: dict[str, Floats]) -> list[PiecewiseLinearScore]:
    ends = _ends([row["n_knots"] for row in rows], arrays, ("piecewise_knots", "piecewise_values"))
    slopes = arrays["piecewise_outer_slopes"]
    if slopes.shape != (len(rows), 2):
        raise ValueError(f"the outer slopes are not those of {len(rows)} scores")
    return [
        PiecewiseLinearScore(knots, values, float(left), float(right))
        for knots, values, (left, right) in zip(
            np.split(arrays["piecewise_knots"], ends),
            np.split(arrays["piecewise_values"], ends),
            slopes,
            strict=True,
        )
    ]


def _ends(sizes: list[int], arrays: dict[str, Floats], names: tuple[str, ...]) -> NDArray[np.intp]:
    """Where the parts of stacked arrays end, the last one apart."""
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise ValueError(f"the sizes of the networks are {sizes}")
    for name in names:
        if len(arrays[name]) != sum(sizes):
            raise ValueError(f"{name} has {len(arrays[name])} rows; the levels have {sum(sizes)}")
    return np.cumsum(sizes, dtype=np.intp)[:-1]


def _selection(header: dict[str, Any], arrays: dict[str, Floats]) -> FactorSelection | None:
    if "selection_factors" not in arrays:
        return None
    return FactorSelection(float(header["factor"]), *(arrays[name] for name in _SELECTION))
