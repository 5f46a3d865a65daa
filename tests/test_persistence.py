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
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import bimodal
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

import convexscore.models.diffusion
from convexscore import ConvergenceWarning, ConvexDiffusion, ConvexScore, load, save
from convexscore.models.diffusion_sampling import SAMPLERS
from convexscore.persistence.archive import SCHEMA_VERSION, write_archive
from convexscore.persistence.codec import MODELS, PARTS
from convexscore.schedules import vp_time

line = bimodal


def plane():
    points = np.random.default_rng(1).normal(size=(60, 2)) @ [[0.9, 0.3], [0.0, 0.5]]
    points[:30] += 2.5
    return points


FRAME = pd.DataFrame(plane(), columns=["height", "Breite ü, cm"])
SPACE = np.random.default_rng(2).normal(size=(40, 5))
LEVELS = np.array([5.0, 1.0, 0.3])
CV = {"n_betas": 6, "cv": 3, "random_state": 5}
ABS = {"activation": "abs", "skip": False}
DSM = {"objective": "denoising", "noise": 0.5}
SMOOTHED = {**DSM, "labels": "smoothed"}
# What is fitted: data and options.
SCORES = {
    "line, cv": (line(), CV),
    "line, one standard error": (line(), {**CV, "one_standard_error": True}),
    "line, no neurons": (line(), {"beta": 60.0}),
    "line, one neuron": (line(), {**DSM, "noise": 0.4, "beta": 20.0, "random_state": 1}),
    "line, weights": (line(), {**ABS, "beta": np.float64(5.5)}),
    "line, smoothed": (line(), {**SMOOTHED, "beta": 3, "random_state": np.int64(4)}),
    "line, density": (line(), {"activation": "abs", "constraint": "density", "beta": 6.0}),
    "line, log-concave": (line(), {"constraint": "log-concave", "beta": 4.0}),
    "line, 1e8 x - 3e8": (1e8 * line() - 3e8, CV),
    "plane": (plane() + np.array([0.0, 1e3]), {"beta": 9.0}),
    "plane, names, weights": (FRAME, {**ABS, "beta": 20.0}),
    "plane, cv": (plane(), {**SMOOTHED, "n_betas": 5, "cv": 2, "standardize": "columns"}),
    "plane, gradient": (
        plane(), {**DSM, "constraint": "gradient", "beta": 2.0, "standardize": "whitening"},
    ),
    "plane, log-concave": (plane(), {"constraint": "log-concave", "beta": 8.0, "tol": 1e-3}),
    "space": (SPACE, {**DSM, "beta": 12.0, "n_starts": 8}),
}  # fmt: skip
MODELS_OF_LEVELS = {
    "levels, cv": (line(), {"n_levels": 5, "cv": 2, "n_draws": 5}),
    "levels, ve, weights": (line(), {**ABS, "n_levels": 4, "schedule": "ve", "beta": "rule"}),
    "levels, given": (
        line(), {"levels": LEVELS, "beta": (0.3, np.float64(2.0), 9), "labels": "noisy"},
    ),
    "levels, 1e-2 x + 1e8": (1e8 + 1e-2 * line(), {"n_levels": 4, "beta": "rule"}),
    "levels, one failed": (line(), {"levels": LEVELS, "beta": 3.0}),
    "levels, plane, names": (
        FRAME, {"n_levels": 4, "n_draws": 3, "constraint": "gradient", "beta": 2.0},
    ),
    "levels, space": (
        SPACE[:, :3], {"activation": "abs", "n_levels": 3, "n_draws": 2, "beta": 4.0, "n_starts": 8},
    ),
}  # fmt: skip
KINDS = {**SCORES, **MODELS_OF_LEVELS}
SLOW = ("space", "levels, space")
ALL = [pytest.param(kind, marks=pytest.mark.slow if kind in SLOW else ()) for kind in KINDS]
BASIC = ("line, cv", "plane, gradient", "levels, given", "levels, plane, names")
_FITTED = {}


