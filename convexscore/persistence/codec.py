"""Fitted estimators as a JSON header and arrays, and back.

A model is its class, its parameters and its fitted attributes: by scikit-learn's convention all names
that end, and do not begin, with an underscore.  In the header None, booleans, integers, finite floats,
words and lists are themselves.  Everything else is a dictionary with one key that says what it is::

    {"float": "nan"}   {"scalar": ["<f4", 0.5]}   {"tuple": [1, 2]}   {"dict": {"a": 1}}
    {"array": "network_.u"}                          the entry of that name
    {"Certificate": {"objective": 1.5, ...}}         a class of the table below, by its fields
    {"same": "certificates_.fits[0]"}                what is found there, the very same object

The table is all that a file can name: nothing else is imported or made, whatever the header says.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from enum import Enum
from importlib import import_module
from typing import Any

import numpy as np

from convexscore.persistence.archive import KINDS, Array, BadFile

# Where the classes live, below the package; imported when a file holds one.
MODELS = {"ConvexScore": "models.score", "ConvexDiffusion": "models.diffusion"}
# Dataclasses, by the fields of their constructors, and enumerations, by the names of their members.
PARTS = {
    "Activation": "scores.activations",
    "BetaSelection": "selection.cross_validation",
    "Case": "objectives.options",
    "Certificate": "solvers.certificate",
    "Denoising": "objectives.objective",
    "FactorSelection": "selection.ladder",
    "LevelFit": "models.levels",
    "LevelTable": "models.levels",
    "LineScore": "scores.base",
    "Outcome": "solvers.certificate",
    "PiecewiseLinearScore": "scores.piecewise",
    "Problem": "objectives.options",
    "ScoreLadder": "scores.ladder",
    "ScoreMatching": "objectives.objective",
    "SpaceScore": "scores.base",
    "Standardization": "objectives.standardization",
    "TwoLayerNetwork": "scores.network",
}
_RANDOM = (np.random.Generator, np.random.RandomState, np.random.SeedSequence)
_BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
_PLAIN = (bool, int, float, str)


def is_model(value: object) -> bool:
    """Whether the value is an estimator that files can hold."""
    return _is_of(value, MODELS)


def model_to_state(model: Any) -> tuple[dict[str, Any], dict[str, Array]]:
    """Header and arrays of a fitted estimator; TypeError names what cannot be stored."""
    encoder = _Encoder()
    params = model.get_params(deep=False).items()
    fitted = ((name, value) for name, value in vars(model).items() if _is_fitted(name))
    header = {
        "model": type(model).__name__,
        "params": {name: encoder.encode(value, f"params.{name}") for name, value in params},
        "fitted": {name: encoder.encode(value, name) for name, value in fitted},
    }
    return header, encoder.arrays


def model_from_state(header: dict[str, Any], arrays: dict[str, Array]) -> Any:
    """The estimator of header and arrays; BadFile says what does not fit together."""
    kind = header.get("model")
    if kind not in MODELS:
        raise BadFile(f"its header says model {kind!r}; expected one of {', '.join(MODELS)}.")
    decoder = _Decoder(arrays)
    try:
        params = header["params"].items()
        model = _class(kind, MODELS)(
            **{name: decoder.decode(value, f"params.{name}") for name, value in params}
        )
        for name, value in header["fitted"].items():
            if not _is_fitted(name):
                raise ValueError(f"{name!r} is no fitted attribute")
            setattr(model, name, decoder.decode(value, name))
    except BadFile:
        raise
    except Exception as error:  # each class has its own way to refuse what it cannot be
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise BadFile(f"its contents do not fit together ({reason}).") from error
    if decoder.arrays:
        raise BadFile(f"nothing belongs to its entries {', '.join(sorted(decoder.arrays))}.")
    return model


def _is_fitted(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")


def _is_of(value: object, table: dict[str, str]) -> bool:
    """Whether the class of the value is in the table; no module is loaded for the answer."""
    kind = type(value)
    return f"convexscore.{table.get(kind.__name__)}" == kind.__module__


def _class(name: str, table: dict[str, str]) -> Any:
    return getattr(import_module(f"convexscore.{table[name]}"), name)


# ---------------------------------------------------------------------------------- to a file


class _Encoder:
    """Values as JSON; the arrays among them are put aside under their paths."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        # the object is kept beside its path: what is gone would lend its id to another
        self._seen: dict[int, tuple[Any, str]] = {}

    def encode(self, value: Any, path: str) -> Any:
        """What stands in the header for the value found at the path."""
        if isinstance(value, Enum) and _is_of(value, PARTS):
            return {type(value).__name__: value.name}
        if isinstance(value, np.generic) and type(value.item()) in _PLAIN:
            return {"scalar": [value.dtype.str, self.encode(value.item(), path)]}
        if isinstance(value, float) and not math.isfinite(value):
            return {"float": repr(value)}
        if value is None or type(value) in _PLAIN:
            return value
        if type(value) is tuple:
            return {"tuple": self._list(value, path)}
        if type(value) in (list, range):
            return self._list(value, path)
        if type(value) is dict and all(type(key) is str for key in value):
            return {"dict": {k: self.encode(v, f"{path}[{k!r}]") for k, v in value.items()}}
        if id(value) in self._seen:
            return {"same": self._seen[id(value)][1]}
        self._seen[id(value)] = (value, path)
        if type(value) is np.ndarray:
            return self._array(value, path)
        if type(value) in _RANDOM or (_is_of(value, PARTS) and dataclasses.is_dataclass(value)):
            return {type(value).__name__: self._fields(_state_of(value, path), path)}
        # a column of a data frame among the parameters
        if hasattr(value, "__array__") and not isinstance(value, np.generic):
            return self._array(np.asarray(value), path)
        raise _not_stored(value, path)

    def _list(self, values: Iterable[Any], path: str) -> list[Any]:
        return [self.encode(item, f"{path}[{k}]") for k, item in enumerate(values)]

    def _fields(self, state: dict[str, Any], path: str) -> dict[str, Any]:
        return {name: self.encode(item, f"{path}.{name}") for name, item in state.items()}

    def _array(self, array: Array, path: str) -> dict[str, Any]:
        if array.dtype.kind == "O" and array.ndim == 1:  # names of columns
            return {"objects": self._list(array, path)}
        if array.dtype.kind not in KINDS:
            raise _not_stored(array, path)
        self.arrays[path] = array
        return {"array": path}


