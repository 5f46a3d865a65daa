"""What `fit` and `diffuse` print: the data, the problem, the choice of beta, the proof, the law."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from convexscore.cli.columns import Table
from convexscore.objectives.objective import Denoising
from convexscore.scores.activations import get_activation
from convexscore.scores.base import SpaceScore

if TYPE_CHECKING:
    from convexscore.models.diffusion import ConvexDiffusion
    from convexscore.models.score import ConvexScore
    from convexscore.selection.cross_validation import BetaSelection

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
    parts = [_problem(fit), _beta(fit), _certificate(fit)]
    parts += [*_score(fit), _law(fit)] if fit.n_features_in_ == 1 else [_field(fit)]
    return "\n".join(parts)


def _problem(fit: ConvexScore) -> str:
    words = [
        "score matching" if fit.objective == "score_matching" else "denoising score matching",
        _activation(fit),
        "skip connection" if fit.skip else "no skip connection",
    ]
    if fit.objective == "denoising":
        kind = fit.problem_.objective
        assert isinstance(kind, Denoising)
        words.append(f"noise {kind.noise:g}, {kind.n_draws} draws a point, {kind.labels} labels")
    if fit.constraint is not None:
        words.append(f"constraint {fit.constraint}")
    if fit.standardize is not None:
        words.append(f"standardised ({fit.standardize})")
    return "problem      " + ", ".join(words)


def _activation(model: ConvexScore | ConvexDiffusion) -> str:
    name = get_activation(model.activation).name
    return {"relu": "ReLU", "abs": "absolute value"}.get(name, name)


def _beta(fit: ConvexScore) -> str:
    selection = fit.beta_selection_
    if selection is None:
        return f"beta         {fit.beta_:.6g} (given)"
    rule = "one standard error" if fit.one_standard_error else "held-out loss"
    grid = selection.betas
    lines = [
        f"beta         {fit.beta_:.6g} ({selection.n_folds}-fold cross-validation, {rule}; "
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
    lines = [_diffusion_problem(model), *_diffusion_betas(model)]
    lines += [
        f"{'levels' if not k else '':<13}{line}" for k, line in enumerate(repr(table).splitlines())
    ]
    optimal = sum(fit.certificate is not None and fit.certificate.optimal for fit in table)
    lines.append(
        f"certificate  {optimal} of {len(table)} levels optimal, largest relative gap "
        f"{np.nanmax(table['gap']):.1e}; {table['neurons'].sum()} neurons in all"
    )
    lines.append(
        f"time         {_time(seconds)}; the levels {_time(table['seconds'].sum())}, summed over workers"
    )
    return "\n".join(lines)


def _diffusion_problem(model: ConvexDiffusion) -> str:
    words = [
        f"diffusion ({model.schedule})",
        _activation(model),
        "skip connection" if model.skip else "no skip connection",
        f"{model.n_draws_} draws a point",
        f"{model.labels} labels",
    ]
    if model.constraint is not None:
        words.append(f"constraint {model.constraint}")
    to_z = model.standardization_
    if to_z.name == "scale":
        words.append(f"unit of the levels {to_z.inverse[0, 0]:.6g}")
    elif to_z.name is not None:
        words.append(f"standardised ({to_z.name})")
    return "problem      " + ", ".join(words)


def _diffusion_betas(model: ConvexDiffusion) -> list[str]:
    selection = model.factor_selection_
    if selection is None:
        what = "by the rule" if model.beta in ("rule", "cv") else "given"
        return [f"beta         {what}"]
    lines = [
        f"beta         {selection.factor:.4g} times the gradient noise of each level "
        f"({selection.n_folds}-fold cross-validation on {len(selection.levels)} levels)",
        f"             {'factor':>10} {'held-out loss':>14} {'std. error':>11}",
    ]
    for f in np.flatnonzero(np.isfinite(selection.loss)):
        mark = " <- chosen" if selection.factors[f] == selection.factor else ""
        lines.append(
            f"             {selection.factors[f]:>10.4g} {selection.loss[f]:>14.6g} "
            f"{selection.standard_error[f]:>11.2g}{mark}"
        )
    return lines


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
