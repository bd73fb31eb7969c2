"""python bench/sklearn_mlp.py [--iterations 10] [--rounds 3] [--dtypes float32,float64] [--hidden 100] [--batch 200] [--compute float32]

tinytensor.sklearn.MLPClassifier against scikit-learn's on MNIST: the same parameters, start and batches. Each library runs in a
process of its own, and whole fits alternate between the two, another one first in each round. Both take the same steps, so that
the time to the same score is the time of a fit; with --compute float32 ours rounds them to float32 whatever X is. Prints the seconds (median, minimum and all rounds), loss and test accuracy.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import machine
import numpy as np

LIBRARIES = ("tinytensor", "scikit-learn")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=10, help="epochs of a fit (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="fits of each library (default: 3)")
    parser.add_argument("--dtypes", default="float32,float64", help="dtypes of X, one table each")
    parser.add_argument("--hidden", type=int, default=100, help="units of the hidden layer (default: 100)")
    parser.add_argument("--batch", type=int, default=200, help="samples of a batch (default: 200)")
    parser.add_argument("--samples", type=int, default=60_000, help="training images (default: all)")
    parser.add_argument(
        "--compute", choices=("float32",), help="the dtype parameter of ours (default: as X is, like theirs)"
    )
    parser.add_argument("--worker", choices=LIBRARIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _serve(options)
        return 0
    print(f"machine: {machine.describe()}, load {machine.load():.2f} before")
    for dtype in options.dtypes.split(","):
        workers = {name: _start(name) for name in LIBRARIES}
        try:
            _compare(workers, dtype, options)
        finally:
            for process in workers.values():
                assert process.stdin is not None
                process.stdin.close()
                process.wait()
    print(f"load {machine.load():.2f} after")
    return 0


def _start(name: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--worker", name]
    # not a clone's folder, whose package may not be built
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
    )


def _ask(process: subprocess.Popen[str], **command: Any) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(command) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"bench: a worker ended with status {process.wait()} at {command}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _compare(workers: dict[str, subprocess.Popen[str]], dtype: str, options: argparse.Namespace) -> None:
    for name, process in workers.items():
        print(f"{name}: {_ask(process, do='prepare', dtype=dtype)['about']}")
    computes = f" (ours computes in {options.compute})" if options.compute else ""
    print(
        f"\nX {dtype}{computes}, 784-{options.hidden}-10, adam, batches of {options.batch}, {options.samples} samples"
    )
    fits: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for i in range(options.rounds):
        for name in LIBRARIES[i % 2 :] + LIBRARIES[: i % 2]:
            fits[name].append(_ask(workers[name], do="fit"))
    for name, found in fits.items():
        seconds = [fit["seconds"] for fit in found]
        rounds = " ".join(f"{s:.2f}" for s in seconds)
        print(
            f"{name:12}  {options.iterations} iterations: median {median(seconds):.2f} s, minimum {min(seconds):.2f} s ({rounds}); "
            f"loss {found[-1]['loss']:.6f}, test accuracy {100 * found[-1]['score']:.2f} %"
        )
    ratios = sorted(b["seconds"] / a["seconds"] for a, b in zip(*(fits[name] for name in LIBRARIES)))
    print(
        f"scikit-learn / tinytensor: median {median(ratios):.2f}, of the rounds {ratios[0]:.2f} to {ratios[-1]:.2f}\n"
    )


def _serve(options: argparse.Namespace) -> None:
    """The child: a fit for each line."""
    from sklearn.exceptions import ConvergenceWarning

    from tinytensor.data import mnist

    warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter ends each fit
    data = mnist()
    if options.worker == "tinytensor":
        import tinytensor as tt
        from tinytensor.sklearn import MLPClassifier

        about = f"{tt.__version__}, {tt.get_num_threads()} threads, {tt._kernels.isa()}"
    else:
        import sklearn
        from sklearn.neural_network import MLPClassifier
        from threadpoolctl import threadpool_info

        pools = [f"{p['internal_api']} {p['version']}: {p['num_threads']} threads" for p in threadpool_info()]
        about = f"{sklearn.__version__}, NumPy {np.__version__}, {'; '.join(pools)}"
    own = {"dtype": options.compute} if options.worker == "tinytensor" and options.compute else {}
    X = T = np.empty(0)
    n, y, t = options.samples, data.train_labels[: options.samples], data.test_labels

    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        if command["do"] == "prepare":
            X = (data.train_images[:n].reshape(n, -1) / 255).astype(command["dtype"])
            T = (data.test_images.reshape(len(t), -1) / 255).astype(command["dtype"])
            answer["about"] = about
        else:
            begin = time.perf_counter()
            model = MLPClassifier(
                (options.hidden,), max_iter=options.iterations, batch_size=options.batch, random_state=0, **own
            ).fit(X, y)
            answer["seconds"] = time.perf_counter() - begin
            answer["score"], answer["loss"] = float(model.score(T, t)), float(model.loss_)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.exit(main())