def fitted(kind):
    if kind not in _FITTED:
        data, options = KINDS[kind]
        estimator = ConvexScore if kind in SCORES else ConvexDiffusion
        model = _FITTED[kind] = estimator(**{"random_state": 7, **options})
        if kind == "levels, one failed":
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(convexscore.models.diffusion, "fit_level", fails_at_one)
                with pytest.warns(ConvergenceWarning, match="1 of 3 noise levels failed"):
                    model.fit(data)
        else:
            weights = 1.0 + np.arange(len(data)) % 3 if "weights" in kind else None
            model.fit(data, sample_weight=weights)
    return _FITTED[kind]


def fails_at_one(x, w, options, beta, *, fit=convexscore.models.diffusion.fit_level, **how):
    seed = -1 if options.noise == 1.0 else how["seed"]
    return fit(x, w, options, beta, **{**how, "seed": seed})


@pytest.fixture(params=ALL)
def saved(request, tmp_path):
    """A model and its file."""
    return fitted(request.param), save(fitted(request.param), tmp_path / "model.npz")


@pytest.fixture
def small(tmp_path):
    """A fit of one's own, and where to save it."""
    return ConvexScore(beta=5.0).fit(line()), tmp_path / "fit.npz"


basic = pytest.mark.parametrize("saved", BASIC, indirect=True)


def assert_same(a, b, at="model"):
    """Equal types, attributes and bits, all the way down."""
    assert type(a) is type(b), at
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), at
        assert a.flags.f_contiguous == b.flags.f_contiguous or not a.flags.forc, at
        assert a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes(), at
        return
    left, right = parts(a), parts(b)
    if left is None:
        assert position(a) == position(b), at
        return
    assert sorted(left) == sorted(right), at
    for name in left:
        assert_same(left[name], right[name], f"{at}.{name}")


def parts(value):
    """What it is made of, by name; None if there is nothing inside."""
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, BaseEstimator):
        return vars(value)
    return value if isinstance(value, dict) else None


def position(value):
    """Floats by their digits, generators by all that they remember; other values as they are."""
    if isinstance(value, np.random.RandomState):
        return str(value.get_state(legacy=False))
    if isinstance(value, np.random.Generator):
        return str((value.bit_generator.state, value.bit_generator.seed_seq))
    return repr(value) if isinstance(value, float) else value


def behaviour(model):
    """Numbers of all that a model can do, with fixed seeds."""
    several, how = model.n_features_in_ > 1, {"random_state": 3, "n_steps": 12}
    if isinstance(model, ConvexDiffusion):
        x = model.sample(30, **how)
        yield from (model.sample(5, method=method, **how) for method in SAMPLERS)
        levels = model.levels_
        for sigma in (2 * levels[0], levels[1], np.sqrt(levels[0] * levels[1]), levels[-1] / 3):
            yield model.ve_score(x, sigma)
        for t in (vp_time(levels[-1]), 0.4) if model.schedule == "vp" else levels[1:3]:
            yield from (model.score_function(x, t), model.denoise(x, t))
        return
    rows = model.score_.rows if several else model.piecewise_.knots
    x = np.concatenate([rows, 3 * rows - 2 * rows.mean(axis=0)])
    yield from (f(x) for f in (model.score_function, model.divergence, model.jacobian_asymmetry))
    law = model.constraint if several else model.piecewise_.is_integrable
    if law:
        yield from (model.log_density(x), model.sample(5, method="mala", **how))
    if law and not several:
        yield from (model.cdf(x), model.ppf([0.1, 0.7]), model.sample(5, random_state=3))
    yield from (model.sample(5, method="langevin", **how), model.score(x))


# ----------------------------------------------------------------------------------- round trips


