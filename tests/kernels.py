"""The numeric tests with the rounding of other processors: ``python -m tests.kernels``.

How sums are ordered and whether products are fused depends on the BLAS kernel, on numpy's own loops
and on the number of threads, and all three are chosen by the processor.  They can be chosen by hand:
every kernel is run with both numbers of threads and with both kinds of loops.  The tests of a
configuration run in as many workers as there are cores for their threads.  Arguments go to pytest in
place of the numeric tests (``python -m tests.kernels tests/test_arrangements.py -k sampling``).
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_info

from tests.conftest import pytest_xdist_auto_num_workers

# What a kernel needs, in numpy's names.  The first and the last are those of the oldest and of the
# newest x86-64 processors; OpenBLAS has the same kernels for most of Zen as for Haswell.
KERNELS = {
    "Prescott": ("SSE3",),
    "Haswell": ("AVX2", "FMA3"),
    "Zen": ("AVX2", "FMA3"),
    "SkylakeX": ("AVX512_SKX",),
}
# Kernel, threads, whether numpy may use vector instructions: all pairs of settings occur.
CONFIGURATIONS = [
    ("Prescott", 1, True),
    ("Prescott", 2, False),
    ("Haswell", 1, False),
    ("Haswell", 2, True),
    ("Zen", 1, True),
    ("Zen", 2, False),
    ("SkylakeX", 1, False),
    ("SkylakeX", 2, True),
]
# Texts, pictures, files, messages and other people's packages: all tests but these are numeric.
NOT_NUMERIC = """
    animation benchmark_paper benchmark_peers benchmark_problems benchmark_samplers benchmarks cli
    cli_bench cli_diffusion diffusion_backends docs notebooks packaging persistence
    plane_displays plotting random report threads typing validation
""".split()


def numeric_tests() -> list[str]:
    """Test files, and the package for its doctests."""
    root = Path(__file__).parent
    left_out = {f"test_{name}" for name in NOT_NUMERIC}
    missing = left_out - {path.stem for path in root.glob("test_*.py")}
    if missing:
        raise SystemExit(f"NOT_NUMERIC in {__file__} names {sorted(missing)}, which do not exist.")
    files = [str(path) for path in sorted(root.glob("test_*.py")) if path.stem not in left_out]
    return [*files, str(root.parent / "convexscore")]


def main(arguments: list[str]) -> int:
    """Run all configurations; 1 if a test failed in any."""
    core = "numpy._core" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core"
    numpy_core = importlib.import_module(f"{core}._multiarray_umath")
    has = numpy_core.__cpu_features__
    # only what this processor has can be switched off without a warning
    vectors = " ".join(name for name in numpy_core.__cpu_dispatch__ if has.get(name))
    if not any(library["internal_api"] == "openblas" for library in threadpool_info()):
        print("SKIP all: numpy's BLAS is not OpenBLAS, its kernels cannot be chosen", flush=True)
        return 0
    tests = arguments or numeric_tests()
    cores = pytest_xdist_auto_num_workers()
    failed = False
    for kernel, threads, vectorised in CONFIGURATIONS:
        loops = "vector" if vectorised else "plain"
        name = f"{kernel:8} {threads} thread{'s' if threads > 1 else ' '} {loops:6} loops"
        lacking = [feature for feature in KERNELS[kernel] if not has.get(feature)]
        if lacking:
            print(f"SKIP {name}: this processor has no {', '.join(lacking)}", flush=True)
            continue
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--dist", "worksteal"]
        settings = {
            "OPENBLAS_CORETYPE": kernel,
            "OPENBLAS_NUM_THREADS": str(threads),
            "NPY_DISABLE_CPU_FEATURES": "" if vectorised else vectors,
        }
        started = perf_counter()
        run = subprocess.run(
            [*command, "-n", str(max(cores // threads, 1)), *tests],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = run.stdout.strip().splitlines() or run.stderr.strip().splitlines()
        outcome = "PASS" if run.returncode == 0 else "FAIL"
        print(f"{outcome} {name}: {lines[-1]} ({perf_counter() - started:.0f} s)", flush=True)
        if run.returncode:
            failed = True
            print(run.stdout, run.stderr, flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
