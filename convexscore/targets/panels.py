"""A density on an interval, resolved by Gauss-Legendre panels that adapt to it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.polynomial import legendre

from convexscore.targets.inputs import Floats

_ORDER = 16
GAUSS_X, GAUSS_W = legendre.leggauss(_ORDER)
# Panels between two breaks to begin with, and how often one may be halved.
_FIRST = 32
_HALVINGS = 120
# A panel is resolved when the polynomial through its nodes gives the masses of both halves up to
# this part of its mass, the rounding of the abscissae apart ...
_RESOLVED = 1e-11
# ... or when its mass is less than this part of all.
_NEGLIGIBLE = 1e-20
# At a pole at an end, panels shrink until their nodes could no longer be told from the end.
_NARROWEST = 1e3 * np.finfo(float).eps
# From values at the nodes to Legendre coefficients, and to the integral over the left half.
_TO_LEGENDRE = (legendre.legvander(GAUSS_X, _ORDER - 1) * GAUSS_W[:, None]) * (
    np.arange(_ORDER) + 0.5
)
_LEFT_HALF = legendre.legval(0.0, legendre.legint(_TO_LEGENDRE.T, lbnd=-1.0))
_NEWTON_STEPS = 60

LogDensity = Callable[[Floats], Floats]


class Panels:
    """Edges (P + 1,), nodes (P, 16) and the normalised log-density at them (P, 16).

    ``log_total`` is the logarithm of the integral before it was normalised; ``log_masses``, (P, 16),
    those of quadrature weight times density.
    """

    def __init__(self, edges: Floats, nodes: Floats, log_density: Floats, log_total: float) -> None:
        self.edges, self.nodes, self.log_total = edges, nodes, log_total
        half = 0.5 * np.diff(edges)[:, None]
        self.log_masses = log_density + np.log(half * GAUSS_W)
        self._masses = np.exp(self.log_masses).sum(axis=1)
        total = np.append(0.0, np.cumsum(self._masses))
        self._cumulative = total / total[-1]
        coefficients = (half * np.exp(log_density)) @ _TO_LEGENDRE
        # Legendre coefficients (17, P) of the mass left of a point, per panel, on [-1, 1].
        self._primitives = np.asarray(legendre.legint(coefficients.T, lbnd=-1.0), np.float64)

    def index(self, x: Floats) -> np.ndarray:
        """The panel of each x; points outside belong to the first or last one."""
        inside = np.searchsorted(self.edges, x, side="right") - 1
        return np.clip(inside, 0, len(self.edges) - 2)

    def cdf(self, x: Floats) -> Floats:
        panel = self.index(x)
        left, right = self.edges[panel], self.edges[panel + 1]
        u = np.clip(2.0 * (x - left) / (right - left) - 1.0, -1.0, 1.0)
        within = legendre.legval(u, self._primitives[:, panel], tensor=False)
        return np.clip(self._cumulative[panel] + within, 0.0, 1.0)

    def ppf(self, q: Floats) -> Floats:
        """Quantiles by Newton's method inside the panel, bisecting whenever that leaves it."""
        panel = np.searchsorted(self._cumulative, q, side="right") - 1
        panel = np.clip(panel, 0, len(self.edges) - 2)
        # Panels without mass hold no quantile but may be what the search returns at q = 1.
        wanted = q - self._cumulative[panel]
        mass = np.maximum(self._masses[panel], np.finfo(float).tiny)
        primitives = self._primitives[:, panel]
        slopes = legendre.legder(primitives)
        low, high = -np.ones_like(q), np.ones_like(q)
        u = np.clip(2.0 * wanted / mass - 1.0, -1.0, 1.0)
        for _ in range(_NEWTON_STEPS):
            excess = legendre.legval(u, primitives, tensor=False) - wanted
            low, high = np.where(excess <= 0, u, low), np.where(excess >= 0, u, high)
            with np.errstate(divide="ignore", invalid="ignore"):
                step = u - excess / legendre.legval(u, slopes, tensor=False)
            new = np.where((step >= low) & (step <= high), step, 0.5 * (low + high))
            moved, u = np.abs(new - u).max(initial=0.0), new
            if moved < 1e-14:
                break
        left, right = self.edges[panel], self.edges[panel + 1]
        return np.clip(left + 0.5 * (u + 1.0) * (right - left), left, right)


def resolve(log_density: LogDensity, edges: Floats) -> Panels:
    """Halve panels until halving changes nothing; ``edges`` are the interval and its breaks.

    Features narrower than about 1/500 of the distance between two given edges may be missed.
    """
    fine = [np.linspace(a, b, _FIRST + 1)[:-1] for a, b in pairwise(edges)]
    left = np.concatenate(fine)
    right = np.append(left[1:], edges[-1])
    logs = _evaluate(log_density, left, right)
    if not (logs > -np.inf).any():
        raise ValueError(
            f"log_density must be finite somewhere on the interval [{edges[0]:g}, {edges[-1]:g}]; "
            f"it is -inf at all {logs.size} points tried. Narrow the interval to the support, or "
            f"bracket it by two breaks."
        )
    done: list[tuple[Floats, Floats, Floats]] = []
    settled = -np.inf  # log of the mass in panels that are done
    for _ in range(_HALVINGS):
        middle, width = 0.5 * (left + right), right - left
        halves = np.column_stack([left, middle]).ravel(), np.column_stack([middle, right]).ravel()
        half_logs = _evaluate(log_density, *halves)
        half_masses = _log_mass(half_logs, *halves)
        log_total = np.logaddexp(settled, np.logaddexp.reduce(half_masses))
        masses = np.exp(half_masses - log_total).reshape(-1, 2)
        guess = 0.5 * width * (np.exp(logs - log_total) @ _LEFT_HALF)
        extent = np.maximum(np.abs(left), np.abs(right))
        mass = masses.sum(axis=1)
        tolerance = _RESOLVED + 10.0 * np.finfo(float).eps * extent / width
        whole = _log_mass(logs, left, right)
        coarse = np.abs(guess - masses[:, 0]) > tolerance * mass
        coarse |= np.abs(np.exp(whole - log_total) - mass) > tolerance * mass
        coarse &= (mass > _NEGLIGIBLE) & (width > 2.0 * _NARROWEST * extent)
        done.append((left[~coarse], right[~coarse], logs[~coarse]))
        settled = np.logaddexp(settled, np.logaddexp.reduce(whole[~coarse]))
        keep = np.repeat(coarse, 2)
        left, right, logs = halves[0][keep], halves[1][keep], half_logs[keep]
        if not coarse.any():
            break
    done.append((left, right, logs))
    left, right, logs = (np.concatenate(parts) for parts in zip(*done, strict=True))
    order = np.argsort(left)
    left, right, logs = left[order], right[order], logs[order]
    log_total = float(np.logaddexp.reduce(_log_mass(logs, left, right)))
    return Panels(np.append(left, right[-1]), _nodes(left, right), logs - log_total, log_total)


def _nodes(left: Floats, right: Floats) -> Floats:
    half = 0.5 * (right - left)
    return (left + half)[:, None] + half[:, None] * GAUSS_X


def _evaluate(log_density: LogDensity, left: Floats, right: Floats) -> Floats:
    nodes = _nodes(left, right)
    return log_density(nodes.ravel()).reshape(nodes.shape)


def _log_mass(logs: Floats, left: Floats, right: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        weighted = logs + np.log(0.5 * (right - left)[:, None] * GAUSS_W)
    return np.logaddexp.reduce(weighted, axis=1)
