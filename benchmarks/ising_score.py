"""A spin glass learned by convex scores from 2000 spins, judged by enumeration of all its states.

Ten Sherrington-Kirkpatrick spins have 1024 states, so that everything is exact: the noised score,
the law, and what chance alone does to a histogram of as many samples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

import convexscore
from benchmarks.harness import Check, Floats, Report, Row, figure, measure
from convexscore import metrics, samplers, schedules, targets
from convexscore.scores import vp_score

TITLE = "ten spins of a Sherrington-Kirkpatrick glass, score learned from 2000 of them"


@dataclass(frozen=True)
class Settings:
    dim: int = 10
    inverse_temperature: float = 0.8
    field: float = 0.1
    n_train: int = 2000
    n_samples: int = 20_000
    n_levels: int = 20
    n_steps: int = 250
    sigma_max: float = 10.0
    sigma_min: float = 0.1
    n_test: int = 4000  # noised points a level, for the error of the score
    jobs: int = 2


FULL = Settings()
QUICK = Settings(4, n_train=200, n_samples=3000, n_levels=4, n_steps=80, n_test=500, jobs=1)


@dataclass(frozen=True, eq=False)
class Truth:
    """The law, the spins it is learned from, and the settings."""

    law: targets.Ising
    train: Floats
    settings: Settings
    seed: int

    @classmethod
    def draw(cls, settings: Settings, seed: int) -> Truth:
        law = targets.Ising.sherrington_kirkpatrick(
            settings.dim, settings.inverse_temperature, field=settings.field, random_state=seed
        )
        return cls(law, law.sample(settings.n_train, random_state=seed + 1), settings, seed)

    def ddpm(self, score: Callable[[Floats, float], Any]) -> Floats:
        """Samples along the grid that every score is given."""
        return samplers.ddpm(
            score, None, self.grid, n_samples=self.settings.n_samples, dim=self.law.dim,
            random_state=self.seed + 2,
        ).samples  # fmt: skip

    @property
    def grid(self) -> schedules.TimeGrid:
        low, high = self.settings.sigma_min, self.settings.sigma_max
        return schedules.exponential_grid(
            schedules.vp_time(high), self.settings.n_steps, end=schedules.vp_time(low)
        )

    def judge(self, name: str, samples: Floats) -> Row:
        """Distances of samples from the law, in total variation and in the first two moments."""
        spins = targets.round_to_spins(samples)
        n, off = len(spins), ~np.eye(self.law.dim, dtype=bool)
        distance = targets.spin_total_variation(spins, self.law)
        true, found = self.law.correlations[off], (spins.T @ spins / n)[off]
        return {
            "samples of": name,
            "number": n,
            "total variation": distance.value,
            "floor of as many": distance.floor,
            "floor's deviation": distance.deviation,
            "beyond the floor": distance.value - distance.floor,
            "magnetisation error (rms)": _rms(spins.mean(axis=0) - self.law.mean),
            "correlation error (rms)": _rms(found - true),
            "strength of correlations": float(found @ true / (true @ true)),
            "distance from spins (rms)": _rms(np.abs(samples) - 1.0),
        }


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def pairwise_fit(spins: Floats) -> targets.Ising:
    """Maximum likelihood over all couplings and fields, by exact enumeration: a convex problem."""
    n, d = spins.shape
    upper = np.triu_indices(d, 1)
    mean, second = spins.mean(axis=0), (spins.T @ spins / n)[upper]

    def law_of(parameters: Floats) -> targets.Ising:
        couplings = np.zeros((d, d))
        couplings[upper] = parameters[d:]
        return targets.Ising(couplings + couplings.T, parameters[:d])

    def loss(parameters: Floats) -> tuple[float, Floats]:
        law = law_of(parameters)
        gradient = np.concatenate([law.mean - mean, law.correlations[upper] - second])
        return law.log_partition - parameters @ np.concatenate([mean, second]), gradient

    start = np.zeros(d + len(upper[0]))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-8, "ftol": 0.0})
    return law_of(found.x)


def independent_fit(spins: Floats) -> targets.Ising:
    """Free spins with the magnetisations of the sample."""
    mean = np.clip(spins.mean(axis=0), -1 + 1 / len(spins), 1 - 1 / len(spins))
    return targets.Ising(np.zeros((spins.shape[1],) * 2), np.arctanh(mean))


def gaussian_fit(spins: Floats) -> targets.Gaussian:
    """The law whose scores are the best linear ones: what is left of a network without neurons."""
    return targets.Gaussian(spins.mean(axis=0), np.cov(spins.T))


def run(settings: Settings, seed: int) -> Report:
    truth = Truth.draw(settings, seed)
    law, train, n = truth.law, truth.train, settings.n_samples
    timing, model = measure(lambda: fit(truth), repeats=1, warmup=0)
    memory = targets.GaussianMixture(np.ones(len(train)), train, 0.0)
    gaussian = gaussian_fit(train)
    sampling, learned = measure(
        lambda: model.sample(
            n, method="ddpm", n_steps=settings.n_steps, random_state=seed + 2
        ), repeats=1, warmup=0,
    )  # fmt: skip
    again = np.random.default_rng(seed + 6).integers(len(train), size=n)
    rows = [
        truth.judge("the law itself", law.sample(n, random_state=seed + 3)),
        truth.judge("DDPM, exact score", truth.ddpm(vp_score(law))),
        truth.judge("DDPM, convex score", learned),
        truth.judge("DDPM, best linear score", truth.ddpm(vp_score(gaussian))),
        truth.judge("training spins", train),
        truth.judge("training spins, drawn again", train[again]),
        truth.judge("fitted pairwise law", pairwise_fit(train).sample(n, random_state=seed + 4)),
        truth.judge("fitted free spins", independent_fit(train).sample(n, random_state=seed + 5)),
    ]
    levels = score_errors(truth, model, gaussian, memory)
    fit_row = {
        "levels": len(levels),
        "fit seconds": timing.wall,
        "sampling seconds": sampling.wall,
        "neurons (most)": max(row["neurons"] for row in levels),
        "relative gap (worst)": max(row["relative gap"] for row in levels),
    }
    exact, convex, linear, free = rows[1], rows[2], rows[3], rows[-1]
    checks = [
        Check("exact score: total variation beyond the floor, in deviations",
              exact["beyond the floor"] / exact["floor's deviation"], 4.0),
        Check("exact score: distance from spins (rms)", exact["distance from spins (rms)"], 1e-6),
        Check("exact samples: total variation from the floor, in deviations",
              abs(rows[0]["beyond the floor"]) / rows[0]["floor's deviation"], 4.0),
        Check("free spins: total variation beyond the floor, in deviations",
              free["beyond the floor"] / free["floor's deviation"], 8.0, at_least=True),
        Check("free spins: strength of correlations", free["strength of correlations"], 0.3),
        Check("convex score: largest relative error of a level",
              max(row["convex: relative error"] for row in levels), 1.0),
        Check("exact score: correlation error over that of exact samples",
              exact["correlation error (rms)"] / rows[0]["correlation error (rms)"], 3.0),
        Check("convex score: total variation over that of the best linear score",
              convex["total variation"] / linear["total variation"], 1.0),
    ]  # fmt: skip
    notes = [
        f"J_ij ~ N(0, 1/{settings.dim}) times {settings.inverse_temperature:g}, field "
        f"{settings.field:g}; {settings.n_train} spins to learn from, {n} samples of each model, "
        f"{settings.n_steps} steps of DDPM, rounded by their sign.",
        "The floor is what exact samples have on average: in closed form for their number, so that "
        "rows of different numbers compare by `beyond the floor`.",
        "`strength of correlations`: regression of the sample's on the true ones, 1 is right.",
        "The best linear score is the noised Gaussian of the same mean and covariance: the skip "
        "connection alone. The pairwise law is fitted by maximum likelihood: it knows the model, "
        "the convex score does not.",
        "Relative error of a score at a level: E|s - s*|^2 / E|s*|^2 over fresh noised spins. The "
        "score of the noised training spins is what a network learns that fits them perfectly; its "
        "samples are the training spins, drawn again.",
    ]
    tables = {"Samples": rows, "Fit": [fit_row], "Levels": levels}
    return Report(tables, checks, notes)


def fit(truth: Truth) -> Any:
    with warnings.catch_warnings():
        # a level that stops above the tolerance shows in the table of gaps
        warnings.simplefilter("ignore", convexscore.ConvergenceWarning)
        return _fit(truth)


def _fit(truth: Truth) -> Any:
    settings = truth.settings
    return convexscore.fit_convex_diffusion(
        truth.train,
        schedule="vp",
        n_levels=settings.n_levels,
        sigma_max=settings.sigma_max,
        sigma_min=settings.sigma_min,
        standardize=None,  # spins have their scale
        beta="rule",
        tol=2e-2,
        n_starts=8,
        n_jobs=settings.jobs,
        random_state=truth.seed,
    )


def score_errors(truth: Truth, model: Any, gaussian: Any, memory: Any) -> list[Row]:
    """Relative errors of the scores at the model's levels, and its certificates there."""
    rows = []
    for k, (level, fit) in enumerate(zip(model.levels_, model.certificates_, strict=True)):
        noised = truth.law.noised(1.0, float(level))
        z = noised.sample(truth.settings.n_test, random_state=truth.seed + 100 + k)
        scores = {
            "convex": lambda x, level=level: model.ve_score(x, float(level)),
            "best linear": gaussian.noised(1.0, float(level)).score,
            "noised training spins": memory.noised(1.0, float(level)).score,
        }
        row: Row = {"noise level": float(level)}
        for name, score in scores.items():
            row[f"{name}: relative error"] = metrics.fisher_divergence(
                score, noised.score, z, relative=True
            )
        row |= {
            "beta": fit.beta,
            "neurons": fit.certificate.n_neurons,
            "relative gap": fit.certificate.relative_gap,
            "seconds": fit.seconds,
        }
        rows.append(row)
    return rows