def _state_of(value: Any, path: str) -> dict[str, Any]:
    """What :func:`_from_state` makes an equal object of."""
    if isinstance(value, np.random.SeedSequence):
        return dict(value.state)
    if isinstance(value, np.random.RandomState):
        return {"state": value.get_state(legacy=False)}
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        if type(bits).__name__ not in _BIT_GENERATORS:
            raise _not_stored(bits, f"{path}.bit_generator")
        seed = bits.seed_seq  # tells how many children were spawned
        return {
            "state": bits.state,
            "seed": seed if isinstance(seed, np.random.SeedSequence) else None,
        }
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}


def _not_stored(value: object, path: str) -> TypeError:
    kind = f"array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    return TypeError(
        f"{path} is of type {kind}, which cannot be stored; files hold numbers, words, lists, "
        "dictionaries, arrays, numpy's random generators and what fits are made of. Replace it before "
        "saving."
    )


# ---------------------------------------------------------------------------------- from a file


class _Decoder:
    """Values of JSON; every array is taken out once."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self.arrays = dict(arrays)
        self._made: dict[str, Any] = {}

    def decode(self, value: Any, path: str) -> Any:
        """The value that stands in the header at the path."""
        if isinstance(value, list):
            return [self.decode(item, f"{path}[{k}]") for k, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            raise ValueError(f"{path} is {len(value)} things instead of one")
        [(kind, content)] = value.items()
        if kind == "float":
            return float(content)
        if kind == "scalar":
            return np.dtype(content[0]).type(self.decode(content[1], path))
        if kind == "tuple":
            return tuple(self.decode(content, path))
        if kind == "dict":
            return {k: self.decode(v, f"{path}[{k!r}]") for k, v in content.items()}
        if kind == "same":
            return self._made[content]
        made = self._made[path] = self._object(kind, content, path)
        return made

    def _object(self, kind: str, content: Any, path: str) -> Any:
        if kind == "array":
            return self.arrays.pop(content)
        if kind == "objects":
            made = np.empty(len(content), dtype=object)
            made[:] = self.decode(content, path)
            return made
        if kind not in PARTS and kind not in {known.__name__ for known in _RANDOM}:
            raise BadFile(f"{path} is of class {kind!r}; expected one of {', '.join(PARTS)}.")
        if isinstance(content, str):
            return _class(kind, PARTS)[content]
        return _from_state(
            kind, {name: self.decode(item, f"{path}.{name}") for name, item in content.items()}
        )


def _from_state(kind: str, state: dict[str, Any]) -> Any:
    if kind in PARTS:
        return _class(kind, PARTS)(**state)
    if kind == "SeedSequence":
        return np.random.SeedSequence(**state)
    name = state["state"]["bit_generator"]
    if name not in _BIT_GENERATORS:
        raise ValueError(f"a bit generator {name!r}")
    bits = getattr(np.random, name)(state.get("seed"))
    if kind == "Generator":
        bits.state = state["state"]
        return np.random.Generator(bits)
    made = np.random.RandomState(bits)
    made.set_state(state["state"])
    return made
