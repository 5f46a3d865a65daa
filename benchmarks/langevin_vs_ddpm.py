"""Langevin against DDPM on an unbalanced bimodal law: who finds the shares of the modes.

Where the modes are far apart, the score near each of them does not know the other one's weight. A
Langevin chain stays in the mode it starts in for a time exponential in the depth of the valley. Noise
fills the valley: at large noise levels the weights are visible to the score, and chains that come
down the ladder are already in the right shares when the modes part. The same holds for learned
scores: one certified fit to clean data, against one for each noise level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from scipy.stats import norm

from benchmarks.harness import Check, Floats, Report, Row, figure
from benchmarks.problems import bimodal
from convexscore import fit_convex_diffusion, fit_convex_score
from convexscore.metrics import NoiseFloor, energy_distance, noise_floor, total_variation_grid
from convexscore.samplers import langevin, mala

TITLE = (
    "modes of weight 0.8 and 0.2: Langevin keeps the shares it starts with, noise levels find them"
)

BINS = np.linspace(-8.0, 8.0, 41)


@dataclass(frozen=True)
class Settings:
    n_chains: int
    budget: int  # score calls a chain of every sampler in the table
    longest: int  # steps of the traces of Langevin and MALA
    budgets: tuple[int, ...]  # of the samplers along noise levels
    n_floor: int
    n_train: int


FULL = Settings(5000, 1000, 30_000, (10, 20, 50, 100, 200, 500, 1000, 2000), 200, 1000)
QUICK = Settings(2000, 1000, 500, (20, 50, 100, 300), 40, 1000)


def run(settings: Settings, seed: int) -> Report:
    floors = Floors.of_truth(settings.n_chains, settings, seed)
    exact_law = bimodal.LangevinLaw.on_grid(bimodal.LAW, bimodal.STEP)
    samplers = bimodal.exact_samplers(settings.n_chains, seed)
    rows, samples = [], {}
    for name, sampler in samplers.items():
        score_calls = bimodal.CallCounter()
        began = perf_counter()
        samples[name] = sampler(settings.budget, score_calls)
        seconds = perf_counter() - began
        row = {"sampler": name, "score calls": score_calls.n}
        rows.append(row | floors.judge(samples[name]) | {"seconds": seconds})
    traces, deviation = all_traces(settings, exact_law, seed)
    enough = enough_budget(traces)
    slow = exact_law.steps_to_balance()
    learned = learned_rows(settings, seed)
    table = [
        {"score calls": at} | {name: trace.get(at, "") for name, trace in traces.items()}
        for at in sorted({at for trace in traces.values() for at in trace})
    ]
    by_name = {row["sampler"]: row for row in rows}
    error = {
        name: abs(row["weight of the small mode"] - bimodal.SHARE) for name, row in by_name.items()
    }
    started_wrong = [name for name in samplers if "from the large" in name or "from half" in name]
    ladder = ("annealed Langevin", "DDPM")
    checks = [
        Check(f"{name}: error of the weight {bimodal.SHARE:g}", error[name], 0.15, at_least=True)
        for name in started_wrong
    ]
    checks += [
        Check(
            f"{name}: error of the weight in standard errors", error[name] / floors.weight_se, 3.0
        )
        for name in (*ladder, "Langevin from true samples")
    ]
    for metric in ("TV", "energy distance"):
        checks.append(
            Check(
                f"DDPM: {metric} / what 1 % of true samples exceed",
                by_name["DDPM"][f"{metric} / floor"],
                1.0,
            )
        )
        checks.append(
            Check(f"Langevin from the large mode: {metric} / the same",
                  by_name["Langevin from the large mode"][f"{metric} / floor"], 2.0, at_least=True)
        )  # fmt: skip
    checks += [
        Check("score calls of the samplers, largest less smallest",
              max(row["score calls"] for row in rows) - min(row["score calls"] for row in rows), 2),
        Check("traces of Langevin against their exact law, standard errors", deviation, 4.0),
        Check(f"score calls until the weight is right to {bimodal.CLOSE:g}, Langevin over DDPM",
              slow / enough["DDPM"], 100.0, at_least=True),
    ]  # fmt: skip
    notes = [
        f"Modes N({bimodal.LARGE:g}, 1) and N({bimodal.SMALL:g}, 1); {settings.n_chains} chains, exact "
        "scores. The "
        f"weight is the share of chains right of 0 ({mass_right():.5f} in truth); one standard error "
        f"of it is {floors.weight_se:.4f}.",
        f"TV (histograms) and energy distance are to {settings.n_chains} true samples; their floor is "
        f"the 99 % quantile of {settings.n_floor} pairs of true samples.",
        f"Langevin with step {bimodal.STEP:g} (MALA {bimodal.MALA_STEP:g}) has the weight right to "
        f"{bimodal.CLOSE:g} after {slow} steps, from the large mode, by its transition matrix; "
        + ", ".join(f"{name} with {calls} score calls" for name, calls in enough.items())
        + ", the smallest budget tried.",
        "From true samples Langevin stays right: the score is not at fault, the start is.",
        "Learned: one level is fit_convex_score on clean data, tails with a density; noise levels are "
        "fit_convex_diffusion, both with their defaults. Their floor is the 99 % quantile of true "
        "samples of the size of the training set.",
        "Score matching on clean data hardly sees the weights; a smooth fit makes the valley so "
        "shallow that Langevin moves to the law of the fit, whose weights are wrong.",
    ]
    far = stops(1_000_000)
    data = [
        *({"kind": "exact", "sampler": f"Langevin {where}", "calls": far,
           "weight": exact_law.weights(where, far)}
          for where in ("from the large mode", "from half and half")),
        *({"kind": "trace", "sampler": name, "calls": list(trace), "weight": list(trace.values())}
          for name, trace in traces.items()),
        *({"kind": "histogram", "sampler": name, "heights": heights_of(x)}
          for name, x in samples.items()),
    ]  # fmt: skip
    title = f"Exact scores, {settings.budget} score calls a chain"
    tables = {
        title: rows,
        "Weight of the small mode": table,
        f"Learned scores, {settings.n_train} training points": learned,
    }
    return Report(tables, [*checks, *learned_checks(learned)], notes, data)


# ---------------------------------------------------------------------- what samples are judged by
def mass_right() -> float:
    """The same for the law itself: the weight, up to the tails that cross the middle."""
    return float(
        (1 - bimodal.SHARE) * norm.sf(-bimodal.LARGE) + bimodal.SHARE * norm.sf(-bimodal.SMALL)
    )


def heights_of(x: Floats) -> list[float]:
    counts, _ = np.histogram(x, BINS)
    return (counts / (len(x) * np.diff(BINS))).tolist()


@dataclass(frozen=True)
class Floors:
    """A true sample and what other true samples of that size score against it."""

    truth: Floats
    floors: dict[str, NoiseFloor]

    METRICS = {"TV": total_variation_grid, "energy distance": energy_distance}  # noqa: RUF012

    @classmethod
    def of_truth(cls, size: int, settings: Settings, seed: int) -> Floors:
        """Floors of samples of ``size`` points, the sample to compare with has ``n_chains``."""

        def draw(n: int, random_state: Any) -> Floats:
            return bimodal.LAW.sample(n, random_state=random_state)

        n = settings.n_chains
        floors = {
            name: noise_floor(metric, draw, (size, n), n_repeats=settings.n_floor, quantile=0.99,
                              random_state=seed)
            for name, metric in cls.METRICS.items()
        }  # fmt: skip
        return cls(bimodal.LAW.sample(n, random_state=np.random.default_rng([seed, 3])), floors)

    @property
    def weight_se(self) -> float:
        return float(np.sqrt(bimodal.SHARE * (1 - bimodal.SHARE) / len(self.truth)))

    def judge(self, x: Floats) -> Row:
        row: Row = {"weight of the small mode": bimodal.weight_of(x)}
        for name, metric in self.METRICS.items():
            row[name] = metric(x, self.truth)
            row[f"{name} / floor"] = row[name] / self.floors[name].upper
        return row


# ---------------------------------------------------------------------- over the budget
def stops(longest: int) -> list[int]:
    """1, 2, 5, 10, ... up to the longest."""
    found = [lead * 10**k for k in range(8) for lead in (1, 2, 5)]
    return sorted({*(at for at in found if at < longest), longest})


def all_traces(
    settings: Settings, exact_law: bimodal.LangevinLaw, seed: int
) -> tuple[dict[str, dict[int, float]], float]:
    """Weight of the small mode over score calls, and how far Langevin is from its exact law."""
    at = stops(settings.longest)
    traces: dict[str, dict[int, float]] = {}
    x0 = bimodal.starts(settings.n_chains, seed)
    worst = 0.0
    for where in ("from the large mode", "from half and half"):
        traces[f"Langevin {where}"] = trace_of(
            partial(langevin, bimodal.LAW.score, x0[where], step=bimodal.STEP, random_state=seed),
            at,
        )
        exact = exact_law.weights(where, at)
        for share, expected in zip(traces[f"Langevin {where}"].values(), exact, strict=True):
            # few chains cross early on: count at least one
            variance = max(expected * (1 - expected), 1.0 / settings.n_chains)
            worst = max(worst, abs(share - expected) / np.sqrt(variance / settings.n_chains))
    traces["MALA from the large mode"] = trace_of(
        partial(mala, bimodal.LAW.score, bimodal.LAW.log_density, x0["from the large mode"],
                step=bimodal.MALA_STEP, random_state=seed), at,
    )  # fmt: skip
    for name, sampler in (("annealed Langevin", bimodal.by_annealing), ("DDPM", bimodal.by_ddpm)):
        traces[name] = {}
        for budget in settings.budgets:
            counter = bimodal.CallCounter()
            x = sampler(budget, counter, n=settings.n_chains, seed=seed)
            traces[name][budget] = bimodal.weight_of(x)
    return traces, float(worst)


def trace_of(run_chains: Callable[..., Any], at: list[int]) -> dict[int, float]:
    """Weights of one long run at the given steps."""
    wanted, found = set(at), {}

    def note(step: int, x: Floats) -> None:
        if step in wanted:
            found[step] = bimodal.weight_of(x)

    run_chains(n_steps=at[-1], callback=note)
    return found


def enough_budget(traces: dict[str, dict[int, float]]) -> dict[str, int]:
    """Smallest budget from which on the weight is right, for the samplers along noise levels."""
    found = {}
    for name in ("annealed Langevin", "DDPM"):
        wrong = [
            at for at, share in traces[name].items() if abs(share - bimodal.SHARE) > bimodal.CLOSE
        ]
        right = [at for at in traces[name] if at > max(wrong, default=0)]
        found[name] = min(right, default=10**9)
    return found


# ---------------------------------------------------------------------- learned scores
def learned_rows(settings: Settings, seed: int) -> list[Row]:
    """Samples of learned scores, next to the training sample itself."""
    n, steps = settings.n_chains, settings.budget
    train = bimodal.LAW.sample(settings.n_train, random_state=np.random.default_rng([seed, 4]))
    floors = Floors.of_truth(settings.n_train, settings, seed)
    one = fit_convex_score(train, constraint="density", random_state=seed)
    many = fit_convex_diffusion(train, random_state=seed)
    x0 = bimodal.starts(n, seed)
    samples = {
        "training sample": train,
        "one level, exact law of the fit": one.piecewise_.sample(n, random_state=seed),
    }
    for where in ("from the large mode", "from half and half"):
        samples[f"one level, Langevin {where}"] = langevin(
            one.score_function, x0[where], step=bimodal.STEP, n_steps=steps, random_state=seed
        ).samples
    # the step of the exact scores: a third of the noise of the last level, there in units of Z
    step, each = 0.3 * float(many.levels_[-1]) ** 2, steps // len(many.levels_)
    samples["noise levels, annealed Langevin"] = many.sample(
        n, method="annealed_langevin", step=step, n_steps=each, random_state=seed
    )
    samples["noise levels, DDPM"] = many.sample(n, n_steps=steps, random_state=seed)
    certified = {
        "one": one.certificate_.optimal,
        "noise": many.certificates_.optimal,
    }
    return [
        {"samples": name} | floors.judge(x) | {"certified": certified.get(name.split()[0], "")}
        for name, x in samples.items()
    ]


def learned_checks(rows: list[Row]) -> list[Check]:
    by_name = {row["samples"]: row for row in rows}
    found = by_name["noise levels, DDPM"]
    share = by_name["training sample"]["weight of the small mode"]
    stuck = by_name["one level, Langevin from the large mode"]
    return [
        Check("learned, one level, Langevin from the large mode: energy distance / floor of the "
              "training set", stuck["energy distance / floor"], 1.5, at_least=True),
        Check("learned, noise levels, DDPM: weight against that of the training sample",
              abs(found["weight of the small mode"] - share), 0.03),
        Check("learned, noise levels, DDPM: energy distance / floor of the training set",
              found["energy distance / floor"], 1.0),
        Check("learned: rows with a fit that is not certified",
              sum(row["certified"] is False for row in rows), 0),
    ]  # fmt: skip


# ---------------------------------------------------------------------- figure
COLORS = {
    "Langevin from the large mode": "tab:red",
    "Langevin from half and half": "tab:orange",
    "MALA from the large mode": "tab:brown",
    "annealed Langevin": "tab:green",
    "DDPM": "tab:blue",
}


def draw(report: Report) -> Any:
    """Weights over score calls; histograms at equal budget."""
    fig, (left, right) = figure(6.0, 4.0, columns=2)
    se = np.sqrt(bimodal.SHARE * (1 - bimodal.SHARE) / report.settings["n_chains"])
    left.axhspan(
        bimodal.SHARE - 2 * se,
        bimodal.SHARE + 2 * se,
        color="0.85",
        label="truth ± 2 standard errors",
    )
    for row in report.data:
        if row["kind"] == "trace":
            by_level = row["sampler"] in ("annealed Langevin", "DDPM")
            left.semilogx(row["calls"], row["weight"], "o-" if by_level else "-",
                          color=COLORS[row["sampler"]], label=row["sampler"], markersize=4)  # fmt: skip
        elif row["kind"] == "exact":
            left.semilogx(row["calls"], row["weight"], ":", color=COLORS[row["sampler"]])
    left.plot([], [], ":", color="0.3", label="exact laws of Langevin")
    left.set(xlabel="score calls a chain", ylabel="weight of the small mode", xlim=(10, 1e6),
             ylim=(-0.02, 0.82))  # fmt: skip
    left.legend(fontsize="small", loc="upper center", ncols=2)
    heights = {r["sampler"]: r["heights"] for r in report.data if r["kind"] == "histogram"}
    x = np.linspace(BINS[0], BINS[-1], 400)
    right.fill_between(x, np.exp(bimodal.LAW.log_density(x)), color="0.85", label="exact density")
    for name in ("Langevin from the large mode", "Langevin from half and half", "DDPM"):
        right.stairs(heights[name], BINS, color=COLORS[name], linewidth=1.4, label=name)
    right.set(xlabel="x", ylabel="density", ylim=(0.0, 0.62),
              title=f"after {report.settings['budget']} score calls")  # fmt: skip
    right.legend(fontsize="small", loc="upper right")
    return fig
