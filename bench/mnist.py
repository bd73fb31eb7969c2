"""MNIST from the shell: `tinytensor train --quiet --no-plots`, and the same recipe in PyTorch, in turn, a run a seed.
PyTorch's best practice: all images in memory as floats, batches by a permutation's indices, a fused optimizer. With
arguments this file is that program: python bench/mnist.py SEED RECIPE FOLDER."""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import plots
import report
from task import Case, Run
from worker import Row

BLAS = False
VARIANTS: dict[str, dict[str, str]] = {"tinytensor": {}}
WALL, TRAINING, ACCURACY = "from the shell to the accuracy, s", "training, s", "test accuracy, %"
# what the program in PyTorch knows; another default recipe needs another program
KNOWN = {"activation": "relu", "dropout": 0.0, "optimizer": "nesterov", "schedule": "onecycle", "dtype": "float32"}
RECIPE = """
import dataclasses, json
from tinytensor.train import TrainConfig
default = TrainConfig()
print(json.dumps({**dataclasses.asdict(default), "lr": default.peak_lr, "weight_decay": default.decay}))
"""


def _ratio(case: dict[str, Any], run: Run) -> str:
    return "" if case["name"] == ACCURACY else report.against("PyTorch")(case, run)


COLUMNS = {"PyTorch / tinytensor": _ratio}


def measure(rows: list[Row], options: argparse.Namespace) -> tuple[list[dict[str, Any]], str]:
    """The cases, measured, and what their figures are."""
    recipe = json.loads(_first_line([sys.executable, "-c", RECIPE])[0])
    if options.quick:
        recipe["epochs"] = 1
    strange = {name: recipe[name] for name in KNOWN if recipe[name] != KNOWN[name]}
    programs = {"tinytensor": tinytensor}
    if any(row.library == "torch" for row in rows):
        if strange:
            raise SystemExit(
                f"bench: mnist: the program in PyTorch does not know {strange}; bring bench/mnist.py up to date"
            )
        programs["PyTorch"] = torch
    blocks: dict[str, dict[str, list[float]]] = {
        name: {label: [] for label in programs} for name in (WALL, TRAINING, ACCURACY)
    }
    for seed in range(options.seeds):
        for label, program in programs.items():
            for name, figure in program(seed, recipe).items():
                blocks[name][label].append(figure)
    network = "-".join(map(str, (784, *recipe["hidden"], 10)))
    panel = f"{network}, {recipe['optimizer']}, batch {recipe['batch_size']}, {recipe['epochs']} epochs"
    cases = [
        report.measured(Case(name, panel, unit="%" if name == ACCURACY else ""), found)
        for name, found in blocks.items()
    ]
    return cases, f"median (minimum) of {options.seeds} seeds"


def draw(run: Run, figure: Any) -> None:
    plots.bars(run, figure, "medians of the seeds")


def _first_line(command: list[str]) -> tuple[str, float]:
    """The first line that a program prints, and the seconds until it was there; SystemExit if the program fails."""
    begin = time.perf_counter()
    here = Path(__file__).parent  # not a clone's folder, whose package may not be built
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=here) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - begin
        process.stdout.read()
    if process.returncode or not line:
        raise SystemExit(f"bench: {' '.join(command)} ended with status {process.returncode}")
    return line, seconds


def tinytensor(seed: int, recipe: dict[str, Any]) -> dict[str, float]:
    """One run of the command: seconds in all, of training, and accuracy in %."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tinytensor", "train", "--quiet", "--no-plots", "--out", folder]
        line, wall = _first_line([*command, "--seed", str(seed), "--epochs", str(recipe["epochs"])])
        with open(Path(folder) / "history.csv", newline="") as file:
            training = sum(float(epoch["seconds"]) for epoch in csv.DictReader(file))
    found = re.search(r"accuracy (\d+\.\d+) %", line)
    assert found, line
    return {WALL: wall, TRAINING: training, ACCURACY: float(found[1])}


def torch(seed: int, recipe: dict[str, Any]) -> dict[str, float]:
    """One run of this file's program, the same figures."""
    package = find_spec("tinytensor")
    assert package is not None and package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0]) / "data" / "mnist_files"
    line, wall = _first_line(
        [sys.executable, str(Path(__file__).resolve()), str(seed), json.dumps(recipe), str(folder)]
    )
    return {WALL: wall, **json.loads(line)}


def _torch_program(seed: int, recipe: dict[str, Any], folder: Path) -> None:
    """Train and evaluate in PyTorch; print one line of JSON."""
    import machine
    import torch
    from torch import nn

    def read(name: str, header: int) -> torch.Tensor:
        return torch.from_numpy(
            np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8, offset=header).copy()
        )

    images, test_images = (read(f"{part}-images-idx3-ubyte.gz", 16).view(-1, 784).float() for part in ("train", "t10k"))
    labels, test_labels = (read(f"{part}-labels-idx1-ubyte.gz", 8).long() for part in ("train", "t10k"))
    mean, deviation = images.mean(), images.std()
    for pixels in (images, test_images):
        pixels.sub_(mean).div_(deviation)
    torch.set_num_threads(machine.cores())
    torch.manual_seed(seed)
    widths = [784, *recipe["hidden"], 10]
    layers: list[nn.Module] = []
    for n, m in pairwise(widths):
        layers += [nn.Linear(n, m), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    count, size = len(images), recipe["batch_size"]
    decay = recipe["weight_decay"]
    opt = torch.optim.SGD(
        model.parameters(), lr=recipe["lr"], momentum=0.9, nesterov=True, weight_decay=decay, fused=True
    )
    steps = recipe["epochs"] * -(-count // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=recipe["lr"], total_steps=steps)
    begin = time.perf_counter()
    for _ in range(recipe["epochs"]):
        for rows in torch.randperm(count).split(size):
            loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            schedule.step()
    seconds = time.perf_counter() - begin
    with torch.inference_mode():
        right = (model(test_images).argmax(dim=1) == test_labels).float().mean().item()
    print(json.dumps({TRAINING: seconds, ACCURACY: 100 * right}), flush=True)


if __name__ == "__main__":
    _torch_program(int(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3]))
