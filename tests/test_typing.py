"""What a type checker sees of the public surface, in the script of a user."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import convexscore

ROOT = Path(convexscore.__file__).parents[1]

# expression: what mypy must say it is
REVEALED = {
    "fit": "convexscore.models.score.ConvexScore",
    "fit.certificate_": "convexscore.solvers.certificate.Certificate",
    "fit.certificate_.outcome": "convexscore.solvers.certificate.Outcome",
    "fit.network_": "convexscore.scores.network.TwoLayerNetwork",
    "fit.piecewise_": "convexscore.scores.piecewise.PiecewiseLinearScore",
    "fit.score_function(x)": "numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.float64]]",
    "fit_convex_diffusion(x).certificates_": "convexscore.models.levels.LevelTable",
    "regularization_path(x)": "convexscore.models.path.RegularizationPath",
    "load('fit.npz')": "convexscore.models.score.ConvexScore | "
    "convexscore.models.diffusion.ConvexDiffusion",
    "certify(fit.network_, x, beta=1.0)": "convexscore.solvers.certificate.Certificate",
    "scores.tweedie": "def (",
}
# line: the error that it must be
ERRORS = {
    "fit_convex_score(x, bta=1.0)": 'Unexpected keyword argument "bta"',
    "ConvexScore(bta=1.0)": 'Unexpected keyword argument "bta"',
    "ConvexDiffusion(bta=1.0)": 'Unexpected keyword argument "bta"',
    "fit_convex_score(x, beta=None)": 'Argument "beta" to "fit_convex_score" has incompatible type',
    "regularization_path(x, beta=1.0)": 'Unexpected keyword argument "beta"',
    "fit.sample(3, random_sate=0)": 'Unexpected keyword argument "random_sate"',
    "convexscore.fit_everything": 'Module has no attribute "fit_everything"',
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """What mypy says about a line of the script, by line."""
    folder = tmp_path_factory.mktemp("user")
    public = [name for name in convexscore.__all__ if name != "__version__"]
    lines = [
        "import convexscore",
        f"from convexscore import {', '.join(public)}",
        "x = [0.0, 1.0, 3.0]",
        "fit = fit_convex_score(x, beta=1.0)",
        *(f"reveal_type({name})" for name in [*REVEALED, *public]),
        *ERRORS,
    ]
    (folder / "script.py").write_text("\n".join(lines), encoding="utf-8")
    # silent: the package is judged as an installed one, not line by line once more
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=",
         f"--cache-dir={folder / 'cache'}", "script.py"],
        cwd=folder, env={"MYPYPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = {line: [] for line in lines}
    for number, text in re.findall(r"^script\.py:(\d+): (.*)$", done.stdout, re.M):
        said[lines[int(number) - 1]].append(text)
    return said


@pytest.mark.slow
def test_public_names_have_types(judged):
    for expression, expected in REVEALED.items():
        [text] = judged[f"reveal_type({expression})"]
        assert expected in text, expression
    for name in set(convexscore.__all__) - {"__version__"}:
        [text] = judged[f"reveal_type({name})"]
        assert 'Revealed type is "Any"' not in text, name
    wrong = [text for texts in judged.values() for text in texts if text.startswith("error")]
    assert len(wrong) == len(ERRORS), wrong


@pytest.mark.slow
def test_wrong_options_are_errors_before_the_script_runs(judged):
    for line, expected in ERRORS.items():
        assert any(text.startswith(f"error: {expected}") for text in judged[line]), line
