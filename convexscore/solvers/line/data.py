"""The data of a one-dimensional problem, sorted once, behind the only two passes a solver makes.

A solver of the univariate problem touches the data in two ways only:

* :meth:`LineData.segment_moments`: Gram blocks of the hat functions of a few knots;
* :meth:`LineData.hinge_gradient`: the derivative of the smooth part of the objective in the
  direction of *every* hinge ``(x - x_k)_+``, by prefix sums.

Both are linear in the number of points.  ``LineData`` may hold *cells*: groups of points between
two consecutive candidate knots, known by their moments alone.  As hinges with kinks at candidates
are linear inside a cell, a problem on cells is the exact problem restricted to those candidates;
that is how a million points are solved on a few thousand cells first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.typing import Floats

Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

# Below this number of segments slices and dot products beat index arithmetic over all points.
_FEW_SEGMENTS = 48


@dataclass(frozen=True)
class LineData:
    """Distinct sorted points with masses, label sums and the divergence weight.

    Attributes
    ----------
    x : (P,) strictly increasing candidate positions (data values).
    mass : (P,) total sample weight at each value.
    label_mass : (P,) sum of weight times label at each value, or None when all labels are zero.
    divergence : float, 1 for score matching and 0 for denoising.
    constant : float, 1/2 sum of weight times (label - mean label)^2 over points sharing a value.
    cells : (5, P - 1) moments of the points strictly between candidates j and j + 1, as of
        :meth:`segment_moments`, or None when every point is a candidate.
    """

    x: Floats
    mass: Floats
    label_mass: Floats | None
    divergence: float
    constant: float
    cells: Floats | None = None

    @property
    def size(self) -> int:
        return self.x.shape[0]

    @property
    def total_mass(self) -> float:
        cell_mass = 0.0 if self.cells is None else float(self.cells[0].sum())
        return float(self.mass.sum()) + cell_mass

    @property
    def label_sums(self) -> Floats:
        """Label sum at every candidate, also where all labels are zero."""
        return np.zeros(self.size) if self.label_mass is None else self.label_mass

    def knot_labels(self, knots: Ints) -> Floats:
        """Label sums at some candidates."""
        if self.label_mass is None:
            return np.zeros(len(knots))
        return self.label_mass[knots]

    # ------------------------------------------------------------------ Gram blocks
    def segment_moments(self, left: Ints, right: Ints) -> Floats:
        """Moments (5, S) of the points strictly inside each segment ``x[left] .. x[right]``.

        Rows: sums of m, m t, m t^2, m l, m l t with t in (0, 1) the position in the segment.
        Coordinates are local, so narrow segments far from the origin lose no digits.
        O(points inside the segments).
        """
        if len(left) <= _FEW_SEGMENTS:
            columns = [self._one_segment(int(a), int(b)) for a, b in zip(left, right, strict=True)]
            out = np.array(columns, dtype=float).reshape(-1, 5).T
        else:
            out = self._many_segments(left, right)
        if self.cells is not None:
            out = out + self._cell_moments(self.cells, left, right)
        return out

    def _one_segment(self, a: int, b: int) -> tuple[float, float, float, float, float]:
        if b - a < 2:
            return 0.0, 0.0, 0.0, 0.0, 0.0
        inside = slice(a + 1, b)
        t = self.x[inside] - self.x[a]
        t /= self.x[b] - self.x[a]
        mass = self.mass[inside]
        mt = mass * t
        w0, w1, w2 = float(mass.sum()), float(mt.sum()), float(np.dot(mt, t))
        if self.label_mass is None:
            return w0, w1, w2, 0.0, 0.0
        ml = self.label_mass[inside]
        return w0, w1, w2, float(ml.sum()), float(np.dot(ml, t))

    def _many_segments(self, left: Ints, right: Ints) -> Floats:
        counts = right - left - 1
        total = int(counts.sum())
        out = np.zeros((5, len(left)))
        if total == 0:
            return out
        starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        index = np.arange(total) + np.repeat(left + 1 - starts, counts)
        a = self.x[left]
        t = (self.x[index] - np.repeat(a, counts)) / np.repeat(self.x[right] - a, counts)
        mass = self.mass[index]
        rows = [mass, mass * t, mass * t * t]
        if self.label_mass is not None:
            ml = self.label_mass[index]
            rows += [ml, ml * t]
        filled = counts > 0
        for row, values in enumerate(rows):
            out[row, filled] = np.add.reduceat(values, starts[filled])
        return out

    def _cell_moments(self, cells: Floats, left: Ints, right: Ints) -> Floats:
        counts = right - left
        starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        index = np.arange(int(counts.sum())) + np.repeat(left - starts, counts)
        a = self.x[left]
        width = np.repeat(self.x[right] - a, counts)
        shift = (self.x[index] - np.repeat(a, counts)) / width
        ratio = (self.x[index + 1] - self.x[index]) / width
        mass, first, second, label, label_first = cells[:, index]
        rows = (
            mass,
            shift * mass + ratio * first,
            shift * shift * mass + 2.0 * shift * ratio * first + ratio * ratio * second,
            label,
            shift * label + ratio * label_first,
        )
        return np.add.reduceat(rows, starts, axis=1)

    # ------------------------------------------------------------------ oracle
    def evaluate(self, knots: Ints, values: Floats) -> Floats:
        """The piecewise-linear function with these values at the knots, at every candidate."""
        out = np.empty(self.size)
        if len(knots) - 1 > _FEW_SEGMENTS:
            out[:] = np.interp(self.x, self.x[knots], values)
        else:
            for j in range(len(knots) - 1):
                a, b = int(knots[j]), int(knots[j + 1])
                piece = out[a : b + 1]
                np.subtract(self.x[a : b + 1], self.x[a], out=piece)
                piece *= (values[j + 1] - values[j]) / (self.x[b] - self.x[a])
                piece += values[j]
        out[knots] = values
        return out

    def hinge_gradient(self, score: Floats, line_gradient: float) -> Floats:
        """g_k = sum_i m_i r_i (x_i - x_k)_+ + divergence * mass{x_i > x_k}, for every candidate k.

        ``score`` holds s at the candidates (linear inside cells), r = s - l, and sum_i m_i r_i = 0
        is used.  ``line_gradient`` is sum_i m_i r_i (x_i - x_0) + divergence * total mass, known
        from the restricted optimum, where the recursion starts.  As the increments
        h_k R_k - divergence * m_{k+1} nearly cancel, the second prefix sum stays of the size of
        the answer and rounding does not grow with the number of points.  O(P).
        """
        residual = self.mass * score
        if self.label_mass is not None:
            residual -= self.label_mass
        if self.cells is None:
            return self.hinge_sums(residual, line_gradient)
        mass, first, second, label, label_first = self.cells
        rise = np.diff(score)
        cell0 = score[:-1] * mass + rise * first - label
        cell1 = score[:-1] * first + rise * second - label_first
        # residual[k] now sums the value k and the cell to its left; a point at local t in the
        # cell (k, k + 1) has been passed for the last (1 - t) h of the way
        residual[1:] += cell0
        return self.hinge_sums(residual, line_gradient, cell0 - cell1, mass)

    def hinge_sums(
        self,
        residual: Floats,
        line_gradient: float,
        late: Floats | float = 0.0,
        passed: Floats | float = 0.0,
    ) -> Floats:
        """The same from any residual masses m_i r_i that sum to zero (overwritten).

        ``late`` and ``passed`` are what the points inside each cell add to residual and mass.
        """
        np.cumsum(residual, out=residual)
        steps = np.empty(self.size)
        steps[0] = line_gradient - self.divergence * self.mass[0]
        np.add(residual[:-1], late, out=steps[1:])
        steps[1:] *= np.diff(self.x)
        if self.divergence:
            steps[1:] -= self.divergence * (passed + self.mass[1:])
        return np.cumsum(steps, out=steps)


def compress(data: LineData, candidates: Ints) -> LineData:
    """The same problem with kinks allowed at ``candidates`` only (first and last included).  O(P)."""
    x, mass = data.x, data.mass
    left, counts = candidates[:-1], np.diff(candidates)
    # reduceat over [candidate, next candidate): the candidate itself has t = 0 and adds to sums of
    # order zero only
    t = x[:-1] - np.repeat(x[left], counts)
    t *= np.repeat(1.0 / np.diff(x[candidates]), counts)
    inner_mass = np.add.reduceat(mass[:-1], left) - mass[left]
    weighted = mass[:-1] * t
    first = np.add.reduceat(weighted, left)
    weighted *= t
    second = np.add.reduceat(weighted, left)
    label = label_first = np.zeros(len(left))
    if data.label_mass is not None:
        label = np.add.reduceat(data.label_mass[:-1], left) - data.label_mass[left]
        np.multiply(data.label_mass[:-1], t, out=weighted)
        label_first = np.add.reduceat(weighted, left)
    moments = np.array([inner_mass, first, second, label, label_first])
    return _at_candidates(data, candidates, moments)


def refine(data: LineData, coarse: LineData, old: Ints, opened: Ints) -> tuple[LineData, Ints]:
    """Cells opened down to single points: ``coarse`` on ``old`` candidates plus those in ``opened``.

    ``opened`` lists every point of the opened cells; all other cells keep their moments.  O(cells).
    """
    assert coarse.cells is not None
    candidates = np.union1d(old, opened)
    kept = np.diff(candidates) > 1
    moments = np.zeros((5, len(candidates) - 1))
    moments[:, kept] = coarse.cells[:, np.searchsorted(old, candidates[:-1][kept])]
    return _at_candidates(data, candidates, moments), candidates


def _at_candidates(data: LineData, candidates: Ints, moments: Floats) -> LineData:
    return replace(
        data,
        x=data.x[candidates],
        mass=data.mass[candidates],
        label_mass=None if data.label_mass is None else data.label_mass[candidates],
        cells=moments,
    )
