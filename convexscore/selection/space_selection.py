"""The choice of beta for scores of several columns: held-out loss, grid, cross-validation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import chi2

from convexscore._tools.exceptions import DataWarning, UnboundedObjectiveError
from convexscore._tools.validation import check_count
from convexscore.models.space_fit import VectorProblem, build_problem
from convexscore.objectives.options import ProblemOptions
from convexscore.objectives.standardization import Standardization
from convexscore.scores.network import TwoLayerNetwork
from convexscore.selection.line_selection import BetaSelection, check_folds, fold_statistics
from convexscore.solvers.oracles.base import Oracle
from convexscore.solvers.oracles.choice import make_oracle
from convexscore.solvers.space.restricted import Restricted
from convexscore.solvers.space.solve import descend, largest_start, network_of

Floats = NDArray[np.float64]

# The grid ends this factor below the beta of the first neuron.
_GRID_RATIO = 1e-3
# Cross-validation stops following the path after this many values without a new minimum, or after one
# that loses this share of what the neurons gained: over-fitted problems cost the most time by far.
_PATIENCE = 2
_LOST = 0.25
# A gain that counts, as a share of what the neurons gained so far.
_WORTHWHILE = 0.005
# Accuracy of the fits on folds: far below the differences of held-out losses.
_FOLD_TOL = 0.02
# Pairs of displaced copies of each held-out point.
_PAIRS = 4
# With fewer values than this above the boundedness limit the grid is laid anew.
_FEW = 6
# Training folds use beta times this power of their share, as with one column (selection.py).
_FOLD_EXPONENT = 0.5
# Half-width of the blur in rule-of-thumb bandwidths.  Twice as much hides the structure of rings and
# arcs from cross-validation, whose beta then doubles.
_BLUR = 0.225
# Rows that stand for the data where only their spread matters.
_BANDWIDTH_ROWS = 2_000
# Above this size folds are solved by local search even in the plane.
_EXACT_FOLDS = 1500


def held_out_loss(
    network: TwoLayerNetwork,
    X: Floats,
    *,
    width: float,
    rng: np.random.Generator,
    standardization: Standardization | None = None,
) -> Floats:
    r"""Loss of each held-out row by antithetic displacements, (n,).

    .. math:: \tfrac12\|s\|^2 + \operatorname{tr}\nabla s \approx \operatorname{mean}_{\pm}
              \left[\tfrac12\|s(x \pm h\xi)\|^2 \pm s(x \pm h\xi)^\top\xi / h\right],\quad \xi\sim N(0, I)

    With h = ``width`` the noise level this is the expected denoising loss at fresh noise, up to the
    constant d / 2 h^2.  For score matching it is the loss blurred over a fraction of a bandwidth: the
    divergence of an over-fitted score at single points, which would decide the plain mean, is a
    difference quotient here.  h and the loss are in standardised units.
    """
    n, d = X.shape
    losses = np.zeros(n)
    back = np.eye(d) if standardization is None else standardization.inverse
    for _ in range(_PAIRS):
        draw = rng.standard_normal((n, d))
        shift, label = width * (draw @ back.T), draw / width
        for sign in (1.0, -1.0):
            score = network(X + sign * shift) @ back
            losses += 0.5 * np.einsum("nd,nd->n", score, score)
            losses += sign * np.einsum("nd,nd->n", score, label)
    return losses / (2 * _PAIRS)


def bandwidth(z: Floats, effective_size: float) -> float:
    """Half-width of the blur: a fraction of a rule-of-thumb bandwidth for the densest quarter of rows.

    The scale is that of a Gaussian whose central ball with a quarter of the mass is as small as the
    smallest such ball around a row, or the root mean variance if that is smaller.
    """
    n, d = z.shape
    rows = z[:: -(-n // _BANDWIDTH_ROWS)]
    spread = float(np.sqrt(z.var(axis=0).mean()))
    quarter = np.partition(cdist(rows[:500], rows), len(rows) // 4, axis=1)[:, len(rows) // 4]
    inner = float(quarter[quarter > 0.0].min(initial=np.inf)) / float(np.sqrt(chi2.ppf(0.25, d)))
    return _BLUR * min(spread, inner) * effective_size ** (-1.0 / (d + 4))


def vector_beta_grid(largest: float, n_betas: int) -> Floats:
    """Geometric grid from where the first neuron appears down to the edge of over-fitting."""
    return largest * np.geomspace(1.02, _GRID_RATIO, n_betas)


def select_vector_beta(
    X: Floats,
    full: VectorProblem,
    options: ProblemOptions,
    *,
    sample_weight: Floats | None,
    cv: int,
    n_betas: int,
    one_standard_error: bool,
    n_starts: int,
    rng: np.random.Generator,
) -> BetaSelection:
    """K-fold cross-validation of beta on the held-out objective, paths warm-started.

    Noise of the training folds and of the held-out parts is drawn afresh.  The path ends where the
    held-out loss has risen for some values, or where score matching becomes unbounded.
    """
    n = len(X)
    cv = check_folds(n, cv)
    count = check_count(n_betas, name="n_betas", minimum=2)
    local = full.problem.n_samples > _EXACT_FOLDS
    oracle = make_oracle(full.problem, n_starts=n_starts, random_state=rng.spawn(1)[0], local=local)
    betas = vector_beta_grid(largest_start(full.problem, oracle), count)
    weights = np.ones(n) if sample_weight is None else sample_weight
    folds = np.array_split(rng.permutation(n), cv)
    held_weight = np.array([weights[fold].sum() for fold in folds])
    width = options.noise or bandwidth(
        full.standardization.points(X), full.objective.effective_size
    )
    states = [
        _Fold.build(X, sample_weight, fold, options, n_starts, local, full.standardization, rng)
        for fold in folds
    ]
    shares = (1.0 - held_weight / weights.sum()) ** _FOLD_EXPONENT
    losses, unbounded = _follow(states, betas, shares, held_weight, width)
    if unbounded is not None and 0 < unbounded < _FEW:
        # score matching with many columns is bounded on a short stretch only: a finer grid there
        betas = np.geomspace(betas[0], np.sqrt(betas[unbounded - 1] * betas[unbounded]), count)
        losses, _ = _follow(states, betas, shares, held_weight, width)
    loss, error = fold_statistics(losses, held_weight)
    if options.noise is not None:  # the constant that makes it the expected denoising loss
        loss = loss + 0.5 * X.shape[1] / width**2
    if not np.isfinite(loss).any():
        raise UnboundedObjectiveError(
            "beta='cv': score matching is unbounded below on the folds for every beta of the grid; "
            "use more data, or objective='denoising'."
        )
    best = int(np.nanargmin(loss))
    chosen = best
    if one_standard_error:
        chosen = int(np.flatnonzero(loss <= loss[best] + error[best])[0])
    if best == count - 1 and unbounded is None:
        warnings.warn(
            f"beta='cv': the held-out loss is still falling at the smallest beta of the grid "
            f"({betas[-1]:.3g}). The fit uses it; give beta to go further.",
            DataWarning,
            stacklevel=4,
        )
    return BetaSelection(
        beta=float(betas[chosen]),
        betas=betas,
        loss=loss,
        standard_error=error,
        beta_min=float(betas[best]),
    )


def _follow(
    folds: list[_Fold], betas: Floats, shares: Floats, held_weight: Floats, width: float
) -> tuple[Floats, int | None]:
    """Held-out losses (folds, betas), and the first beta at which a fold was unbounded."""
    losses = np.full((len(folds), len(betas)), np.nan)
    for fold in folds:
        fold.restricted = None
    for b, beta in enumerate(betas):
        try:
            for k, fold in enumerate(folds):
                losses[k, b] = fold.loss(beta * shares[k], width)
        except UnboundedObjectiveError:
            losses[:, b] = np.nan
            return losses, b
        mean, _ = fold_statistics(losses[:, : b + 1], held_weight)
        if _settled(mean):
            break
    return losses, None


def _settled(mean: Floats) -> bool:
    """Whether smaller penalties have stopped to help: no gain that counts for some values."""
    gained = float(mean[0]) - float(mean.min())
    last = int(np.flatnonzero(mean <= mean.min() + _WORTHWHILE * gained)[0])
    since = len(mean) - 1 - last
    return since >= _PATIENCE or (since > 0 and bool(mean[-1] > mean.min() + _LOST * gained))


@dataclass
class _Fold:
    """One training fold with its warm state and the held-out rows."""

    built: VectorProblem
    oracle: Oracle
    held: Floats
    held_weight: Floats
    seed: int
    restricted: Restricted | None = None

    @classmethod
    def build(
        cls,
        X: Floats,
        weights: Floats | None,
        fold: NDArray[np.intp],
        options: ProblemOptions,
        n_starts: int,
        local: bool,
        to_z: Standardization,
        rng: np.random.Generator,
    ) -> _Fold:
        train = np.ones(len(X), dtype=bool)
        train[fold] = False
        inside = None if weights is None else weights[train]
        built = build_problem(X[train], options, inside, rng, name="X (fold)", standardizer=to_z)
        oracle = make_oracle(
            built.problem, n_starts=n_starts, random_state=rng.spawn(1)[0], local=local
        )
        held_weight = np.ones(len(fold)) if weights is None else weights[fold]
        return cls(built, oracle, X[fold], held_weight, int(rng.integers(2**63)))

    def loss(self, beta: float, width: float) -> float:
        problem = self.built.problem
        self.restricted = descend(
            problem, beta, self.oracle, tol=_FOLD_TOL, warm=self.restricted, last=True
        )
        to_z = self.built.standardization
        network = to_z.network_back(network_of(self.restricted))
        # the same draws for every beta: differences along the path are not noise
        values = held_out_loss(
            network,
            self.held,
            width=width,
            rng=np.random.default_rng(self.seed),
            standardization=to_z,
        )
        return float(np.average(values, weights=self.held_weight))