def draw(report: Report) -> Any:
    """Error of the scores against the noise level; total variations beside their floors."""
    fig, (left, right) = figure(5.2, 4.0, columns=2)
    levels = report.tables["Levels"]
    noise = [row["noise level"] for row in levels]
    styles = {"convex": "o-", "best linear": "s--", "noised training spins": "^:"}
    for name, style in styles.items():
        error = [row[f"{name}: relative error"] for row in levels]
        left.loglog(noise, error, style, markersize=4, label=name)
    left.set(xlabel="noise level", ylabel="relative error of the score")
    left.legend(fontsize=8)
    rows = report.tables["Samples"]
    places = range(len(rows))
    right.barh(places, [row["total variation"] for row in rows], color="C0", height=0.6)
    right.plot([row["floor of as many"] for row in rows], places, "|", color="C3",
               markersize=18, markeredgewidth=2, label="floor of as many exact samples")  # fmt: skip
    for k, row in enumerate(rows):
        far = max(row["total variation"], row["floor of as many"])
        right.annotate(f"{row['total variation']:.3f}", (far, k), xytext=(5, 0),
                       textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    right.set_yticks(places, [row["samples of"] for row in rows], fontsize=8)
    right.invert_yaxis()
    right.set_xlim(0, 1.2 * max(row["total variation"] for row in rows))
    right.set_xlabel("total variation over all states")
    right.legend(fontsize=8, loc="center right", markerscale=0.5)
    return fig
