"""What `fit` and `diffuse` print: the data, the problem, the choice of beta, the proof, the law."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from convexscore._tools.typing import Floats
from convexscore.cli.data import Table
from convexscore.objectives.objective import Denoising
from convexscore.scores.activations import get_activation
from convexscore.scores.base import SpaceScore
from convexscore.solvers.certificate import Outcome

if TYPE_CHECKING:
    from convexscore.models.diffusion import ConvexDiffusion
    from convexscore.models.score import ConvexScore
    from convexscore.selection.cross_validation import BetaSelection
    from convexscore.selection.ladder import FactorSelection

_SHOWN_KINKS = 12
_SHOWN_BETAS = 9
_SHOWN_COLUMNS = 12
# Rows of the data at which the asymmetry is looked at, and that are compared with samples.
_ROWS = 2_000
# Pairs of true samples that say what distance is noise.
_PAIRS = 20


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
    rest = [*_score(fit), _law(fit)] if fit.n_features_in_ == 1 else [_field(fit)]
    return "\n".join([_problem(fit), *_beta(fit), _certificate(fit), *rest])


def _problem(fit: ConvexScore) -> str:
    objective = fit.problem_.objective
    if not isinstance(objective, Denoising):
        return _words(fit, "score matching")
    detail = f"noise {objective.noise:g}", f"{objective.n_draws} draws a point"
    return _words(fit, "denoising score matching", *detail, f"{objective.labels} labels")


def _words(model: ConvexScore | ConvexDiffusion, title: str, *more: str) -> str:
    """The problem in words."""
    name = get_activation(model.activation).name
    words = [
        title,
        {"relu": "ReLU", "abs": "absolute value"}.get(name, name.replace("_relu", " ReLU")),
        "skip connection" if model.skip else "no skip connection",
        *more,
    ]
    if model.constraint is not None:
        words.append(f"constraint {model.constraint}")
    to_z = model.standardization_
    if to_z.name == "scale":
        words.append(f"unit of the levels {to_z.inverse[0, 0]:.6g}")
    elif to_z.name is not None:
        words.append(f"standardised ({to_z.name})")
    return "problem      " + ", ".join(words)


def _beta(fit: ConvexScore) -> list[str]:
    selection = fit.beta_selection_
    if selection is None:
        return [f"beta         {fit.beta_:.6g} (given)"]
    rule = "one standard error" if fit.one_standard_error else "held-out loss"
    grid = selection.betas
    return [
        f"beta         {fit.beta_:.6g} ({selection.n_folds}-fold cross-validation, {rule}; "
        f"grid of {grid.size} from {grid[0]:.4g} to {grid[-1]:.4g})",
        *_curve("beta", grid, selection, selection.beta, _shown(selection)),
    ]


def _curve(
    name: str,
    grid: Floats,
    selection: BetaSelection | FactorSelection,
    chosen: float,
    shown: Iterable[int],
) -> list[str]:
    """Held-out losses of some values of the grid."""
    lines = [f"             {name:>10} {'held-out loss':>14} {'std. error':>11}"]
    for k in shown:
        lines.append(
            f"             {grid[k]:>10.4g} {selection.loss[k]:>14.6g} "
            f"{selection.standard_error[k]:>11.2g}{' <- chosen' if grid[k] == chosen else ''}"
        )
    return lines


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
            f"certificate  {proof.message}",
            f"             objective {proof.objective:.10g}, no network is below "
            f"{proof.dual_objective:.10g} (relative gap {proof.relative_gap:.1e})",
            f"             largest violation over {over} {proof.max_violation:.1e}; "
            f"{proof.n_neurons} neurons, {proof.n_iter} rounds, {proof.seconds:.2g} s",
        ]
    )


def _field(fit: ConvexScore) -> str:
    """Whether the score is a gradient."""
    if fit.constraint is not None:
        return (
            "density      known up to a constant (the score is a gradient); "
            "sample with --method mala or langevin"
        )
    assert isinstance(fit.score_, SpaceScore)
    rows = fit.score_.rows
    asymmetry = fit.jacobian_asymmetry(rows[:: -(-len(rows) // _ROWS)])
    return (
        f"asymmetry    of the Jacobian on the data: median {np.median(asymmetry):.3g}, largest "
        f"{asymmetry.max():.3g} (0: a gradient, 2: a rotation); --constraint gradient fits one"
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
        if fit.constraint in (None, "gradient"):
            remedy = "refit with --constraint density"
        else:
            remedy = "refit with another --beta or with --skip"
        return f"density      none: {report}\n             {remedy}"
    return (
        f"density      mean {score.mean():.6g}, standard deviation {score.var() ** 0.5:.6g}, "
        f"entropy {score.entropy():.6g}"
    )


# ----------------------------------------------------------------------------------- diffusion


def describe_diffusion(model: ConvexDiffusion, seconds: float) -> str:
    """The problem, the penalties, the certificates of all levels and the time it took."""
    table = model.certificates_
    labels = f"{model.n_draws_} draws a point", f"{model.labels} labels"
    title = f"diffusion ({model.schedule})"
    lines = [_words(model, title, *labels), *_diffusion_betas(model)]
    lines += [
        f"{'levels' if not k else '':<13}{line}" for k, line in enumerate(repr(table).splitlines())
    ]
    optimal = np.count_nonzero(table["outcome"] == str(Outcome.OPTIMAL))
    lines.append(
        f"certificate  {optimal} of {len(table)} levels optimal, largest relative gap "
        f"{np.nanmax(table['gap']):.1e}; {table['neurons'].sum()} neurons in all"
    )
    lines.append(
        f"time         {_time(seconds)}; the levels {_time(table['seconds'].sum())}, summed over workers"
    )
    return "\n".join(lines)


def _diffusion_betas(model: ConvexDiffusion) -> list[str]:
    selection = model.factor_selection_
    if selection is None:
        return [f"beta         {'by the rule' if model.beta in ('rule', 'cv') else 'given'}"]
    seen = np.flatnonzero(np.isfinite(selection.loss))
    return [
        f"beta         {selection.factor:.4g} times the gradient noise of each level "
        f"({selection.n_folds}-fold cross-validation on {len(selection.levels)} levels)",
        *_curve("factor", selection.factors, selection, selection.factor, seen),
    ]


def describe_samples(samples: Any, table: Table, sampler: str, seconds: float) -> str:
    """How far the samples are from the data, next to what two samples of one law differ by."""
    data, drawn = (rows.reshape(len(rows), -1) for rows in (table.values, samples))
    lines = [f"samples      {len(drawn)} ({sampler}) in {_time(seconds)}"]
    for name, x, y in list(zip(table.names, data.T, drawn.T, strict=True))[:_SHOWN_COLUMNS]:
        mean = np.average(x, weights=table.weights)
        spread = np.sqrt(np.average((x - mean) ** 2, weights=table.weights))
        lines.append(
            f"             {name!r}: mean {y.mean():.6g} (data {mean:.6g}), standard deviation "
            f"{y.std():.6g} (data {spread:.6g})"
        )
    if data.shape[1] > _SHOWN_COLUMNS:
        lines.append(f"             ... ({data.shape[1] - _SHOWN_COLUMNS} more)")
    if table.weights is None and min(len(data), len(drawn)) >= 4:
        lines.append(_distance(drawn, data))
    return "\n".join(lines)


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _distance(drawn: Any, data: Any) -> str:
    from convexscore.metrics import energy_distance, noise_floor

    rng = np.random.default_rng(0)
    a, b = (rng.permutation(rows)[:_ROWS] for rows in (drawn, data))
    floor = noise_floor(
        energy_distance, b, (len(a), len(b)), n_repeats=_PAIRS, random_state=rng.spawn(1)[0]
    )
    return (
        f"             energy distance to the data {energy_distance(a, b):.3g}; two samples of the "
        f"law of the data: {floor.mean:.3g} on average, one in twenty above {floor.upper:.3g}"
    )
