"""Peak extra memory of one fit, in a process of its own.

The data come from a file, so that making them leaves no trace.  Two meters: ``rss`` is the largest
resident set beyond the one before the fit, which also sees memory that compiled code takes for
itself; ``tracemalloc``, in a fit after that, counts every array numpy allocates.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import PYTHON, child_environment

METERS = ("tracemalloc", "rss")


def peak_arrays(x: NDArray[np.float64], **options: Any) -> dict[str, float]:
    """Peak memory beyond ``x`` of ``fit_convex_score(x, **options)``, in arrays of n doubles."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        np.save(path, x)
        command = [PYTHON, "-m", "benchmarks.memory", str(path), json.dumps(options)]
        done = subprocess.run(
            command, env=child_environment(), capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise RuntimeError(f"the memory process failed: {done.stderr.strip()[-500:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return {meter: found[meter] / x.nbytes for meter in METERS}


def _start_resident() -> int:
    """Resident bytes now; forgets the peak that imports left, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except (OSError, KeyError):
        return _max_resident()


def _peak_resident() -> int:
    try:
        return _status("VmHWM")
    except (OSError, KeyError):
        return _max_resident()


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(dict(line.split(":", 1) for line in lines)[key].split()[0])


def _max_resident() -> int:
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def main() -> None:
    """Child process: load, warm up on a few values, fit, print the extra bytes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("options", type=json.loads)
    arguments = parser.parse_args()

    from convexscore import fit_convex_score

    fit_convex_score(np.linspace(-1.0, 1.0, 100) ** 3, **arguments.options)
    x = np.load(arguments.path)
    before = _start_resident()
    fit_convex_score(x, **arguments.options)
    resident = _peak_resident() - before
    tracemalloc.start()
    fit_convex_score(x, **arguments.options)
    print(json.dumps({"tracemalloc": tracemalloc.get_traced_memory()[1], "rss": resident}))


if __name__ == "__main__":
    main()