def test_round_trip_is_exact(saved, tmp_path):
    model, path = saved
    again = load(path)
    assert_same(model, again)
    # the same model makes the same file
    assert save(again, tmp_path / "twice.npz").read_bytes() == path.read_bytes()
    expected = [np.asarray(values).tobytes() for values in behaviour(model)]
    for twin in (again, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_same(model, twin)
        assert [np.asarray(values).tobytes() for values in behaviour(twin)] == expected


@pytest.mark.parametrize("kind", ALL)
def test_kinds_are_what_they_are_called(kind):
    model = fitted(kind)
    table = getattr(model, "certificates_", None)
    proofs = [model.certificate_] if table is None else [f.certificate for f in table if f.network]
    neurons = sum(proof.n_neurons for proof in proofs)
    assert (neurons == 0) == ("no neurons" in kind) and (neurons == 1) == ("one neuron" in kind)
    selection = model.beta_selection_ if kind in SCORES else model.factor_selection_
    assert (selection is not None) == (model.beta == "cv")
    assert hasattr(model, "feature_names_in_") == ("names" in kind)
    assert all(proof.exact != ("space" in kind) for proof in proofs)
    assert kind != "space" or model.certificate_.n_tried > 0
    assert "failed" not in kind or (len(table) - len(model.networks_) == 1 and table[1].error)


RANDOM_STATES = {
    "none": lambda: None,
    "int": lambda: 2**40,
    "numpy int": lambda: np.uint32(7),
    **{kind: lambda kind=kind: np.random.Generator(getattr(np.random, kind)(5))
       for kind in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")},
    "child": lambda: np.random.default_rng(np.random.SeedSequence([2**70, 3]).spawn(3)[2]),
    "legacy": lambda: np.random.RandomState(0),
    "legacy over PCG64": lambda: np.random.RandomState(np.random.PCG64(1)),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("make", RANDOM_STATES.values(), ids=RANDOM_STATES)
def test_random_states_continue(tmp_path, make):
    state = make()
    if isinstance(state, np.random.Generator):  # half a word and two children are used
        state.integers(10, dtype=np.uint32)
        state.spawn(2)
    if isinstance(state, np.random.RandomState):  # keeps the second normal of a pair
        state.normal()
    fit = ConvexScore(**DSM, beta=9.0, random_state=state).fit(line())
    again = load(save(fit, tmp_path / "fit.npz"))
    assert_same(fit, again)
    for _ in range(2):
        assert fit.score(line()) == again.score(line())
    if state is not None:  # folds are spawned, noise is drawn
        fit, again = (each.set_params(beta="cv", cv=2).fit(line()) for each in (fit, again))
        fit.certificate_ = dataclasses.replace(fit.certificate_, seconds=again.certificate_.seconds)
        assert_same(fit, again)


numbers = arrays(
    st.sampled_from(["f8", "f4", "i8", "u4", "?", ">f8", "<U3"]),
    array_shapes(min_dims=0, min_side=0),
)
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), numbers),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.slow
@given(value=plain)
def test_plain_states_are_exact(value):
    fit = copy.copy(fitted("line, no neurons"))
    fit.note_ = value
    with tempfile.TemporaryDirectory() as folder:
        assert_same(value, load(save(fit, Path(folder) / "fit.npz")).note_)


def test_what_else_comes_back(small):
    fit, path = small
    shared = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    fit.a_ = {"a": shared, "a']['b": [np.float32(0.1), np.str_("x"), np.bool_(True), -0.0]}
    fit.b_ = [shared, np.random.SeedSequence(1), range(3), pd.Series([1.0, 2.0]), np.arange(9)[::3]]
    again = load(save(fit, path))
    assert_same(fit.a_, again.a_)
    assert again.b_[0] is again.a_["a"] and again.b_[1].state == fit.b_[1].state
    assert_same([*map(np.asarray, fit.b_[2:])], [*map(np.asarray, again.b_[2:])])


@pytest.mark.slow
def test_another_process_needs_the_file_and_little_else(tmp_path):
    model = fitted("levels, plane, names")
    code = (
        "import sys, numpy as np\n"
        "from convexscore import fit_convex_score, load, save\n"
        "load(save(fit_convex_score([0.0, 1.0, 3.0, 4.0], beta=3.0), sys.argv[2]))\n"
        "assert 'convexscore.models.diffusion' not in sys.modules\n"
        "samples = load(sys.argv[1]).sample(40, n_steps=15, random_state=5)\n"
        "assert not {'cvxpy', 'matplotlib'} & set(sys.modules)\n"
        "np.save(sys.argv[3], samples)\n"
    )
    files = (save(model, tmp_path / "model.npz"), tmp_path / "fit.npz", tmp_path / "samples.npy")
    subprocess.run([sys.executable, "-c", code, *files], check=True)
    assert np.array_equal(np.load(files[2]), model.sample(40, n_steps=15, random_state=5))


def contents(path):
    """Header and arrays, by numpy and json alone."""
    with np.load(path, allow_pickle=False) as archive:
        entries = {name: archive[name] for name in archive.files if name != "digest"}
    return json.loads(entries.pop("header").item()), entries


@basic
def test_file_describes_itself(saved):
    model, path = saved
    header, entries = contents(path)
    assert header["format"] == "convexscore model" and header["model"] == type(model).__name__
    assert header["schema_version"] == SCHEMA_VERSION == 1
    assert header["convexscore_version"] == convexscore.__version__
    assert header["params"].keys() == model.get_params().keys()
    assert header["fitted"].keys() == {name for name in vars(model) if name.endswith("_")}
    for name, array in entries.items():  # an entry's name is the expression that finds it
        assert np.array_equal(eval(name, {"params": model, **vars(model)}), array)
    if isinstance(model, ConvexDiffusion):  # the training data are not in the file
        everything = b"".join(array.tobytes() for array in entries.values())
        data = plane() if model.n_features_in_ == 2 else line()[:, None]
        for rows in (data, model.standardization_.points(data)):
            assert not any(row.tobytes() in everything for row in rows)
    else:
        assert header["fitted"]["beta_"] == model.beta_
        proof = header["fitted"]["certificate_"]["Certificate"]
        assert proof["objective"] == model.certificate_.objective


@pytest.mark.parametrize("name, module", {**MODELS, **PARTS}.items())
def test_classes_live_where_the_codec_looks(name, module):
    kind = getattr(importlib.import_module(f"convexscore.{module}"), name)
    assert kind.__module__ == f"convexscore.{module}"
    assert name in MODELS or issubclass(kind, Enum) or kind.__dataclass_params__.frozen


# ------------------------------------------------------------------------------- saving is safe


def test_only_fitted_models_of_known_parts_are_saved(small):
    fit, path = small
    impostor = type("ConvexDiffusion", (), {})()
    for other in ({}, impostor, type("Mine", (ConvexScore,), {})(), fit.network_):
        with pytest.raises(TypeError, match=rf"ConvexScore or .*got {type(other).__name__}\."):
            save(other, path)
    for estimator in (ConvexScore(), ConvexDiffusion()):
        with pytest.raises(NotFittedError, match=type(estimator).__name__):
            save(estimator, path)
    strange = (print, impostor, 1j, {1: 2}, np.ones(2, complex), np.longdouble(1), b"", {object()})
    for value in strange:
        fit.note_ = [value]
        with pytest.raises(TypeError, match=r"note_\[0\].* is of type \w.* cannot be stored"):
            save(fit, path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "no space"), KeyboardInterrupt()])
