"""The two-layer network s(x) = sum_j w_j sigma(u_j.x + b_j) + V x + c as a frozen object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore.scores import kinks as _kinks
from convexscore.scores import potential as _ridge_potential
from convexscore.scores.activations import RELU, Activation, get_activation
from convexscore.scores.evaluate import Evaluator
from convexscore.scores.line_form import piecewise_form
from convexscore.scores.piecewise import PiecewiseLinearScore


def _as_floats(name: str, value: ArrayLike, ndim: int) -> Floats:
    """Copy to float64; in one dimension missing trailing axes of length one are added."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numeric, got {value!r}.") from error
    if array.ndim > ndim:
        raise ValueError(f"{name} must have at most {ndim} axes, got shape {array.shape}.")
    while array.ndim < ndim:
        array = array[..., np.newaxis]
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, got NaN or infinity; check the fit it came from.")
    return array


@dataclass(frozen=True, eq=False, repr=False)
class TwoLayerNetwork:
    r"""Two-layer network with an optional skip connection, immutable.

    .. math:: s(x) = \sum_{j=1}^m w_j\,\sigma(u_j^\top x + b_j) + V x + c,
              \qquad u_j, w_j, c \in \mathbb{R}^d.

    Parameters
    ----------
    u, w : array_like of shape (m, d)
        Inner and outer weights.  For ``d = 1`` shape ``(m,)`` is accepted as well.
    b : array_like of shape (m,)
        Biases.
    skip : array_like of shape (d, d), optional
        The matrix ``V``; ``None`` when the network has no skip connection.
    offset : array_like of shape (d,)
        The constant ``c``.
    activation : {"relu", "abs", "leaky_relu"}, "leaky_relu(slope)" or Activation
        The derivative at an exact kink is the one from the active side ``u.x + b >= 0``.

    Raises
    ------
    ValueError
        If an array is not finite or its shape does not fit the others.

    Notes
    -----
    The arrays are copied to float64 and made read-only.  In one dimension with ``u = +-1`` and
    ``b = -u t`` the computed ``u x + b`` has exactly the sign of ``u (x - t)``, so a kink moved by
    one ``numpy.nextafter`` away from a data point stays on its side of it.

    References
    ----------
    Zhang, Pilanci (2024), *Analyzing Neural Network-Based Generative Diffusion Models through
    Convex Optimization*, section 2 (the model), arXiv 2402.01965.

    Examples
    --------
    >>> from convexscore.scores.network import TwoLayerNetwork
    >>> net = TwoLayerNetwork([1.0, -1.0], [-2.0, 2.0], [0.0, 0.0], offset=0.5)
    >>> net([-1.0, 0.0, 1.0]).tolist()
    [2.5, 0.5, -1.5]
    >>> net.divergence([-1.0, 1.0]).tolist()
    [-2.0, -2.0]
    >>> net
    TwoLayerNetwork(dim=1, n_neurons=2, activation='relu', skip=False)
    """

    u: Floats
    w: Floats
    b: Floats
    skip: Floats | None = field(default=None, kw_only=True)
    offset: Floats = field(kw_only=True)
    activation: Activation = field(default=RELU, kw_only=True)

    def __init__(
        self,
        u: ArrayLike,
        w: ArrayLike,
        b: ArrayLike,
        *,
        skip: ArrayLike | None = None,
        offset: ArrayLike,
        activation: str | Activation = RELU,
    ) -> None:
        given = {"u": (u, 2), "w": (w, 2), "b": (b, 1), "offset": (offset, 1), "skip": (skip, 2)}
        arrays = {
            name: _as_floats(name, value, ndim)
            for name, (value, ndim) in given.items()
            if value is not None
        }
        n_neurons, dim = arrays["u"].shape[0], arrays["offset"].shape[0]
        expected = {"u": (n_neurons, dim), "w": (n_neurons, dim), "b": (n_neurons,)}
        expected["skip"] = (dim, dim)
        for name, shape in expected.items():
            if name in arrays and arrays[name].shape != shape:
                raise ValueError(
                    f"{name} must have shape {shape} (u has {n_neurons} rows, offset has {dim} "
                    f"entries), got {arrays[name].shape}."
                )
        for name, array in arrays.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if skip is None:
            object.__setattr__(self, "skip", None)
        object.__setattr__(self, "activation", get_activation(activation))

    # ---- description ------------------------------------------------------------------------

    @property
    def n_neurons(self) -> int:
        """Number of neurons m."""
        return int(self.u.shape[0])

    @property
    def dim(self) -> int:
        """Dimension d of input and output."""
        return int(self.offset.shape[0])

    def __repr__(self) -> str:
        return (
            f"TwoLayerNetwork(dim={self.dim}, n_neurons={self.n_neurons}, "
            f"activation={self.activation.name!r}, skip={self.skip is not None})"
        )

    def path_norm(self) -> float:
        r"""Return :math:`\sum_j \|u_j\|\,\|w_j\|`, the penalty of the convex program.

        Examples
        --------
        >>> TwoLayerNetwork([2.0], [-3.0], [0.0], offset=0.0).path_norm()
        6.0
        """
        return float(_row_norms(self.u) @ _row_norms(self.w))

    def weight_decay(self) -> float:
        r"""Return :math:`\tfrac12 \sum_j \|u_j\|^2 + \|w_j\|^2`; at least the path norm.

        Examples
        --------
        >>> TwoLayerNetwork([2.0], [-3.0], [0.0], offset=0.0).weight_decay()
        6.5
        """
        return 0.5 * float(np.sum(self.u**2) + np.sum(self.w**2))

    # ---- evaluation -------------------------------------------------------------------------

    def __call__(self, x: ArrayLike) -> Floats:
        """Evaluate the score; the result has the shape of ``x``.

        Parameters
        ----------
        x : array_like of shape (..., d), for d = 1 of any shape
        """
        points, shape = self._points(x)
        return self._evaluator.values(points).reshape(shape)

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self)

    def jacobian(self, x: ArrayLike) -> Floats:
        r"""Return :math:`\nabla s(x) = \sum_j \sigma'(u_j^\top x + b_j)\, w_j u_j^\top + V`.

        Parameters
        ----------
        x : array_like of shape (..., d), for d = 1 of any shape

        Returns
        -------
        ndarray of shape (..., d, d)
            ``[..., k, l]`` is the derivative of output ``k`` in input ``l``.  For ``d = 1`` an
            ``x`` whose last of two or more axes has length one counts as ``(..., d)``.
        """
        points, shape = self._points(x)
        products = (self.w[:, :, np.newaxis] * self.u[:, np.newaxis, :]).reshape(-1, self.dim**2)
        out = self._evaluator.sum_of_derivatives(points, products)
        out = out.reshape(*self._point_shape(shape), self.dim, self.dim)
        return out if self.skip is None else out + self.skip

    def divergence(self, x: ArrayLike) -> Floats:
        r"""Return :math:`\operatorname{tr}\nabla s(x)`, in one dimension the derivative.

        Parameters
        ----------
        x : array_like of shape (..., d), for d = 1 of any shape

        Returns
        -------
        ndarray of shape (...)
            For ``d = 1``: ``(n, 1)`` gives ``(n,)``, ``(n,)`` gives ``(n,)``, a scalar a scalar.
        """
        points, shape = self._points(x)
        traces = np.sum(self.u * self.w, axis=1, keepdims=True)
        out = self._evaluator.sum_of_derivatives(points, traces).reshape(self._point_shape(shape))
        return out if self.skip is None else out + np.trace(self.skip)

    def _points(self, x: ArrayLike) -> tuple[Floats, tuple[int, ...]]:
        array = np.asarray(x, dtype=np.float64)
        if self.dim > 1 and (array.ndim == 0 or array.shape[-1] != self.dim):
            raise ValueError(
                f"x must have shape (..., {self.dim}), one point per row, got {array.shape}."
            )
        return array.reshape(-1, self.dim), array.shape

    def _point_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        is_rows = self.dim > 1 or (len(shape) >= 2 and shape[-1] == 1)
        return shape[:-1] if is_rows else shape

    # ---- gradients --------------------------------------------------------------------------

    def is_conservative(self, rtol: float = _ridge_potential.RTOL) -> bool:
        """Whether the network is a gradient: every w_k along its u_k (or zero), V symmetric.

        Parameters
        ----------
        rtol : float
            Largest sine of the angle between u_k and w_k, and largest entry of V - V' over that
            of V.

        Examples
        --------
        >>> TwoLayerNetwork([[1, 2]], [[-2, -4]], [0], offset=[0, 0]).is_conservative()
        True
        >>> TwoLayerNetwork([[1, 2]], [[1, 0]], [0], offset=[0, 0]).is_conservative()
        False
        """
        return _ridge_potential.weight_asymmetry(self).worst <= rtol

    def log_density(self, x: ArrayLike) -> Floats:
        r"""Return the log-density of a conservative network **up to a constant**.

        .. math:: \log p(x) = \sum_k y_k\,\Psi(u_k^\top x + b_k) + \tfrac12 x^\top V x + c^\top x
                  + \text{const}, \qquad w_k = y_k u_k,

        :math:`\Psi(z) = z\,\sigma(z)/2`.  Its gradient is the network.  Whether it has a finite integral
        is not checked.

        Parameters
        ----------
        x : array_like of shape (..., d), for d = 1 of any shape

        Returns
        -------
        ndarray of shape (...)
            The constant is the same for all calls: the quadratic part vanishes at a point among
            the kinks, which keeps the digits of data far from zero.

        Raises
        ------
        ValueError
            If the network is not conservative (for d = 1 every network is).

        Notes
        -----
        O(n m d) time for n points.

        References
        ----------
        Ridge potentials within the convex programs of Zhang, Pilanci (2024), arXiv 2402.01965.

        Examples
        --------
        >>> net = TwoLayerNetwork([[1, 0]], [[-2, 0]], [0], skip=[[-1, 0], [0, -1]], offset=[0, 0])
        >>> net.log_density([[0, 0], [1, 0], [-1, 0], [0, 1]]).tolist()
        [0.0, -1.5, -0.5, -0.5]
        """
        points, shape = self._points(x)
        return self._potential(points).reshape(self._point_shape(shape))

    def jacobian_asymmetry(self, x: ArrayLike) -> Floats:
        r"""Return :math:`\|J - J^\top\|_F / \|J\|_F` of the Jacobian J at each point.

        Parameters
        ----------
        x : array_like of shape (..., d), for d = 1 of any shape

        Returns
        -------
        ndarray of shape (...)
            Between 0 (symmetric: locally a gradient; also where J = 0) and 2 (skew-symmetric: a
            rotation); sqrt(2) when the symmetric and the skew part are of equal size.

        Examples
        --------
        >>> spin = TwoLayerNetwork([[1, 0]], [[0, 1]], [0], offset=[0, 0], skip=[[0, 1], [-1, 0]])
        >>> spin.jacobian_asymmetry([[-1.0, 0.0], [1.0, 0.0]]).round(6).tolist()
        [2.0, 1.414214]
        """
        points, shape = self._points(x)
        asymmetry = _ridge_potential.jacobian_asymmetry(self, points)
        return asymmetry.reshape(self._point_shape(shape))

    @cached_property
    def _potential(self) -> _ridge_potential.RidgePotential:
        return _ridge_potential.RidgePotential.of(self)

    # ---- other weights for the same function ------------------------------------------------

    def unit_norm(self) -> TwoLayerNetwork:
        """Return the same function with ``|u_j| = 1`` and the size of the neuron in ``w_j``.

        Neurons without inner weight move to the offset, neurons without outer weight are dropped.
        In one dimension every point stays on its side of every kink, to the last bit.
        """
        net = self._without_dead_neurons()
        norms = _row_norms(net.u)
        if net.dim == 1:
            u = np.sign(net.u)
            b = -u[:, 0] * _kinks.kinks(net.u[:, 0], net.b)
        else:
            u, b = net.u / norms[:, np.newaxis], net.b / norms
        return replace(net, u=u, w=net.w * norms[:, np.newaxis], b=b)

    def balanced(self) -> TwoLayerNetwork:
        """Return the same function with ``|u_j| = |w_j|``, where weight decay is the path norm.

        Dead neurons are removed as in :meth:`unit_norm`.  In one dimension weights and bias are
        rounded so that points next to a kink keep their side where floating point permits it;
        a derivative exactly at a kink (or within one rounding of it) may still take the other
        side, so evaluate score matching losses on the unit-norm form.
        """
        net = self._without_dead_neurons()
        norms = _row_norms(net.u)
        root = np.sqrt(norms) * np.sqrt(_row_norms(net.w))
        if net.dim == 1:
            u, b = _kinks.rescale(net.u[:, 0], net.b, np.sign(net.u[:, 0]) * root)
            factor = norms / np.abs(u)
            return replace(net, u=u[:, np.newaxis], w=net.w * factor[:, np.newaxis], b=b)
        factor = (root / norms)[:, np.newaxis]
        return replace(net, u=net.u * factor, w=net.w / factor, b=net.b * factor[:, 0])

    def _without_dead_neurons(self) -> TwoLayerNetwork:
        constant = ~np.any(self.u != 0, axis=1)
        keep = ~constant & np.any(self.w != 0, axis=1)
        levels = self.activation.value(self.b[constant])
        offset = self.offset + levels @ self.w[constant]
        return replace(self, u=self.u[keep], w=self.w[keep], b=self.b[keep], offset=offset)

    # ---- one dimension ----------------------------------------------------------------------

    def breakpoints(self) -> Floats:
        """Return the distinct kinks ``-b_j / u_j`` in increasing order (one dimension).

        Examples
        --------
        >>> TwoLayerNetwork([1.0, -2.0], [1.0, 1.0], [-3.0, 1.0], offset=0.0).breakpoints().tolist()
        [0.5, 3.0]
        """
        self._require_1d("breakpoints")
        net = self._without_dead_neurons()
        return np.unique(_kinks.kinks(net.u[:, 0], net.b))

    def to_piecewise(self) -> PiecewiseLinearScore:
        """Return the same function by its knots, values and outer slopes (one dimension).

        Kinks at one position are merged, and so are kinks a few roundings apart: the nudged
        pairs around a data point, between which values could not carry a slope.  Values are
        built up from local differences with compensated sums, starting at the knot where the
        hinges are smallest, so that large neurons that cancel do not spoil them.

        Returns
        -------
        PiecewiseLinearScore
            Without kinks: the line with one knot at 0.
        """
        self._require_1d("to_piecewise")
        return piecewise_form(self._without_dead_neurons())

    def _require_1d(self, what: str) -> None:
        if self.dim != 1:
            raise ValueError(f"{what} needs a network of dimension 1, this one has {self.dim}.")

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that copies and unpickled networks are read-only too.
        rest: dict[str, Any] = {
            "skip": self.skip,
            "offset": self.offset,
            "activation": self.activation,
        }
        return partial(TwoLayerNetwork, **rest), (self.u, self.w, self.b)


def _row_norms(rows: Floats) -> Floats:
    """Euclidean norms of the rows, safe for entries whose squares over- or underflow."""
    largest = np.max(np.abs(rows), axis=1, keepdims=True, initial=0.0)
    scale = np.where(largest > 0, largest, 1.0)
    norms: Floats = scale[:, 0] * np.sqrt(np.sum((rows / scale) ** 2, axis=1))
    return norms
