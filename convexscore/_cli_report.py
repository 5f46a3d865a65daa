"""What `convexscore fit` prints: the data, the problem, the choice of beta, the proof, the law."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from convexscore._columns import Table

if TYPE_CHECKING:
    from convexscore.estimators import ConvexScore
    from convexscore.selection import BetaSelection

_SHOWN_KINKS = 12
_SHOWN_BETAS = 9
_SHOWN_COLUMNS = 12
# Rows of the data at which the asymmetry is looked at.
_ROWS = 2_000


def describe_data(path: str | os.PathLike[str], table: Table) -> str:
    """Where the numbers come from, how many, their range."""
    x = table.values
    if x.ndim == 1:
        text = (
            f"data         {path}, column {table.names[0]!r}: n = {x.size}, "
            f"{np.unique(x).size} distinct, {x.min():.6g} to {x.max():.6g}"
        )
    else:
        text = _several_columns(path, table)
    if table.n_dropped:
        text += f"\n             {table.n_dropped} rows dropped (missing or not a number)"
    if table.weights is not None:
        text += f"\n             weights sum to {table.weights.sum():.6g}"
    return text


def _several_columns(path: str | os.PathLike[str], table: Table) -> str:
    x = table.values
    distinct = len(np.unique(x, axis=0))
    lines = [f"data         {path}, {x.shape[1]} columns: n = {len(x)}, {distinct} distinct rows"]
    for name, column in list(zip(table.names, x.T, strict=True))[:_SHOWN_COLUMNS]:
        lines.append(
            f"             {name!r}: {column.min():.6g} to {column.max():.6g}, mean "
            f"{column.mean():.6g}, standard deviation {column.std():.6g}"
        )
    if x.shape[1] > _SHOWN_COLUMNS:
        lines.append(f"             ... ({x.shape[1] - _SHOWN_COLUMNS} more)")
    return "\n".join(lines)


def describe_fit(fit: ConvexScore) -> str:
    """The table under it."""
    parts = [_problem(fit), _beta(fit), _certificate(fit)]
    parts += [*_score(fit), _law(fit)] if fit.n_features_in_ == 1 else [_field(fit)]
    return "\n".join(parts)


def _problem(fit: ConvexScore) -> str:
    words = [
        "score matching" if fit.objective == "score_matching" else "denoising score matching",
        "ReLU" if fit.activation == "relu" else "absolute value",
        "skip connection" if fit.skip else "no skip connection",
    ]
    if fit.objective == "denoising":
        words.append(f"noise {fit.noise:g}, {fit.n_draws} draws a point, {fit.labels} labels")
    if fit.tails != "free":
        words.append(f"{fit.tails} tails")
    if fit.shape is not None:
        words.append(str(fit.shape))
    if fit.n_features_in_ > 1:
        if fit.conservative:
            words.append("conservative")
        if fit.standardize is not None:
            words.append(f"standardised ({fit.standardize})")
    return "problem      " + ", ".join(words)


def _beta(fit: ConvexScore) -> str:
    selection = fit.beta_selection_
    if selection is None:
        return f"beta         {fit.beta_:.6g} (given)"
    rule = "one standard error" if fit.one_standard_error else "smallest held-out loss"
    grid = selection.betas
    lines = [
        f"beta         {fit.beta_:.6g} ({fit.cv}-fold cross-validation, {rule}; "
        f"grid of {grid.size} from {grid[0]:.4g} to {grid[-1]:.4g})",
        f"             {'beta':>10} {'held-out loss':>14} {'std. error':>11}",
    ]
    for b in _shown(selection):
        mark = " <- chosen" if grid[b] == selection.beta else ""
        lines.append(
            f"             {grid[b]:>10.4g} {selection.loss[b]:>14.6g} "
            f"{selection.standard_error[b]:>11.2g}{mark}"
        )
    return "\n".join(lines)


def _shown(selection: BetaSelection) -> list[int]:
    """A few indices of the curve: its ends, the choice and the minimum always among them."""
    seen = np.flatnonzero(np.isfinite(selection.loss))
    spread = np.linspace(0, seen.size - 1, min(_SHOWN_BETAS, seen.size)).round().astype(int)
    special = np.flatnonzero(np.isin(selection.betas, [selection.beta, selection.beta_min]))
    return sorted({*seen[spread].tolist(), *special.tolist()})


def _certificate(fit: ConvexScore) -> str:
    proof = fit.certificate_
    over = "all neurons" if proof.exact else f"{proof.n_tried} local searches"
    return "\n".join(
        [
            f"certificate  {proof.status}",
            f"             objective {proof.objective:.10g}, no network is below "
            f"{proof.dual_objective:.10g} (relative gap {proof.relative_gap:.1e})",
            f"             largest violation over {over} {proof.max_violation:.1e}; "
            f"{proof.n_neurons} neurons, {proof.n_iter} rounds, {proof.seconds:.2g} s",
        ]
    )


def _field(fit: ConvexScore) -> str:
    """Whether the score is a gradient."""
    if fit.conservative:
        return (
            "density      known up to a constant (the score is a gradient); "
            "sample with --method mala or langevin"
        )
    asymmetry = fit.jacobian_asymmetry(fit.start_points_[:: -(-len(fit.start_points_) // _ROWS)])
    return (
        f"asymmetry    of the Jacobian on the data: median {np.median(asymmetry):.3g}, largest "
        f"{asymmetry.max():.3g} (0: a gradient, 2: a rotation); --conservative fits a gradient"
    )


def _score(fit: ConvexScore) -> list[str]:
    kinks = fit.network_.breakpoints()
    shown = ", ".join(f"{kink:.6g}" for kink in kinks[:_SHOWN_KINKS])
    more = f", ... ({kinks.size - _SHOWN_KINKS} more)" if kinks.size > _SHOWN_KINKS else ""
    score = fit.piecewise_
    return [
        f"kinks        {kinks.size}{': ' if kinks.size else ''}{shown}{more}",
        f"tail slopes  {score.left_slope:.6g} left, {score.right_slope:.6g} right",
    ]


def _law(fit: ConvexScore) -> str:
    score = fit.piecewise_
    report = score.tail_report()
    if report is not None:
        if fit.tails == "free" and fit.shape is None:
            remedy = "refit with --tails integrable"
        else:
            remedy = "refit with another --beta or with --skip"
        return f"density      none: {report}\n             {remedy}"
    return (
        f"density      mean {score.mean():.6g}, standard deviation {score.var() ** 0.5:.6g}, "
        f"entropy {score.entropy():.6g}"
    )
