"""What files of all models share: parameters, certificates, standardisations, names of columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore.objectives.standardization import Standardization
from convexscore.persistence.archive import BadFile, plain, to_json
from convexscore.persistence.stored_score import inverse_error
from convexscore.solvers.certificate import Certificate

Floats = NDArray[np.float64]

STANDARDIZATION = ("standardization_centre", "standardization_matrix", "standardization_inverse")
# Fields that certificates of schema 1 did not have yet; their defaults are what was meant.
_NEW_IN_CERTIFICATES = ("n_tried",)


# ---------------------------------------------------------------------------------- parameters


def params_of(model: Any) -> tuple[dict[str, Any], list[str]]:
    """Parameters of an estimator as JSON knows them, and notes on those that cannot be stored."""
    params = {name: _param(value) for name, value in model.get_params(deep=False).items()}
    notes = []
    if not isinstance(params["random_state"], int | None):
        kind = type(params["random_state"]).__name__
        params["random_state"] = None
        notes.append(f"random_state was a {kind}, which cannot be stored; None stands for it")
    return params, notes


def _param(value: Any) -> Any:
    """A number, a word or None as it is, an array as a list."""
    value = plain(value)
    if isinstance(value, str | int | float | None):
        return value
    return np.asarray(value).tolist() if isinstance(value, Iterable) else value


# ---------------------------------------------------------------------------------- certificates


def certificate_to_json(certificate: Certificate) -> dict[str, Any]:
    """Fields of a certificate."""
    return {name: to_json(plain(value)) for name, value in dataclasses.asdict(certificate).items()}


def certificate_from(stored: dict[str, Any], schema: int) -> Certificate:
    """The certificate of a header; ValueError or KeyError name a wrong field."""
    kinds = {"exact": bool, "n_neurons": int, "n_iter": int, "n_tried": int, "status": str}
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Certificate):
        if schema == 1 and field.name in _NEW_IN_CERTIFICATES:
            continue
        kind = kinds.get(field.name, float)
        value = stored[field.name]
        if kind is not float and type(value) is not kind:
            raise ValueError(f"certificate field {field.name!r} is {value!r}")
        values[field.name] = kind(value)
    return Certificate(**values)


def require_same_problem(certificate: Certificate, beta: float, n_neurons: int) -> None:
    """Raise BadFile unless the certificate is for this penalty and this network."""
    if not beta == certificate.beta > 0 or certificate.n_neurons != n_neurons:
        raise BadFile(
            f"its certificate is for beta {certificate.beta:g}, {certificate.n_neurons} neurons, "
            f"the network for beta {beta:g} and {n_neurons}."
        )


# ---------------------------------------------------------------------------------- standardisation


def standardization_parts(made: Standardization) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Header fields and arrays of a standardisation."""
    header = {
        "standardization": made.name,
        # rounding, large where columns are nearly dependent
        "standardization_error": inverse_error(made),
    }
    return header, dict(zip(STANDARDIZATION, (made.centre, made.matrix, made.inverse), strict=True))


def standardization_from(
    header: dict[str, Any], arrays: dict[str, Floats], d: int
) -> Standardization:
    """The standardisation of d columns of a file; ValueError says what is wrong with it."""
    centre, matrix, inverse = (arrays[name] for name in STANDARDIZATION)
    made = Standardization(centre, matrix, inverse, header["standardization"])
    if made.centre.shape != (d,) or not made.matrix.shape == made.inverse.shape == (d, d):
        raise ValueError(f"the standardisation is not one of {d} columns")
    off, known = inverse_error(made), float(header["standardization_error"])
    if not off <= 2.0 * known + 1e-9:
        raise ValueError(
            f"the standardisation times its inverse is off by {off:.2g}, {known:.2g} on saving"
        )
    return made


# ---------------------------------------------------------------------------------- columns


def feature_names_of(model: Any) -> dict[str, Any]:
    """Header field with the names of columns, if the model knows them."""
    names = getattr(model, "feature_names_in_", None)
    return {} if names is None else {"feature_names": [str(name) for name in names]}


def feature_names_from(header: dict[str, Any], d: int) -> dict[str, Any]:
    """The attribute they were."""
    names = header.get("feature_names")
    if names is None:
        return {}
    if len(names) != d or not all(isinstance(name, str) for name in names):
        raise ValueError(f"feature_names must be {d} names; got {names!r}")
    return {"feature_names_in_": np.array(names, dtype=object)}


def require_finite(arrays: dict[str, Floats]) -> None:
    """Raise BadFile if an array holds NaN or infinity."""
    for name, array in arrays.items():
        # the held-out curve is NaN where the path was not followed
        if not name.startswith("selection_") and not np.isfinite(array).all():
            raise BadFile(f"entry {name!r} holds NaN or infinity.")
