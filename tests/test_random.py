"""Random state and progress bars: what every sampler and solver leans on."""

import builtins
import sys

import numpy as np
import pytest

from convexscore._tools.progress import progress_bar
from convexscore._tools.random import check_random_state, spawn_generators


def test_every_kind_of_random_state():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - neither read nor written
    expected = np.random.default_rng(7).normal(size=5)
    for seed in (7, np.int64(7)):
        np.testing.assert_array_equal(check_random_state(seed).normal(size=5), expected)
    generator = np.random.default_rng(0)
    assert check_random_state(generator) is generator
    assert check_random_state(None).random() != check_random_state(None).random()
    legacy = np.random.RandomState(3)  # is advanced
    first, second = check_random_state(legacy).random(), check_random_state(legacy).random()
    assert first != second
    assert check_random_state(np.random.RandomState(3)).random() == first
    spawn_generators(0, 3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_children_do_not_depend_on_how_many_there_are():
    few = [g.normal() for g in spawn_generators(5, 3)]
    many = [g.normal() for g in spawn_generators(5, 10)]
    assert few == many[:3]
    assert len(set(many)) == 10
    assert spawn_generators(5, 0) == []


def test_same_generator_spawns_different_children_and_keeps_its_own_stream():
    generator = np.random.default_rng(1)
    first, second = (spawn_generators(generator, 1)[0].normal() for _ in range(2))
    assert first != second
    assert generator.normal() == np.random.default_rng(1).normal()


@pytest.mark.parametrize(
    ("bad", "error"),
    [(True, TypeError), (1.0, TypeError), ("0", TypeError), ([1, 2], TypeError), (-1, ValueError)],
)
def test_other_states_are_refused_by_name(bad, error):
    got = bad if error is ValueError else type(bad).__name__
    with pytest.raises(error, match=f"random_state must be .* got {got}"):
        check_random_state(bad)


def test_bar_counts_steps(capsys):
    pytest.importorskip("tqdm")
    with progress_bar(4, show=True, description="steps") as advance:
        advance(1)
        advance(3)
    shown = capsys.readouterr().err
    assert "steps: 100%" in shown and "4/4" in shown


def test_without_tqdm_there_is_no_bar_and_a_remedy(monkeypatch, capsys):
    _forbid_tqdm(monkeypatch)
    with progress_bar(4, show=False) as advance:  # imports nothing
        advance(4)
    assert capsys.readouterr().err == ""
    with pytest.warns(UserWarning, match=r"pip install 'convexscore\[progress\]'"):
        with progress_bar(3, show=True) as advance:
            advance(3)


def _forbid_tqdm(monkeypatch):
    real_import = builtins.__import__

    def without_tqdm(name, *args, **kwargs):
        if name.startswith("tqdm"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.startswith("tqdm")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without_tqdm)
