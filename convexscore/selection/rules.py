"""How beta is chosen from held-out losses: every heuristic constant in one frozen rule per use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexscore._tools.typing import Floats

# A fold sees a share of the data; the noise of the hinge derivatives, which beta must exceed, grows like
# the square root of the number of points.
FOLD_EXPONENT = 0.5


@dataclass(frozen=True)
class SelectionRule:
    """How far a path of decreasing penalties is followed, and which of its values is taken.

    Attributes
    ----------
    n_betas : size of the grid.
    grid_ratio : the grid ends this factor below the beta of the first kink.
    patience : values without a gain that counts before the path ends.
    worthwhile : a gain that counts, as a share of what the kinks gained so far.
    lost : share of what was gained whose loss ends the path at once: over-fitted problems cost the most
        time by far.
    gain : standard errors of the gain by which each choice must beat the one before.
    slack : share of what was gained that is given up for a larger penalty.
    """

    n_betas: int
    grid_ratio: float
    patience: int
    worthwhile: float = 0.0
    lost: float = np.inf
    gain: float = 0.0
    slack: float = 0.0

    def settled(self, mean: Floats) -> bool:
        """Whether smaller penalties have stopped to help; ``mean`` (b,) are the losses so far."""
        gained = float(mean[0]) - float(mean.min())
        last = int(np.flatnonzero(mean <= mean.min() + self.worthwhile * gained)[0])
        since = len(mean) - 1 - last
        lost = float(mean[-1]) - float(mean.min()) > self.lost * gained
        return since >= self.patience or (since > 0 and lost)

    def choose(self, losses: Floats, weight: Floats, *, one_standard_error: bool = False) -> int:
        """Index of the choice among the columns of ``losses`` (folds, betas) that were followed.

        Down the path, each choice beats the one before by ``gain`` standard errors of the gain.  Both are
        of the differences fold by fold, in which what all scores lose on a fold cancels.
        """
        mean, error = fold_statistics(losses, weight)
        followed = np.flatnonzero(np.isfinite(losses).all(axis=0))
        chosen = int(followed[0])
        for b in followed:
            gain, spread = fold_statistics(losses[:, [chosen]] - losses[:, [b]], weight)
            if gain[0] > self.gain * spread[0]:
                chosen = int(b)
        best = float(np.nanmin(mean))
        allowed = [best + self.slack * (float(mean[followed[0]]) - best)] if self.slack else []
        if one_standard_error:
            allowed.append(best + float(error[int(np.nanargmin(mean))]))
        return min([chosen, *(int(np.flatnonzero(mean <= limit)[0]) for limit in allowed)])


def fold_statistics(losses: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Weighted mean over folds and its standard error, for each beta."""
    share = (weight / weight.sum())[:, None]
    mean = (share * losses).sum(axis=0)
    spread = (share * (losses - mean) ** 2).sum(axis=0)
    return mean, np.sqrt(spread / (len(losses) - 1))


# Over-fitted scores of one column are lucky at a few held-out points, and the minimum believes them.
LINE_RULE = SelectionRule(n_betas=30, grid_ratio=1e-3, patience=8, gain=0.75)
SPACE_RULE = SelectionRule(n_betas=15, grid_ratio=1e-3, patience=2, worthwhile=0.005, lost=0.25)
# One factor for a ladder of noise levels, of seven.
LADDER_RULE = SelectionRule(n_betas=7, grid_ratio=2.0**-6, patience=2, slack=0.02)


def rule_for(dim: int) -> SelectionRule:
    """The rule of one or several columns."""
    return LINE_RULE if dim == 1 else SPACE_RULE
