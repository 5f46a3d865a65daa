"""Figure 1: all optimal scores of one column, and their integrals, for beta_1 < beta < n.

Without skip connection and with the penalty between beta_1 and n, every optimal score is the line
-kappa (x - mean) between the extreme points, whatever the data are: a Gaussian.  Outside it is not
unique: a share t of the slope sits at the right end, the rest at the left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness import Check, Floats, Report, Row
from benchmarks.paper import look, parts
from convexscore import TwoLayerNetwork, certify, fit_convex_score
from convexscore.models import GaussianRegime, gaussian_regime
from convexscore.scores.piecewise import PiecewiseLinearScore

TITLE = "all optimal univariate scores and their integrals, beta_1 < beta < n"
ACTIVATIONS = ("relu", "abs")
OUTSIDE = -0.2  # a share outside [0, 1], which must cost more


@dataclass(frozen=True)
class Settings:
    n: int
    share: float  # beta is this far on the way from beta_1 to n
    members: tuple[float, ...]


FULL = Settings(200, 0.3, (0.0, 0.25, 0.5, 0.75, 1.0))
QUICK = Settings(60, 0.3, (0.0, 0.5, 1.0))


def skewed_data(n: int, seed: int) -> Floats:
    """Two groups of unequal size and width: nothing Gaussian about them."""
    rng = parts.stream(seed, 1, 0)
    first = rng.random(n) < 0.7
    return np.where(first, rng.normal(-1.0, 0.5, n), rng.normal(2.0, 0.9, n))


def member(regime: GaussianRegime, beta: float, activation: str, t: float) -> TwoLayerNetwork:
    """Slope -kappa inside, of which the share t belongs to the neuron at the right end."""
    kappa = regime.kappa(beta)
    low, high = np.nextafter(regime.x_min, -np.inf), np.nextafter(regime.x_max, np.inf)
    u = np.array([1.0, -1.0]) if activation == "relu" else np.array([1.0, 1.0])
    w = np.array([-kappa * (1.0 - t), kappa * t])
    bare = TwoLayerNetwork(u, w, -u * np.array([low, high]), offset=[0.0], activation=activation)
    offset = -float(np.asarray(bare(regime.mean)))
    return TwoLayerNetwork(bare.u, bare.w, bare.b, offset=[offset], activation=activation)


def integral(score: PiecewiseLinearScore, grid: Floats, mean: float) -> Floats:
    """Integral of the score from the mean: the log-density up to a constant, where there is one."""
    at = np.union1d(grid, [*score.knots, mean])
    values = np.asarray(score(at))
    rough = np.concatenate([[0.0], np.cumsum(np.diff(at) * 0.5 * (values[1:] + values[:-1]))])
    return np.asarray(np.interp(grid, at, rough) - np.interp(mean, at, rough))


def tails(score: PiecewiseLinearScore) -> str:
    """What the law is left and right of the data."""
    names = []
    for slope, outward in ((score.left_slope, score(score.knots[0]) > 0),
                           (score.right_slope, score(score.knots[-1]) < 0)):  # fmt: skip
        flat = abs(slope) < 1e-12
        names.append("grows" if slope > 1e-12 or (flat and not outward)
                     else "exponential" if flat else "Gaussian")  # fmt: skip
    return " / ".join(names)


def run(settings: Settings, seed: int) -> Report:
    x = skewed_data(settings.n, seed)
    regime = gaussian_regime(x)
    beta = regime.beta_1 + settings.share * (regime.n - regime.beta_1)
    optimum = regime.objective(beta)
    inside = np.linspace(regime.x_min, regime.x_max, 201)
    line = -regime.kappa(beta) * (inside - regime.mean)
    span = regime.x_max - regime.x_min
    grid = np.linspace(regime.x_min - 0.6 * span, regime.x_max + 0.6 * span, 241)
    variance = 1.0 / regime.kappa(beta)
    gaussian = -0.5 * (grid - regime.mean) ** 2 / variance
    rows: list[Row] = []
    data = [parts.curve("data", "points", x, np.zeros(x.size)),
            parts.curve("data", "gaussian", grid, gaussian)]  # fmt: skip
    for activation in ACTIVATIONS:
        for t in settings.members:
            network = member(regime, beta, activation, t)
            certificate = certify(network, x, beta=beta)
            score = network.to_piecewise()
            rows.append(
                {
                    "activation": activation,
                    "t": t,
                    "objective": certificate.objective,
                    "closed form": optimum,
                    "relative gap": certificate.relative_gap,
                    "distance from the line inside": float(np.abs(score(inside) - line).max()),
                    "tails (left / right)": tails(score),
                    "a density": score.is_integrable,
                }
            )
            data.append(parts.curve(activation, "score", grid, score(grid), t=t))
            data.append(parts.curve(activation, "integral", grid, integral(score, grid, regime.mean),
                              t=t, integrable=score.is_integrable))  # fmt: skip
    wrong = [
        certify(member(regime, beta, activation, OUTSIDE), x, beta=beta).objective / optimum
        for activation in ACTIVATIONS
    ]
    fits = [
        fit_convex_score(x, beta=beta, skip=False, activation=activation)
        for activation in ACTIVATIONS
    ]
    solved = [float(np.abs(fit.score_function(inside) - line).max()) for fit in fits]
    scale = float(np.abs(line).max())
    checks = [
        Check("members: largest relative gap", max(r["relative gap"] for r in rows), 1e-8),
        Check("members: largest relative distance of the objective from the closed form",
              max(abs(r["objective"] / optimum - 1.0) for r in rows), 1e-8),
        Check("members: largest distance from the line, relative",
              max(r["distance from the line inside"] for r in rows) / scale, 1e-8),
        Check("solver: largest distance from the line, relative", max(solved) / scale, 1e-6),
        Check(f"share t = {OUTSIDE:g}, outside [0, 1]: objective above the optimum by, relative",
              1.0 - max(wrong), 1e-3, at_least=True),
        Check("ReLU members that are no density",
              sum(not r["a density"] for r in rows if r["activation"] == "relu"), 0),
        Check("absolute value: members that are a density",
              sum(r["a density"] for r in rows if r["activation"] == "abs"), 1),
    ]  # fmt: skip
    notes = [
        parts.SIZES_ARE_OURS,
        f"n = {settings.n} points of a skewed two-component mixture; beta_1 = {regime.beta_1:.4g} < beta "
        f"= {beta:.4g} < n; mean {regime.mean:.4g}, variance of the data {regime.variance:.4g}, of the "
        f"fitted Gaussian n v / (n - beta) = {variance:.4g}.",
        "t: share of the slope that sits at the right end.  Absolute value: only t = 1/2 is a density "
        "(Gaussian inside, Laplace outside); the library returns it.",
    ]
    return Report({"Optimal scores": rows}, checks, notes, data)


def draw(report: Report) -> Any:
    """Scores above, their integrals below; ReLU left, absolute value right."""
    from matplotlib import colormaps

    (points,), (gaussian,) = (
        parts.picked(report, "data", "points"),
        parts.picked(report, "data", "gaussian"),
    )
    names = {"relu": "ReLU", "abs": "absolute value"}
    with look.slide_style():
        fig, axes = look.panels(2, 2, 12.8, 8.4)
        for (row, column), ax in np.ndenumerate(axes):
            activation, what = ACTIVATIONS[column], ("score", "integral")[row]
            ax.axvspan(min(points["x"]), max(points["x"]), color="0.95", zorder=0)
            if what == "integral":
                ax.plot(gaussian["x"], gaussian["y"], "--", color=look.TRUTH, linewidth=1.6, zorder=3,
                        label="Gaussian N(mean, nv/(n − β))")  # fmt: skip
            for line in parts.picked(report, activation, what):
                chosen = line["t"] == 0.5
                ax.plot(
                    line["x"], line["y"], ":" if line.get("integrable") is False else "-",
                    color=look.CONVEX if chosen else colormaps["plasma"](0.1 + 0.75 * line["t"]),
                    linewidth=3.2 if chosen else 2.0, zorder=2.5 if chosen else 2,
                    label=f"t = {line['t']:g}" + " (the library's choice)" * chosen,
                )  # fmt: skip
            ax.plot(points["x"], np.full(len(points["x"]), 0.03), "|", color="0.35", alpha=0.6,
                    markersize=9, transform=ax.get_xaxis_transform())  # fmt: skip
            ax.set_xlim(gaussian["x"][0], gaussian["x"][-1])
            if what == "integral":
                ax.set_xlabel("x")
                ax.set_ylim(1.15 * min(gaussian["y"]), 0.9)
            else:
                ax.set_title(names[activation])
        axes[0, 0].set_ylabel("optimal score")
        axes[1, 0].set_ylabel("its integral (log-density)")
        axes[1, 1].annotate("dotted: optimal, but no density", (0.5, 0.92), ha="center",
                            xycoords="axes fraction", fontsize=13, color="0.25")  # fmt: skip
        handles, labels = axes[1, 0].get_legend_handles_labels()
        fig.legend(handles[1:] + handles[:1], labels[1:] + labels[:1],
                   loc="outside lower center", ncols=3)  # fmt: skip
        fig.suptitle("All optimal scores for β₁ < β < n (shaded: range of the data)", fontsize=17)
    return fig