def test_a_failed_save_leaves_what_was_there(small, monkeypatch, failure):
    fit, path = small
    before = save(fit, path).read_bytes()

    def fail(descriptor):
        assert len(list(path.parent.iterdir())) == 2
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(failure), match=str(path) if failure.args else None):
        save(fit, path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.slow
def test_a_reader_sees_one_whole_model_whoever_writes(tmp_path):
    """Two threads and two processes save to the same file."""
    models = {beta: ConvexScore(beta=beta).fit(line()) for beta in (5.0, 9.0)}
    sources = [save(model, tmp_path / f"{beta}.npz") for beta, model in models.items()]
    path = save(models[5.0], tmp_path / "shared.npz")
    code = (
        "import sys\n"
        "from convexscore import load, save\n"
        "model = load(sys.argv[1])\n"
        "for _ in range(30): save(model, sys.argv[2])\n"
    )
    seen = []
    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(subprocess.run, [sys.executable, "-c", code, source, path], check=True)
                   for source in sources]  # fmt: skip
        while not all(writer.done() for writer in writers):
            here = [pool.submit(save, model, path) for model in models.values()]
            again = load(path)
            assert_same(models[again.beta_], again)
            seen.append(again.beta_)
            assert [saved.result() for saved in here] == [path, path]
    assert [writer.result().returncode for writer in writers] == [0, 0]
    assert set(seen) == set(models) and len(seen) > 20
    assert set(tmp_path.iterdir()) == {path, *sources}


