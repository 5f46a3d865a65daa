"""The run options of all samplers: said once, checked once, refused where they have no effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import Any, TypeAlias, TypedDict, cast

from convexscore._tools.random import RandomState
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_callable, check_count

Callback: TypeAlias = Callable[[int, Floats], Any]

# Chains per call of the score: small enough that a hundred neurons of all of them stay in cache,
# large enough that the call itself costs nothing.
BATCH_SIZE = 4096


class RunOptions(TypedDict, total=False):
    r"""Keywords that every sampler takes besides those of its method.

    Parameters
    ----------
    random_state : None, int, Generator or RandomState
        Every chain has streams of its own, one for its noise and, where it is drawn, one for its
        start: chain i's numbers are the same however many chains run beside it.
    keep_trajectory : bool
        Keep the states on the way; in samplers along noise levels with their times, and with the
        start, the last state and the final denoising whatever ``thin`` is.
    thin : int
        The trajectory keeps every ``thin``-th state only.
    callback : callable, optional
        ``callback(step, x)`` after every step, ``step`` counted from 1 and ``x`` read-only; a true
        return value stops the run, which then returns the states as they are.
    progress : bool
        Show a progress bar (needs tqdm).
    burn_in : int
        `langevin`, `mala`: the first ``burn_in`` of the ``n_steps`` steps are left out of the
        trajectory and of the acceptance rate.
    n_samples, dim : int, optional
        Samplers along noise levels, with ``x0=None``: the number of chains, of shape
        (n_samples, dim) or, without ``dim``, (n_samples,).
    final_denoising : bool
        Samplers along noise levels, default True: end with Tweedie's
        :math:`(x + \sigma^2 s(x, \delta))/\lambda`, the mean of X given the last state. It removes
        the noise left at the last level δ, and as much variance of X as that noise hid: about
        :math:`\sigma_\delta^2`. False returns states at noise level δ, as in the theorems. Nothing
        happens for δ = 0.
    batch_size : int
        Samplers along noise levels: chains per call of the score. It bounds the memory; the
        samples do not depend on it, but for the last bits of a score that rounds differently
        (matrix products do).

    Notes
    -----
    Any other keyword is a TypeError, and so is one that has no effect on the sampler; a ``thin``
    or (without acceptance rate) ``burn_in`` that no trajectory is kept for is a ValueError.
    """

    random_state: RandomState
    keep_trajectory: bool
    thin: int
    callback: Callback | None
    progress: bool
    burn_in: int
    n_samples: int | None
    dim: int | None
    final_denoising: bool
    batch_size: int


DEFAULTS: RunOptions = {
    "random_state": None,
    "keep_trajectory": False,
    "thin": 1,
    "callback": None,
    "progress": False,
    "burn_in": 0,
    "n_samples": None,
    "dim": None,
    "final_denoising": True,
    "batch_size": BATCH_SIZE,
}
_COUNTS = {"thin": 1, "burn_in": 0, "n_samples": 1, "dim": 1, "batch_size": 1}
# What has no effect on chains of one score, and on those along noise levels.
NOT_OF_CHAINS = ("n_samples", "dim", "final_denoising", "batch_size")
NOT_OF_LEVELS = ("burn_in",)


def read_options(
    sampler: Callable[..., Any], given: RunOptions, *, without: tuple[str, ...]
) -> RunOptions:
    """All options, those not given by their defaults, checked; the sampler is for messages only."""
    _refuse_unknown(sampler, given, without)
    run = cast(RunOptions, {**DEFAULTS, **given})
    for name, minimum in _COUNTS.items():
        value = cast(Mapping[str, Any], run)[name]
        if value is not None:
            check_count(value, name=name, minimum=minimum)
    if not run["keep_trajectory"] and run["thin"] > 1:
        raise ValueError(
            f"thin={run['thin']} has no effect without a trajectory, keep_trajectory=True. Leave it out."
        )
    callback = run["callback"]
    if callback is not None:
        hint = "Pass the function itself, not its result."
        check_callable(callback, name="callback", form="callback(step, x)", hint=hint)
    return run


def _refuse_unknown(
    sampler: Callable[..., Any], given: RunOptions, without: tuple[str, ...]
) -> None:
    options = [name for name in DEFAULTS if name not in without]
    unknown = [name for name in given if name not in options]
    if not unknown:
        return
    name, title = unknown[0], getattr(sampler, "__name__", "the sampler")
    if name in without:
        raise TypeError(
            f"{name} has no effect on {title}; it is an option of samplers "
            f"{'of one score, langevin and mala' if name in NOT_OF_LEVELS else 'along noise levels'}"
            f". Leave it out."
        )
    parameters = signature(sampler).parameters.values()
    options = [p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY] + options
    close = get_close_matches(name, options, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    raise TypeError(
        f"{title} got an unexpected keyword {name}.{meant} Allowed are {', '.join(options)}."
    )
