"""The multi-task lasso solvers to compare with: each a function of the dense problem and a tolerance."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from benchmarks.harness import Floats

# (matrix, targets, beta, tol) -> (columns, tasks) weights of 1/2 ||X W - T||^2 + beta sum_k ||W_k||
MultiTaskSolver = Callable[[Floats, Floats, float, float], Floats]

NAMES = ("celer", "skglm")


def available(names: tuple[str, ...] = NAMES) -> tuple[dict[str, MultiTaskSolver], dict[str, str]]:
    """Solvers that run a tiny problem here, and for the others why they are left out."""
    solvers: dict[str, MultiTaskSolver] = {}
    missing: dict[str, str] = {}
    for name in names:
        if find_spec(name) is None:
            missing[name] = "not installed (pip install -e '.[peers]')"
            continue
        try:
            _try_out(_SOLVERS[name])
        except Exception as error:  # whatever another release of a peer raises
            missing[name] = f"does not run with these versions ({type(error).__name__}: {error})"
        else:
            solvers[name] = _SOLVERS[name]
    return solvers, missing


def _try_out(solver: MultiTaskSolver) -> None:
    """One column through one task's data: weight 1 - beta; compiles what is compiled on first use."""
    X, target = np.array([[1.0], [0.0]]), np.array([[1.0, 0.0], [0.0, 0.0]])
    found = solver(np.asfortranarray(np.hstack([X, -0.1 * X])), target, 0.25, 1e-8)
    if abs(found[0, 0] - 0.75) > 1e-3 or np.abs(found[1:]).max() > 1e-3:
        raise ArithmeticError(f"wrong answer {found.tolist()}, expected 0.75 in the first place")


def _skglm(X: Floats, target: Floats, beta: float, tol: float) -> Floats:
    from skglm.estimators import MultiTaskLasso

    # tol is an absolute violation of the optimality conditions in units of alpha
    alpha = beta / len(target)
    model = MultiTaskLasso(alpha=alpha, tol=tol * alpha, fit_intercept=False, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what was reached is measured by the gap
        model.fit(X, target)
    return np.ascontiguousarray(model.coef_.T, dtype=np.float64)


def _celer(X: Floats, target: Floats, beta: float, tol: float) -> Floats:
    # the solver behind celer.MultiTaskLasso, whose validation needs scikit-learn < 1.6
    mtl_path = import_module("celer.homotopy").mtl_path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, weights, _ = mtl_path(
            X, np.asfortranarray(target), alphas=[beta / len(target)], tol=tol, max_iter=200
        )
    return np.ascontiguousarray(weights[..., 0].T, dtype=np.float64)


_SOLVERS: dict[str, MultiTaskSolver] = {"celer": _celer, "skglm": _skglm}


def pyscnn_reason() -> str:
    """Why the package of sampled activation patterns is no row of the table."""
    if find_spec("scnn") is None:
        return "not installed (pip install pyscnn, which brings torch)"
    return (
        "another problem: it fits the outputs one by one, each with its own penalty, and counts the "
        "bias of a neuron in its norm, so its objective is not comparable at equal beta"
    )