def test_mode_bits_and_symbolic_links_are_kept(small, tmp_path):
    fit, target = small
    first, second, circle = (tmp_path / "links" / f"{k}.npz" for k in range(3))
    first.parent.mkdir()
    first.symlink_to("../fit.npz")
    second.symlink_to(first)
    circle.symlink_to(circle)
    before = os.umask(0o027)
    try:
        save(fit, second)
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640  # what the umask left of 666
    for mode in (0o640, 0o604, 0o666):
        target.chmod(mode)
        save(fit, second)
        assert stat.S_IMODE(target.stat().st_mode) == mode
        assert os.readlink(first) == "../fit.npz" and second.is_symlink()
        assert not target.is_symlink()
        assert_same(fit, load(target))
    with pytest.raises(OSError, match=str(circle)):
        save(fit, circle)
    assert sorted(tmp_path.rglob("*.*")) == sorted([target, first, second, circle])


def test_where_nothing_can_be_written(small):
    fit, path = small
    os.mkfifo(path)
    for place in (path, path.parent):  # a file in its place would be the end of it
        with pytest.raises(FileExistsError, match=f"not a regular file.*{place}"):
            save(fit, place)
    assert path.is_fifo()
    with pytest.raises(FileNotFoundError, match=r"nowhere/fit\.npz"):
        save(fit, path.parent / "nowhere" / "fit.npz")
    folder = Path(tempfile.mkdtemp())  # where other users may look
    folder.chmod(0o555)
    user = os.geteuid()
    try:
        os.seteuid(user or 65534)  # no folder is read-only for root
        with pytest.raises(PermissionError, match=f"{folder}/fit.npz"):
            save(fit, folder / "fit.npz")
    finally:
        os.seteuid(user)
        folder.rmdir()  # it is empty


# ----------------------------------------------------------------------------- what is refused


def refused(path, match):
    """Loading fails with a ValueError that names the file and what is wrong."""
    with pytest.raises(ValueError, match=match) as caught:
        load(path)
    assert f"{path} cannot be loaded: " in str(caught.value)


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def zipped(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def unzipped(path):
    """Entries by name, as bytes."""
    with zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}


@basic
def test_the_helpers_of_these_tests_make_good_files(saved, tmp_path):
    model, path = saved
    assert_same(model, load(zipped(tmp_path / "again.npz", unzipped(path))))
    write_archive(tmp_path / "written.npz", *contents(path))
    assert (tmp_path / "written.npz").read_bytes() == path.read_bytes()


FOREIGN = [
    *(("a", content, "it is not an .npz file") for content in
      (b"", b"x,y\n1,2\n", b"\x93NUMPY", b"PK\x03\x04 not really")),
    ("a.npy", npy(np.ones(3)), r"it has no header.*entries: a\)"),
    ("header.npy", npy(np.array(1.0)), "no header that is text"),
    ("header.npy", npy(np.array(b"hello")), "its header is not valid JSON"),
    ("header.npy", npy(np.array(b"[" * 100_000)), "its header is not valid JSON"),
    ("header.npy", npy(np.array(b'{"format": "something else"}')), "format 'something else'"),
    ("header.npy", npy(np.array(b"[1]")), "format 'list'"),
    ("header.npy", b"hello", "'header'.*not a plain array"),
]  # fmt: skip


@pytest.mark.parametrize("name, content, match", FOREIGN)
def test_foreign_and_missing_files(tmp_path, name, content, match):
    path = tmp_path / "foreign.npz"
    with pytest.raises(FileNotFoundError, match=r"foreign\.npz"):
        load(path)
    path.write_bytes(content)
    refused(path if name == "a" else zipped(path, {name: content}), match)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the file was unpickled",))


