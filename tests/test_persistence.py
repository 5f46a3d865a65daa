"""Saved models come back equal to the last bit; anything else is refused by name."""

import copy
import dataclasses
import errno
import importlib
import io
import json
import os
import pickle
import stat
import subprocess
import sys
import tempfile
import threading
import tracemalloc
import zipfile
from enum import Enum
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError

import convexscore.models.diffusion
from convexscore import ConvergenceWarning, ConvexDiffusion, ConvexScore, load, save
from convexscore.models.diffusion_sampling import SAMPLERS
from convexscore.persistence.archive import SCHEMA_VERSION, digest_of, write_archive
from convexscore.persistence.codec import MODELS, PARTS


def line(n=60, scale=1.0, shift=0.0):
    rng = np.random.default_rng(0)
    halves = [rng.normal(-2.0, 1.0, n - n // 3), rng.normal(2.0, 0.5, n // 3)]
    return shift + scale * np.concatenate(halves)


def plane(n=50):
    rng = np.random.default_rng(1)
    points = rng.normal(size=(n, 2)) @ [[0.9, 0.3], [0.0, 0.5]]
    points[: n // 2] += 2.5
    return points


FRAME = pd.DataFrame(plane(), columns=["height", "Breite ü, cm"])
SPACE = np.random.default_rng(2).normal(size=(40, 5))
DENOISING = {"objective": "denoising", "noise": 0.5, "n_draws": 2}
CV = {"n_betas": 6, "cv": 3, "random_state": 5}
LEVELS = np.array([5.0, 1.0, 0.3])
# What is fitted: class, data, options.
KINDS = {
    "line, cv": (ConvexScore, line(), CV),
    "line, one standard error": (ConvexScore, line(), {**CV, "one_standard_error": True}),
    "line, no kinks": (ConvexScore, line(), {"beta": 60.0}),
    "line, one kink": (ConvexScore, line(), {**DENOISING, "noise": 0.4, "beta": 80.0}),
    "line, abs, no skip": (
        ConvexScore, line(), {"activation": "abs", "skip": False, "beta": np.float64(2.3)},
    ),
    "line, smoothed": (
        ConvexScore, line(),
        {**DENOISING, "labels": "smoothed", "skip": False, "beta": 3, "random_state": np.int64(4)},
    ),
    "line, integrable": (
        ConvexScore, line(), {"tails": "integrable", "activation": "abs", "beta": 6.0},
    ),
    "line, log-concave": (ConvexScore, line(), {"shape": "log-concave", "beta": 4.0}),
    "line, 1e-8 x": (ConvexScore, line(scale=1e-8), CV),
    "line, 1e8 x - 3e8": (ConvexScore, line(scale=1e8, shift=-3e8), CV),
    "line, 1e-3 x + 1e6": (ConvexScore, line(scale=1e-3, shift=1e6), {"beta": 5.0}),
    "plane": (ConvexScore, plane() + [0.0, 1e3], {"beta": 9.0, "random_state": 2}),
    "plane, no neurons": (ConvexScore, plane(), {"beta": 60.0}),
    "plane, names": (ConvexScore, FRAME, {"activation": "abs", "skip": False, "beta": 20.0}),
    "plane, cv, whitening": (
        ConvexScore, plane(),
        {**DENOISING, "labels": "smoothed", "n_betas": 5, "cv": 2, "standardize": "whitening",
         "random_state": 0},
    ),
    "plane, conservative": (
        ConvexScore, plane(),
        {**DENOISING, "conservative": True, "beta": 2.0, "standardize": "columns", "n_starts": 20},
    ),
    "plane, log-concave": (
        ConvexScore, plane(),
        {"conservative": True, "shape": "log-concave", "beta": 8.0, "tol": 1e-3},
    ),
    "space": (ConvexScore, SPACE, {**DENOISING, "beta": 12.0, "random_state": 0, "n_starts": 8}),
    "levels, cv": (ConvexDiffusion, line(), {"n_levels": 5, "cv": 2, "n_draws": 5}),
    "levels, ve, abs, no skip": (
        ConvexDiffusion, line(),
        {"n_levels": 4, "schedule": "ve", "activation": "abs", "skip": False, "beta": "rule"},
    ),
    "levels, given": (
        ConvexDiffusion, line(),
        {"levels": LEVELS, "beta": (0.3, np.float64(2.0), 9), "labels": "noisy"},
    ),
    "levels, 1e-2 x + 1e8": (
        ConvexDiffusion, line(scale=1e-2, shift=1e8), {"n_levels": 4, "beta": "rule"},
    ),
    "levels, 1e-8 x": (ConvexDiffusion, line(scale=1e-8), {"n_levels": 4, "beta": "rule"}),
    "levels, no neurons": (ConvexDiffusion, line(), {"n_levels": 3, "beta": 1e6}),
    "levels, plane, conservative, names": (
        ConvexDiffusion, FRAME, {"n_levels": 4, "n_draws": 3, "conservative": True, "beta": 2.0},
    ),
    "levels, plane, ve, cv, whitening": (
        ConvexDiffusion, plane(),
        {"n_levels": 3, "n_draws": 2, "cv": 2, "tol": 0.05, "schedule": "ve",
         "standardize": "whitening"},
    ),
    "levels, space": (
        ConvexDiffusion, SPACE[:, :3],
        {"n_levels": 3, "n_draws": 2, "beta": 4.0, "activation": "abs", "n_starts": 8},
    ),
    "levels, one failed": (ConvexDiffusion, line(), {"levels": LEVELS, "beta": 3.0}),
}  # fmt: skip
BASIC = ("line, cv", "plane, conservative", "levels, given", "levels, plane, conservative, names")
_FITTED = {}


def fitted(kind):
    if kind not in _FITTED:
        estimator, data, options = KINDS[kind]
        model = estimator(**{"random_state": 7, **options})
        weights = 1.0 + np.arange(len(data)) % 3 if "no skip" in kind or "whit" in kind else None
        with pytest.MonkeyPatch.context() as patch:
            if kind == "levels, one failed":
                patch.setattr(convexscore.models.diffusion, "fit_level", fails_at_one)
                with pytest.warns(ConvergenceWarning, match="1 of 3 noise levels failed"):
                    model.fit(data)
            else:
                model.fit(data, sample_weight=weights)
        _FITTED[kind] = model
    return _FITTED[kind]


def fails_at_one(x, weights, options, beta, *, fit=convexscore.models.diffusion.fit_level, **how):
    return fit(x, weights, options, beta, **{**how, "seed": None if options.noise == 1 else how["seed"]})


@pytest.fixture(params=KINDS)
def saved(request, tmp_path):
    """A model and its file."""
    model = fitted(request.param)
    return model, save(model, tmp_path / "model.npz")


@pytest.fixture(params=BASIC)
def basic(request, tmp_path):
    """The same for one model of each shape."""
    model = fitted(request.param)
    return model, save(model, tmp_path / "model.npz")


@pytest.fixture
def small(tmp_path):
    """A fit of its own, and where to save it."""
    return ConvexScore(beta=5.0).fit(line()), tmp_path / "fit.npz"


def assert_same(a, b, at="model"):
    """Equal types, attributes and bits, all the way down."""
    assert type(a) is type(b), at
    if isinstance(a, BaseEstimator):
        assert list(vars(a)) == list(vars(b)) or set(vars(a)) == set(vars(b)), at
        parts = {name: (value, vars(b)[name]) for name, value in vars(a).items()}
    elif dataclasses.is_dataclass(a):
        names = [field.name for field in dataclasses.fields(a)]
        parts = {name: (getattr(a, name), getattr(b, name)) for name in names}
    elif isinstance(a, dict):
        assert list(a) == list(b), at
        parts = {name: (a[name], b[name]) for name in a}
    elif isinstance(a, list | tuple):
        parts = dict(enumerate(zip(a, b, strict=True)))
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), at
        assert a.flags.f_contiguous == b.flags.f_contiguous or not a.flags.contiguous, at
        assert a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes(), at
        return
    else:
        assert repr(a) == repr(b) if isinstance(a, float) else position(a) == position(b), at
        return
    for name, (left, right) in parts.items():
        assert_same(left, right, f"{at}.{name}")


def position(value):
    """Where a generator stands, as text; other values as they are."""
    if isinstance(value, np.random.RandomState):
        return str(value.get_state(legacy=False))
    if isinstance(value, np.random.Generator):
        return str((value.bit_generator.state, value.bit_generator.seed_seq))
    return value


def behaviour(model):
    """Numbers of all that a model can do, with fixed seeds."""
    several = model.n_features_in_ > 1
    how = {"random_state": 3, "n_steps": 12}
    if isinstance(model, ConvexDiffusion):
        x = model.sample(30, **how)
        yield from (model.sample(5, sampler=sampler, **how) for sampler in SAMPLERS)
        top, *_, low = levels = model.levels_
        for sigma in (2 * top, levels[1], np.sqrt(top * levels[1]), low / 3):
            yield model.ve_score(x, sigma)
        for t in (model.end_, 0.4) if model.schedule == "vp" else levels[1:3]:
            yield from (model.score_function(x, t), model.denoise(x, t))
        return
    rows = model.start_points_ if several else model.piecewise_.knots
    x = np.concatenate([rows, 3 * rows - 2 * rows.mean(axis=0)])
    yield from (f(x) for f in (model.score_function, model.divergence, model.jacobian_asymmetry))
    law = model.conservative if several else model.piecewise_.is_integrable
    if law:
        yield from (model.log_density(x), model.sample(5, method="mala", **how))
    if law and not several:
        yield from (model.cdf(x), model.ppf([0.1, 0.7]), model.sample(5, random_state=3))
    yield model.sample(5, method="langevin", **how)
    yield model.score(x)  # denoising: noise from the estimator's own generator


def assert_same_behaviour(a, b):
    for k, (left, right) in enumerate(zip(behaviour(a), behaviour(b), strict=True)):
        assert np.asarray(left).tobytes() == np.asarray(right).tobytes(), k


# ----------------------------------------------------------------------------------- round trips


def test_round_trip_is_exact(saved, tmp_path):
    model, path = saved
    again = load(path)
    assert_same(model, again)
    # the same model makes the same file
    assert save(again, tmp_path / "twice.npz").read_bytes() == path.read_bytes()
    for twin in (again, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_same(model, twin)
        assert_same_behaviour(model, twin)


def test_kinds_are_what_they_are_called():
    for kind in KINDS:
        model = fitted(kind)
        table = getattr(model, "certificates_", None)
        proofs = [fit.certificate for fit in table] if table is not None else [model.certificate_]
        neurons = sum(proof.n_neurons for proof in proofs if proof)
        assert (neurons == 0) == ("no neurons" in kind or "no kinks" in kind), kind
        selections = [getattr(model, f"{name}_selection_", None) for name in ("beta", "factor")]
        chosen = "cv" in kind or "one standard" in kind or (isinstance(model, ConvexScore) and model.beta == "cv")
        assert any(s is not None for s in selections) == chosen, kind
        assert hasattr(model, "feature_names_in_") == ("names" in kind), kind
        assert all(proof is None or proof.exact != ("space" in kind) for proof in proofs), kind
    assert fitted("space").certificate_.n_tried > 0
    assert fitted("line, one kink").network_.n_neurons <= 2
    failed = fitted("levels, one failed")
    assert len(failed.networks_) == 2 and failed.certificates_[1].error


@pytest.mark.parametrize("kind", BASIC)
def test_names_of_columns_and_shared_parts(kind, tmp_path):
    again = load(save(fitted(kind), tmp_path / "model.npz"))
    if "names" in kind:
        assert again.feature_names_in_.tolist() == ["height", "Breite ü, cm"]
        assert again.feature_names_in_.dtype == object
    if "levels" in kind:
        assert all(score is fit for score, fit in zip(again.ladder_.scores, again.certificates_, strict=True))


RANDOM_STATES = {
    "none": lambda: None,
    "int": lambda: 2**40,
    "numpy int": lambda: np.uint32(7),
    **{
        name: lambda name=name: np.random.Generator(getattr(np.random, name)(5))
        for name in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
    },
    "child": lambda: np.random.default_rng(np.random.SeedSequence([2**70, 3]).spawn(3)[2]),
    "legacy": lambda: np.random.RandomState(0),
    "legacy over PCG64": lambda: np.random.RandomState(np.random.PCG64(1)),
}


@pytest.mark.parametrize("make", RANDOM_STATES.values(), ids=RANDOM_STATES)
def test_random_states_continue(tmp_path, make):
    state = make()
    if isinstance(state, np.random.Generator):
        state.integers(10, dtype=np.uint32), state.spawn(2)  # half a word and two children are used
    if isinstance(state, np.random.RandomState):
        state.normal()  # keeps its second half
    fit = ConvexScore(**DENOISING, beta=9.0, random_state=state).fit(line())
    again = load(save(fit, tmp_path / "fit.npz"))
    assert_same(fit, again)
    x = line()
    for _ in range(2):
        assert fit.score(x) == again.score(x)
    if isinstance(state, np.random.Generator):
        assert fit.random_state.spawn(1)[0].normal() == again.random_state.spawn(1)[0].normal()
    if state is not None:
        # folds are spawned, noise is drawn
        fit, again = (each.set_params(beta="cv", n_betas=4, cv=2).fit(x) for each in (fit, again))
        assert_same(dataclasses.replace(fit.certificate_, seconds=0.0), dataclasses.replace(again.certificate_, seconds=0.0))


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | arrays(st.sampled_from(["f8", "f4", "i8", "u4", "?", ">f8", "<U3"]), array_shapes(min_dims=0, min_side=0)),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)  # fmt: skip


@given(value=plain)
def test_plain_states_are_exact(value):
    fit = copy.copy(fitted("line, no kinks"))
    fit.note_ = value
    with tempfile.TemporaryDirectory() as folder:
        assert_same(value, load(save(fit, Path(folder) / "fit.npz")).note_)


def test_what_else_comes_back(small):
    fit, path = small
    shared = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    fit.a_ = {"a": shared, "a']['b": [np.float32(0.1), np.str_("x"), np.bool_(True), -0.0]}
    fit.b_ = (shared, range(3), pd.Series([1.0, 2.0]), np.arange(10)[::3], np.random.SeedSequence(1))
    again = load(save(fit, path))
    assert_same(fit.a_, again.a_)
    assert again.b_[0] is again.a_["a"]
    assert_same([*map(np.asarray, fit.b_[1:4])], [*map(np.asarray, again.b_[1:4])])
    assert again.b_[4].state == fit.b_[4].state


def test_loaded_models_can_be_cloned_and_fitted_again(tmp_path):
    for kind in ("line, cv", "levels, cv"):
        _, data, _ = KINDS[kind]
        model = fitted(kind)
        again = clone(load(save(model, tmp_path / "model.npz"))).fit(data)
        how = (0.5,) if kind == "levels, cv" else ()
        assert np.array_equal(again.score_function(data, *how), model.score_function(data, *how))


def run(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_another_process_needs_the_file_only(tmp_path):
    model = fitted("levels, plane, conservative, names")
    code = (
        "import sys, numpy as np\n"
        "from convexscore import load\n"
        "model = load(sys.argv[1])\n"
        "assert not {'cvxpy', 'matplotlib', 'convexscore.models.score'} & set(sys.modules)\n"
        "np.save(sys.argv[2], model.sample(40, n_steps=15, random_state=5))\n"
    )
    run(code, save(model, tmp_path / "model.npz"), tmp_path / "samples.npy")
    expected = model.sample(40, n_steps=15, random_state=5)
    assert np.array_equal(np.load(tmp_path / "samples.npy"), expected)


def test_who_saves_a_fit_does_not_wait_for_the_diffusion(tmp_path):
    code = (
        "import sys\n"
        "from convexscore import fit_convex_score, load, save\n"
        "load(save(fit_convex_score([0.0, 1.0, 3.0, 4.0], beta=3.0), sys.argv[1]))\n"
        "print('convexscore.models.diffusion' in sys.modules)\n"
    )
    assert run(code, tmp_path / "fit.npz") == "False\n"


def contents(path):
    """Header and arrays by numpy and json alone."""
    with np.load(path, allow_pickle=False) as archive:
        entries = {name: archive[name] for name in archive.files if name != "digest"}
    return json.loads(entries.pop("header").item()), entries


def test_file_describes_itself(basic):
    model, path = basic
    header, entries = contents(path)
    assert header["format"] == "convexscore model" and header["model"] == type(model).__name__
    assert header["schema_version"] == SCHEMA_VERSION == 1
    assert header["convexscore_version"] == convexscore.__version__
    assert header["params"].keys() == model.get_params().keys()
    assert header["fitted"].keys() == {name for name in vars(model) if name.endswith("_")}
    for name, array in entries.items():  # an entry's name is the expression that finds it
        assert np.array_equal(eval(name, {"params": model, **vars(model)}), array)
    if isinstance(model, ConvexDiffusion):  # the training data are not in the file
        data = model.standardization_.points(plane()) if model.n_features_in_ == 2 else line()[:, None]
        rows = {tuple(row) for row in np.asarray(data)}
        for array in entries.values():
            assert not rows & {tuple(row) for row in array.reshape(-1, model.n_features_in_)} if array.size % 2 == 0 else True
    else:
        assert header["fitted"]["beta_"] == model.beta_
        proof = header["fitted"]["certificate_"]["Certificate"]
        assert proof["objective"] == model.certificate_.objective


def test_the_table_of_classes():
    """Every class that files can hold lives where the codec looks for it, and is frozen."""
    for name, module in {**MODELS, **PARTS}.items():
        kind = getattr(importlib.import_module(f"convexscore.{module}"), name)
        assert kind.__module__ == f"convexscore.{module}"
        if name in PARTS:
            assert issubclass(kind, Enum) or kind.__dataclass_params__.frozen
