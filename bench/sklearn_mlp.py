"""python bench/sklearn_mlp.py [--iterations 10] [--rounds 3] [--dtypes float32,float64] [--hidden 100] [--batch 200]

tinytensor.sklearn.MLPClassifier against scikit-learn's on MNIST: the same parameters, start and batches. Each library runs in a
process of its own, and whole fits alternate between the two, another one first in each round. Prints the test score after each
iteration, the seconds that fits took (median, minimum and all rounds), and the seconds to scikit-learn's last score.
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
    print(f"\nX {dtype}, 784-{options.hidden}-10, adam, batches of {options.batch}, {options.samples} samples")
    scores = {name: _ask(process, do="scores")["scores"] for name, process in workers.items()}
    goal = scores["scikit-learn"][-1]
    for name, of in scores.items():
        print(f"{name:12}  test accuracy % after each iteration: {' '.join(f'{100 * s:.2f}' for s in of)}")
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for i in range(options.rounds):
        for name in LIBRARIES[i % 2 :] + LIBRARIES[: i % 2]:
            seconds[name].append(_ask(workers[name], do="fit")["seconds"])
    reach = {}
    for name, blocks in seconds.items():
        needed = next((i + 1 for i, s in enumerate(scores[name]) if s >= goal), None)
        reach[name] = needed and median(blocks) / len(scores[name]) * needed
        rounds = " ".join(f"{s:.2f}" for s in blocks)
        until = f"not within {options.iterations}" if needed is None else f"{reach[name]:.2f} s, {needed} iterations"
        print(
            f"{name:12}  fit: median {median(blocks):.2f} s, minimum {min(blocks):.2f} s ({rounds}); to {100 * goal:.2f} %: {until}"
        )
    ours, theirs = (seconds[name] for name in LIBRARIES)
    pairs = sorted(b / a for a, b in zip(ours, theirs))
    print(f"scikit-learn / tinytensor: fit {median(theirs) / median(ours):.2f} (rounds {pairs[0]:.2f} to {pairs[-1]:.2f})")
    if reach["tinytensor"]:
        print(f"scikit-learn / tinytensor: to the same score {reach['scikit-learn'] / reach['tinytensor']:.2f}\n")
    else:
        print("scikit-learn / tinytensor: tinytensor did not reach the score\n")


def _serve(options: argparse.Namespace) -> None:
    """The child: a fit, or the scores of one, for each line."""
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
    X = T = np.empty(0)
    n, y, t = options.samples, data.train_labels[: options.samples], data.test_labels

    def estimator(random_state: Any) -> Any:
        return MLPClassifier(
            (options.hidden,), max_iter=options.iterations, batch_size=options.batch, random_state=random_state
        )

    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        if command["do"] == "prepare":
            X = (data.train_images[:n].reshape(n, -1) / 255).astype(command["dtype"])
            T = (data.test_images.reshape(len(t), -1) / 255).astype(command["dtype"])
            answer["about"] = about
        elif command["do"] == "scores":
            # one stream of random numbers for all calls, as in a fit
            model = estimator(np.random.RandomState(0))
            answer["scores"] = [
                float(model.partial_fit(X, y, classes=np.arange(10)).score(T, t)) for _ in range(options.iterations)
            ]
        else:
            begin = time.perf_counter()
            estimator(0).fit(X, y)
            answer["seconds"] = time.perf_counter() - begin
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.exit(main())
