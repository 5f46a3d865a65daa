"""Figure 3: planar denoising score matching of a spiral: vector fields and annealed Langevin.

One certified score per noise level, its arrows among the noisy points it was fitted to, and where
500 chains are that start all over the square and follow these scores from large to small noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.harness import Check, Floats, Report, Row, told
from benchmarks.paper import look, parts
from benchmarks.paper.training import Level, at_level, fit_and_train
from benchmarks.problems.spiral import spiral
from convexscore.metrics import energy_distance
from convexscore.objectives.options import make_problem
from convexscore.samplers import annealed_langevin, langevin
from convexscore.schedules import geometric_levels
from convexscore.selection.gradient_noise import gradient_noise
from convexscore.training import Adam

TITLE = "planar denoising of the spiral: vector field per noise level, annealed-Langevin snapshots"

RATES = (1e-1, 1e-2)
SQUARE = 12.0
STEP = 0.2  # of the chains, in units of the variance of the noise at the level
N_ARROWS = 15
SHARE = 0.05  # of the sampling noise of the gradients: beta; the rule for unknown laws has 0.15
MOST_POINTS = 400  # noisy points drawn
FINE = 4000  # points that stand for the curve


@dataclass(frozen=True)
class Settings:
    n_points: int
    n_draws: int
    levels: tuple[float, ...]
    shown: tuple[int, ...]  # which levels get a column
    tol: float
    width: int
    n_restarts: int
    n_epochs: int
    n_particles: int
    n_steps: int


FULL = Settings(
    120, 8, tuple(geometric_levels(8.0, 0.25, 9)), (0, 2, 4, 6, 8), 1e-2, 100, 2, 300, 500, 200
)
QUICK = Settings(40, 5, (8.0, 2.5, 0.8), (0, 1, 2), 2e-2, 40, 1, 60, 200, 60)


def solve_level(x: Floats, k: int, settings: Settings, seed: int) -> Level:
    """Fit and train on noise that is independent of that of other levels."""
    task = {"noise": settings.levels[k], "n_draws": settings.n_draws, "labels": "smoothed"}
    problem = make_problem(objective="denoising", **task)
    return fit_and_train(
        x, (seed, 3, 100 + k), skip=True, tol=settings.tol,
        beta=SHARE * gradient_noise(x, problem, rng=parts.stream(seed, 3, 2)),
        task=task,
        training={
            "width": settings.width, "optimizer": Adam(lr=RATES), "n_restarts": settings.n_restarts,
            "n_epochs": settings.n_epochs, "record": 10, "random_state": parts.stream(seed, 3, 3),
        },
    )  # fmt: skip


def run(settings: Settings, seed: int) -> Report:
    x = spiral(settings.n_points)
    solved = [solve_level(x, k, settings, seed) for k in range(len(settings.levels))]
    rows = [level_row(level) for level in solved]
    samples, snapshots = particles(solved, x, settings, seed)
    data = [arrows(solved[k], x) for k in settings.shown] + snapshots
    by_name = {row["particles"]: row for row in samples}
    annealed = by_name["annealed Langevin"]
    checks = [
        Check("convex fits: largest certified relative gap", max(r["convex gap"] for r in rows),
              settings.tol),
        Check("certificates that did not look at every line", sum(not r["exact"] for r in rows), 0),
        parts.bound_check(parts.lowest_gap(solved)),
        Check("annealed chains: distance to the curve (rms), in last noise levels",
              annealed["distance to the curve (rms)"] / settings.levels[-1], 3.0),
        Check("the same, annealed chains over their start",
              annealed["distance to the curve (rms)"]
              / by_name["the start"]["distance to the curve (rms)"], 0.5),
        Check("true points: distance to the curve (rms)",
              by_name["true points of the curve"]["distance to the curve (rms)"], 0.01),
        Check("arrows in the corners that do not point inwards", sum(map(outward, data)), 0),
        Check("energy distance to the spiral: annealed chains over their start",
              annealed["energy distance"] / by_name["the start"]["energy distance"], 0.6),
    ]  # fmt: skip
    notes = [
        parts.SIZES_ARE_OURS,
        f"{settings.n_points} points of the spiral, {settings.n_draws} noisy copies, smoothed labels, "
        f"ReLU with skip; beta is {SHARE:g} times the sampling noise of the gradients, a third of the "
        "rule of `fit_convex_diffusion`: the points lie on a curve.  Gaps over all lines of the plane.",
        f"Adam: {settings.n_restarts} restarts of width {settings.width} for each learning rate of "
        f"{' and '.join(map(parts.rate_label, RATES))}, {settings.n_epochs} epochs on the same noisy "
        "points; gaps to the certified bound at the last epoch.",
        f"{settings.n_particles} chains from the uniform law on |x_1|, |x_2| <= {SQUARE:g}; "
        f"{settings.n_steps} steps a level of {STEP:g} times the variance of its noise.  Langevin at the "
        "last level takes as many steps in all.",
    ]
    return Report({"Noise levels": rows, "Particles": samples}, checks, notes, data)


def level_row(level: Level) -> Row:
    """Certificate of one level, and how near Adam comes."""
    certificate = level.fit.certificate_
    gaps = level.runs.gaps(level.fit)[:, -1]
    alive = gaps[~level.runs.diverged]
    return {
        "noise": level.noise,
        "beta": level.runs.beta,
        "objective": certificate.objective,
        "convex gap": certificate.relative_gap,
        **told(certificate, "exact", "neurons"),
        "convex seconds": certificate.seconds,
        "Adam: gap (best)": parts.or_nan(np.min, alive),
        "Adam: gap (median)": parts.or_nan(np.median, alive),
        "Adam: diverged": int(level.runs.diverged.sum()),
        "Adam: seconds": float(level.runs.seconds[:, -1].max()),
    }


# ---------------------------------------------------------------------- particles
def particles(
    solved: list[Level], x: Floats, settings: Settings, seed: int
) -> tuple[list[Row], list[Row]]:
    """Annealed chains with a snapshot at the end of each level, and chains that only see the last."""
    levels = np.array(settings.levels)
    start = parts.stream(seed, 3, 4).uniform(-SQUARE, SQUARE, size=(settings.n_particles, 2))
    last = STEP * float(levels[-1]) ** 2

    score = at_level(levels, [level.fit.score_function for level in solved])
    run = annealed_langevin(
        score, start, levels, step=last, n_steps=settings.n_steps, keep_trajectory=True,
        thin=settings.n_steps, random_state=parts.stream(seed, 3, 5),
    )  # fmt: skip
    assert run.trajectory is not None
    plain = langevin(
        solved[-1].fit.score_function, start, step=last,
        n_steps=settings.n_steps * len(levels), random_state=parts.stream(seed, 3, 6),
    )  # fmt: skip
    ends = run.trajectory[1 : len(levels) + 1]
    truth = spiral(FINE)
    true_sample = truth[parts.stream(seed, 3, 7).choice(FINE, settings.n_particles, replace=False)]
    found = {
        "the start": start,
        "annealed Langevin": run.samples,
        "Langevin at the last level only": plain.samples,
        "true points of the curve": true_sample,
    }
    rows: list[Row] = [
        {
            "particles": name,
            "energy distance": energy_distance(points, truth),
            "distance to the curve (rms)": rms(cKDTree(truth).query(points)[0]),
        }
        for name, points in found.items()
    ]
    shown = [cloud("particles", ends[k], noise=settings.levels[k]) for k in settings.shown[:-1]]
    shown += [cloud("particles", run.samples, noise=settings.levels[-1])]
    return rows, [*shown, cloud("curve", x), cloud("start", start)]


def rms(values: Floats) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def cloud(name: str, points: Floats, **more: Any) -> Row:
    """Planar points for the record."""
    return parts.curve("plane", name, points[:, 0], points[:, 1], **more)


def arrows(level: Level, x: Floats) -> Row:
    """The score on a grid over what the noisy points cover, and these points."""
    reach = half_width(level.noise)
    steps = (np.arange(N_ARROWS) + 0.5) / N_ARROWS * 2.0 - 1.0
    at = reach * np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    value = level.fit.score_function(at)
    noisy = level.fit.noisy_points_
    # an even step would pick the copies of the same points again and again
    few = np.random.default_rng(0).permutation(noisy)[:MOST_POINTS]
    return cloud(
        "field", at, noise=level.noise, u=parts.short(value[:, 0]), v=parts.short(value[:, 1]),
        noisy=[parts.short(few[:, 0]), parts.short(few[:, 1])],
    )  # fmt: skip


def outward(row: Row) -> int:
    """Arrows of a field, far out on both axes, that lead away from the middle."""
    if row["name"] != "field":
        return 0
    at, value = np.column_stack([row["x"], row["y"]]), np.column_stack([row["u"], row["v"]])
    corner = np.abs(at).min(axis=1) > 0.9 * np.abs(at).max()
    return int(((at * value).sum(axis=1)[corner] >= 0.0).sum())


def half_width(noise: float) -> float:
    """Of the square that is drawn for a noise level."""
    return 11.0 + noise


# ---------------------------------------------------------------------- figure
def draw(report: Report) -> Any:
    """A column per noise level: the vector field above, the particles at its end below."""
    fields, clouds = (
        parts.picked(report, "plane", "field"),
        parts.picked(report, "plane", "particles"),
    )
    (spiral_points,) = parts.picked(report, "plane", "curve")
    gaps = [report.tables["Noise levels"][k]["convex gap"] for k in report.settings["shown"]]
    with look.slide_style():
        fig, axes = look.panels(2, len(fields), 3.2 * len(fields) + 0.5, 7.2)
        for k, (row, dots) in enumerate(zip(fields, clouds, strict=True)):
            draw_field(axes[0, k], row)
            axes[0, k].set_title(f"noise {row['noise']:.2g}\ncertified gap {100 * gaps[k]:.2g} %")
            axes[1, k].plot(spiral_points["x"], spiral_points["y"], color=look.TRUTH, linewidth=1.0,
                            label="spiral")  # fmt: skip
            axes[1, k].plot(dots["x"], dots["y"], "o", color=look.CONVEX, markersize=3.2, alpha=0.55,
                            markeredgewidth=0, label="particles")  # fmt: skip
        for (i, k), ax in np.ndenumerate(axes):
            reach = half_width(fields[k]["noise"]) if i == 0 else 14.0
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(visible=True, color="0.6")
        axes[0, 0].set_ylabel("certified score")
        axes[1, 0].set_ylabel("annealed Langevin")
        look.legend_below(fig, [axes[0, 0], axes[1, 0]], columns=4)
        fig.suptitle("Planar denoising of a spiral: convex scores and the particles that follow them",
                     fontsize=18)  # fmt: skip
    return fig


def draw_field(ax: Any, row: Row) -> None:
    """Directions, the length growing with the logarithm of the norm, over the noisy points."""
    at, value = np.column_stack([row["x"], row["y"]]), np.column_stack([row["u"], row["v"]])
    norm = np.linalg.norm(value, axis=1)
    growth = np.log1p(norm / np.median(norm))
    cell = 2.0 * half_width(row["noise"]) / N_ARROWS
    unit = value / np.where(norm > 0, norm, 1.0)[:, None]
    long = unit * (0.92 * cell * (0.4 + 0.6 * growth / growth.max()))[:, None]
    ax.plot(
        *row["noisy"], "o", color="0.65", markersize=3.0, markeredgewidth=0, label="noisy points"
    )
    ax.quiver(
        at[:, 0], at[:, 1], long[:, 0], long[:, 1], color=look.CONVEX, angles="xy", scale_units="xy",
        scale=1.0, pivot="mid", width=0.0055, headwidth=3.4, headlength=3.8, headaxislength=3.4,
    )  # fmt: skip