def test_bombs_do_not_go_off(small):
    fit, path = small
    entries = unzipped(save(fit, path))
    pickled = npy(np.array([Bomb()], dtype=object))
    refused(zipped(path, {**entries, "network_.w": pickled}), "'network_.w'.*not a plain array")
    zeros = npy(np.zeros(10**6))
    large = zeros.replace(b"(1000000,), }    ", b"(10000000000,), }")[:1000]
    zipped(path, {**entries, "network_.w": zeros}, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    refused(path, r"its entries declare 80\d+ bytes and the whole file has")
    refused(zipped(path, {**entries, "network_.w": large}), r"\(10000000000,\) in 872 bytes")
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


@pytest.mark.slow
@basic
def test_one_flipped_bit_anywhere_is_refused_or_harmless(saved):
    model, path = saved
    content = bytearray(path.read_bytes())
    somewhere = np.random.default_rng(0).choice(len(content), 130, replace=False).tolist()
    n_refused = 0
    for place in (*somewhere, *range(len(content) - 70, len(content))):
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        content[place] ^= 1 << place % 8
        try:
            again = load(path)
        except ValueError as error:
            assert str(path) in str(error)
            n_refused += 1
        else:  # time stamps of the archive and the like: nothing that is read
            assert_same(model, again)
    assert n_refused > 120
    for share in (0.1, 0.5, 0.98):
        path.write_bytes(content[: int(share * len(content))])
        refused(path, "its end is missing")


@pytest.mark.slow
@basic
def test_nothing_changes_unseen(saved):
    """Every entry, and every number and word of the header."""
    path = saved[1]
    entries, header = unzipped(path), contents(path)[0]

    def changes(inside):
        for key, item in list(inside.items() if isinstance(inside, dict) else enumerate(inside)):
            if isinstance(item, dict | list):
                yield from changes(item)
                continue
            inside[key] = np.nextafter(item, np.inf) if isinstance(item, float) else "another"
            yield {**entries, "header": npy(np.array(json.dumps(header).encode()))}
            inside[key] = item

    for changed in changes(header):
        refused(zipped(path, changed), "the digest is another|schema version|says format")
    for name, content in entries.items():
        others = {key: value for key, value in entries.items() if key != name}
        for changed in (others, {**others, name: content[:-1] + bytes([content[-1] ^ 1])}):
            refused(zipped(path, changed), "the digest is another|header|not a plain array")


WEIGHTS = "fitted.network_.TwoLayerNetwork"
CHANGES = [
    ("schema_version", 2, "schema version 2, .* 0.1.0; this is .* reads version 1"),
    ("schema_version", None, "schema version None"),
    ("model", None, "model None; expected one of ConvexScore, ConvexDiffusion"),
    ("model", "ConvexDiffusion", "unexpected keyword argument"),
    ("params", None, "do not fit together .* no attribute 'items'"),
    ("fitted", [1], "do not fit together .* no attribute 'items'"),
    ("params.colour", "blue", "unexpected keyword argument 'colour'"),
    ("fitted.sample", 1, "'sample' is no fitted attribute"),
    ("fitted.__class_", 1, "'__class_' is no fitted attribute"),
    ("fitted.network_", {"os.system": "ls"}, "network_ is of class 'os.system'"),
    ("fitted.network_", {"ConvexScore": {}}, "network_ is of class 'ConvexScore'"),
    ("fitted.network_", {"a": 1, "b": 2}, "network_ is 2 things"),
    ("fitted.certificate_", {"Certificate": {"objective": 1.0}}, "arguments: .*'gap'"),
    ("fitted.certificate_", {"Certificate": "BEST"}, "do not fit together"),
    ("params.random_state", {"Generator": {"state": {"dict": {"bit_generator": "sys"}}}}, "'sys'"),
    (f"{WEIGHTS}.u", {"array": "network_.v"}, "'network_.v' is missing"),
    (f"{WEIGHTS}.u", {"array": "noise_labels_"}, r"must have shape \(120, 1\)"),
    (f"{WEIGHTS}.offset", {"float": "nan"}, "offset must be finite"),
    ("fitted.noise_labels_", None, "nothing belongs to its entries noise_labels_"),
]


@pytest.mark.parametrize("place, value, match", CHANGES)
def test_contents_that_make_no_model(tmp_path, place, value, match):
    """Even where someone has made the digest fit."""
    path = save(fitted("line, one neuron"), tmp_path / "fit.npz")
    header, entries = contents(path)
    *parents, name = place.split(".")
    inside = header
    for parent in parents:
        inside = inside[parent]
    inside[name] = value
    write_archive(path, header, entries)
    refused(path, match)
