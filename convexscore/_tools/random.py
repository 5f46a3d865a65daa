"""Local randomness: every public ``random_state`` passes through this file."""

from __future__ import annotations

from numbers import Integral
from typing import TypeAlias

import numpy as np

RandomState: TypeAlias = int | np.integer | np.random.Generator | np.random.RandomState | None

# Entropy handed from a legacy RandomState to its Generator: 4 words are what SeedSequence pools.
_ENTROPY_WORDS = 4
_ALLOWED = (
    "random_state must be None, an int >= 0, a numpy.random.Generator or a numpy.random.RandomState"
)


def check_random_state(random_state: RandomState = None) -> np.random.Generator:
    """Turn what a user may pass as ``random_state`` into a ``numpy.random.Generator``.

    Parameters
    ----------
    random_state : None, int >= 0, Generator or RandomState
        None takes fresh entropy from the system; an int is a reproducible seed; a Generator is
        returned as it is, so that successive calls advance it; a legacy RandomState seeds a new
        Generator with four of its 32-bit words and is thereby advanced.

    Returns
    -------
    numpy.random.Generator
        Global random state is neither read nor written.

    Raises
    ------
    ValueError
        If an int is negative.
    TypeError
        If ``random_state`` is of any other type (``bool`` included: it is surely a mistake).

    Examples
    --------
    >>> from convexscore._tools.random import check_random_state
    >>> bool(check_random_state(0).random() == check_random_state(0).random())
    True
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if random_state is None:
        return np.random.default_rng()
    if isinstance(random_state, np.random.RandomState):
        words = random_state.randint(0, 2**32, size=_ENTROPY_WORDS, dtype=np.uint32)
        return np.random.default_rng([int(word) for word in words])
    if isinstance(random_state, Integral) and not isinstance(random_state, bool):
        if random_state < 0:
            raise ValueError(f"{_ALLOWED}; got {int(random_state)}. Use its absolute value.")
        return np.random.default_rng(int(random_state))
    raise TypeError(
        f"{_ALLOWED}; got {type(random_state).__name__}. Pass an int for a reproducible result."
    )


def spawn_generators(random_state: RandomState, n_children: int) -> list[np.random.Generator]:
    """Make independent child generators, one per chain, fold or worker.

    Child k depends on the parent and on k only, not on ``n_children``: the first three of ten
    children are the same streams as three children. Spawning draws nothing from the parent's
    own stream; asking the same Generator again gives further, different children.

    Parameters
    ----------
    random_state : None, int >= 0, Generator or RandomState
        The parent, see `check_random_state`.
    n_children : int
        How many generators, at least 0.

    Returns
    -------
    list of numpy.random.Generator

    Examples
    --------
    >>> from convexscore._tools.random import spawn_generators
    >>> few, many = spawn_generators(0, 3), spawn_generators(0, 10)
    >>> bool(few[2].normal() == many[2].normal())
    True
    """
    return list(check_random_state(random_state).spawn(n_children))
