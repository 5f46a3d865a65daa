"""The lasso solvers to compare with: each a function of the dense problem and a tolerance."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from benchmarks.harness import Floats

# (matrix, target, beta, tol) -> coefficients of 1/2 ||X y - t||^2 + beta ||y||_1
LassoSolver = Callable[[Floats, Floats, float, float], Floats]


def available(names: tuple[str, ...]) -> tuple[dict[str, LassoSolver], dict[str, str]]:
    """Solvers that can be imported, and for the others why they are left out."""
    solvers: dict[str, LassoSolver] = {}
    missing: dict[str, str] = {}
    for name in names:
        module = {"scikit-learn": "sklearn"}.get(name, name)
        if find_spec(module) is None:
            missing[name] = "not installed (pip install -e '.[peers]')"
        else:
            solvers[name] = _SOLVERS[name]
    return solvers, missing


def _skglm(X: Floats, target: Floats, beta: float, tol: float) -> Floats:
    from skglm import Lasso

    model = Lasso(alpha=beta / len(target), tol=tol, fit_intercept=False, max_iter=500)
    return _fit(model, X, target)


def _celer(X: Floats, target: Floats, beta: float, tol: float) -> Floats:
    from celer import Lasso

    model = Lasso(
        alpha=beta / len(target), tol=tol, fit_intercept=False, max_iter=500, max_epochs=100_000
    )
    return _fit(model, X, target)


def _scikit_learn(X: Floats, target: Floats, beta: float, tol: float) -> Floats:
    from sklearn.linear_model import Lasso

    model = Lasso(alpha=beta / len(target), tol=tol, fit_intercept=False, max_iter=200_000)
    return _fit(model, X, target)


def _fit(model: object, X: Floats, target: Floats) -> Floats:
    with warnings.catch_warnings():
        # What was reached is measured by the gap, not by the solver's opinion of it.
        warnings.simplefilter("ignore")
        model.fit(X, target)  # type: ignore[attr-defined]
    return np.asarray(model.coef_, dtype=np.float64).ravel()  # type: ignore[attr-defined]


_SOLVERS: dict[str, LassoSolver] = {
    "skglm": _skglm,
    "celer": _celer,
    "scikit-learn": _scikit_learn,
}
