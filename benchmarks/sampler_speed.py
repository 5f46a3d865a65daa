"""Samplers along noise levels against drawing their Gaussian numbers with numpy alone.

The unit is the time numpy's generator takes for one normal number per chain, coordinate and step.
No sampler with noise can be faster; what is above 1 is the score and the bookkeeping.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from scipy.special import ndtri

from benchmarks.harness import Check, Floats, Report, Row, figure
from convexscore import TwoLayerNetwork, samplers, schedules, targets
from convexscore.samplers.options import BATCH_SIZE
from convexscore.scores import vp_score, vp_score_to_ve
from convexscore.scores.piecewise import PiecewiseLinearScore

TITLE = "samplers against drawing the same normal numbers with numpy"


@dataclass(frozen=True)
class Settings:
    line_chains: int = 100_000
    plane_chains: int = 20_000
    steps: int = 500
    neurons: int = 100
    repeats: int = 3
    line_aim: float = 4.0
    plane_aim: float = 8.0
    memory_aim_mb: float = 40.0


FULL = Settings()
QUICK = Settings(6000, 2000, 20, repeats=1)


@dataclass(frozen=True)
class Sampler:
    """A sampler with ``steps`` steps; how many scores and normal numbers a step takes."""

    name: str
    scores: int
    normals: int
    is_time: bool = True

    def run(self, score: Any, chains: int, dim: int | None, steps: int) -> Floats:
        options: Any = {"n_samples": chains, "dim": dim, "random_state": 0}
        grid = schedules.exponential_grid(5.0, steps, end=1e-2)
        sampler = getattr(samplers, self.name)
        if self.is_time:
            return sampler(score, None, grid, **options).samples
        score = vp_score_to_ve(score)
        if self.name == "annealed_langevin":
            levels, each = _ladder(steps)
            return sampler(score, None, levels, step=1e-4, n_steps=each, **options).samples
        levels = schedules.geometric_levels(10.0, 0.1, steps + 1)
        return sampler(score, None, levels, **options).samples


def _ladder(steps: int) -> tuple[Floats, int]:
    """Ten levels, or fewer for few steps, with as many steps in all."""
    n_levels = next(n for n in range(10, 1, -1) if steps % n == 0)
    return schedules.geometric_levels(10.0, 0.1, n_levels), steps // n_levels


SAMPLERS = (
    Sampler("ddpm", 1, 1),
    Sampler("ancestral", 1, 1),
    Sampler("annealed_langevin", 1, 1, is_time=False),
    Sampler("predictor_corrector", 2, 2, is_time=False),
    Sampler("probability_flow", 1, 0),
    Sampler("heun", 2, 0),
)


@dataclass(frozen=True)
class Case:
    """A score (x, t), and the chains it is tried on."""

    name: str
    score: Callable[[Floats, float], Any]
    chains: int
    dim: int | None
    names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.chains,) if self.dim is None else (self.chains, self.dim)

    @property
    def where(self) -> str:
        chains = f"{self.chains:,}".replace(",", " ")
        return f"{chains} chains on the {'line' if self.dim is None else 'plane'}"


def make_cases(settings: Settings, seed: int) -> list[Case]:
    """Scores near that of N(0, I), so that chains visit all knots and neurons."""
    rng = np.random.default_rng(seed)
    m, line, plane = settings.neurons, settings.line_chains, settings.plane_chains
    # Knots at normal quantiles: as hard to look up as knots can be.
    knots = ndtri((np.arange(m) + 0.5) / m)
    piecewise = PiecewiseLinearScore(knots, -knots + 0.05 * rng.normal(size=m), -1.0, -1.0)
    network = planar_network(m, rng)
    pair = vp_score(targets.GaussianMixture([0.3, 0.7], [-1.0, 1.0], [0.1, 0.3]))
    ring = vp_score(targets.ring_of_gaussians(8))
    everything = tuple(sampler.name for sampler in SAMPLERS)
    return [
        Case("no score", lambda x, t: -x, line, None, ("ddpm",)),
        Case(f"piecewise linear, {m} knots", lambda x, t: piecewise(x), line, None, everything),
        Case("exact mixture of two", pair, line, None, ("ddpm",)),
        Case("no score", lambda x, t: -x, plane, 2, ("ddpm",)),
        Case(f"network, {m} neurons", lambda x, t: network(x), plane, 2, everything),
        Case("exact ring of eight", ring, plane, 2, ("ddpm",)),
    ]  # fmt: skip


def planar_network(neurons: int, rng: np.random.Generator) -> TwoLayerNetwork:
    u = rng.normal(size=(neurons, 2))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    w = 0.5 / neurons * rng.normal(size=(neurons, 2))
    return TwoLayerNetwork(u, w, rng.normal(size=neurons), skip=-np.eye(2), offset=np.zeros(2))


def run(settings: Settings, seed: int) -> Report:
    cases = make_cases(settings, seed)
    rows, parts = [], []
    for case in cases:
        found, unit = time_case(case, settings)
        rows += found
        if found[0]["sampler"] == "ddpm":
            parts.append(breakdown(case, found[0], unit, settings, seed))
    judged = {
        (row["chains"], row["score"]): row["ratio"] for row in rows if row["sampler"] == "ddpm"
    }
    line, plane = cases[1], cases[4]
    checks = [
        Check(f"ddpm on the line, {line.name}: multiple of drawing",
              judged[line.where, line.name], settings.line_aim, timing=True),
        Check(f"ddpm on the plane, {plane.name}: multiple of drawing",
              judged[plane.where, plane.name], settings.plane_aim, timing=True),
        Check("peak memory of ddpm in MB, the worst score", max(p["peak MB"] for p in parts),
              settings.memory_aim_mb),
        Check("the same, the least: what a meter that works shows", min(p["peak MB"] for p in parts),
              0.1, at_least=True),
    ]  # fmt: skip
    notes = [
        f"{settings.steps} steps of each sampler and a denoising step. `ratio`: its time over that "
        "of one normal number per chain, coordinate and step from one numpy generator, drawn right "
        "before in the same run; medians of "
        f"{settings.repeats} after a warm-up; one thread.",
        "heun and predictor_corrector take two scores a step, predictor_corrector two normal "
        "numbers, probability_flow and heun none: `ratio / scores` is the ratio per score.",
        "The aims are for ddpm. `no score` is s(x) = -x: what sampling itself costs.",
        "`score alone`: the score's calls on fresh normal points; `products alone`: the two matrix "
        "products of the network, the floor of its score; both for as many points.",
        "Peak memory: arrays allocated during a run (tracemalloc), 8 MB of it noise drawn ahead.",
    ]
    return Report({"Samplers": rows, "Where the time of ddpm goes, seconds": parts}, checks, notes)


def time_case(case: Case, settings: Settings) -> tuple[list[Row], float]:
    """One row a sampler, and the seconds of drawing."""
    chosen = [sampler for sampler in SAMPLERS if sampler.name in case.names]
    for sampler in chosen:  # warm-up
        sampler.run(case.score, case.chains, case.dim, min(settings.steps, 20))
    seconds: dict[str, list[float]] = {sampler.name: [] for sampler in chosen}
    units: dict[str, list[float]] = {sampler.name: [] for sampler in chosen}
    for _ in range(settings.repeats):
        for sampler in chosen:
            units[sampler.name].append(draw_seconds(case.shape, settings.steps))
            began = perf_counter()
            samples = sampler.run(case.score, case.chains, case.dim, settings.steps)
            seconds[sampler.name].append(perf_counter() - began)
            assert np.isfinite(samples).all()
    rows = []
    for sampler in chosen:
        ratio = median(
            own / unit for own, unit in zip(seconds[sampler.name], units[sampler.name], strict=True)
        )
        rows.append(
            {
                "chains": case.where,
                "score": case.name,
                "sampler": sampler.name,
                "seconds": median(seconds[sampler.name]),
                "numpy draw seconds": median(units[sampler.name]),
                "ratio": ratio,
                "scores a step": sampler.scores,
                "normals a step": sampler.normals,
                "ratio / scores": ratio / sampler.scores,
                "ns a chain and step": 1e9 * median(seconds[sampler.name])
                / (case.chains * settings.steps),
            }
        )  # fmt: skip
    return rows, median(units[chosen[0].name])


def draw_seconds(shape: tuple[int, ...], steps: int) -> float:
    """Seconds of as many normal numbers, from one generator into one array."""
    generator, out = np.random.default_rng(0), np.empty(shape)
    began = perf_counter()
    for _ in range(steps):
        generator.standard_normal(out=out)
    return perf_counter() - began


def breakdown(case: Case, row: Row, unit: float, settings: Settings, seed: int) -> Row:
    """Seconds of the score alone, of the network's products alone, and the peak memory."""
    rng = np.random.default_rng(seed)
    sampler, n = SAMPLERS[0], min(BATCH_SIZE, case.chains)
    # Several batches: a predictor of branches must not learn one by heart.
    batches = [rng.normal(size=(n, *case.shape[1:])) for _ in range(8)]
    calls = -(-case.chains * settings.steps // n)

    def seconds_of(call: Callable[[Floats], Any]) -> float:
        few = min(calls, 400)
        times = []
        for k in range(few + 8):
            began = perf_counter()
            call(batches[k % 8])
            times.append(perf_counter() - began)
        return median(times[8:]) * case.chains * settings.steps / n

    found: Row = {
        "chains": case.where,
        "score": case.name,
        "ddpm": row["seconds"],
        "numpy draw": unit,
        "score alone": seconds_of(lambda x: case.score(x, 0.5)),
    }
    found["the rest"] = found["ddpm"] - found["numpy draw"] - found["score alone"]
    if case.name.startswith("network"):
        network = planar_network(settings.neurons, rng)
        inner, out = np.ascontiguousarray(network.u.T), np.empty((n, settings.neurons))
        found["products alone"] = seconds_of(lambda x: np.matmul(x, inner, out=out) @ network.w)
    tracemalloc.start()
    sampler.run(case.score, case.chains, case.dim, min(settings.steps, 20))
    found["peak MB"] = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return found


def draw(report: Report) -> Any:
    """The ratio of every sampler on the line and on the plane, and the aims of ddpm."""
    rows = report.tables["Samplers"]
    fig, axes = figure(5.4, 3.6, columns=2)
    aims = report.settings["line_aim"], report.settings["plane_aim"]
    places = list(dict.fromkeys(row["chains"] for row in rows))
    for ax, place, aim in zip(axes, places, aims, strict=True):
        here = [row for row in rows if row["chains"] == place]
        full = next(row["score"] for row in here if row["sampler"] == "heun")
        bars = [
            (
                row["sampler"] if row["score"] == full else f"ddpm, {row['score']}",
                row["ratio"],
                row["scores a step"],
                row["score"] == full,
            )
            for row in sorted(here, key=lambda row: row["score"] != full)
        ]
        for k, (_, ratio, scores, is_full) in enumerate(bars):
            ax.barh(k, ratio, color="C0" if is_full else "0.65", height=0.7)
            if scores == 2:  # half of it for one score
                ax.plot([ratio / 2] * 2, [k - 0.35, k + 0.35], color="white", linewidth=1.5)
            ax.annotate(f"{ratio:.1f}", (ratio, k), xytext=(3, 0), textcoords="offset points",
                        va="center", fontsize=8)  # fmt: skip
        ax.axvline(1.0, color="0.3", linewidth=1.0)
        ax.plot([aim, aim], [-0.5, 0.5], color="C3", linewidth=2.0, label="aim of ddpm")
        ax.set_yticks(range(len(bars)), [name for name, *_ in bars], fontsize=8)
        ax.invert_yaxis()
        ax.set_xlim(0, 1.15 * max(max(ratio for _, ratio, *_ in bars), aim))
        ax.set_title(f"{place}\n{full}", fontsize=10)
        ax.set_xlabel("time / drawing the normal numbers (white: one score of two)", fontsize=8)
        ax.legend(fontsize=8, loc="lower right")
    return fig
