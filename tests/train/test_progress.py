"""What is shown: a bar in a terminal, plain lines in a pipe, nothing where that is asked for."""

import os
import re
import struct
import subprocess
import sys
import types
from pathlib import Path

import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.train import fit
from tinytensor.train.progress import Bar, progress_of

ELSEWHERE = Path(tt.__file__).parent.parent  # not a clone, where the kernels may not be built
PROGRAM = """
import tinytensor as tt
from tinytensor import nn
from tinytensor.train import fit
tt.manual_seed(0)
x = tt.randn(4000, 4)
y = (x[:, 0] > 0).to(tt.int64)
fit(nn.Linear(4, 2), (x, y), "cross_entropy", "adam", 3, batch_size=4, validation=0.2)
print("done")
"""
LINE = re.compile(
    r"epoch \d/3  loss \d\.\d{4}  accuracy \d+\.\d\d %  val loss \d\.\d{4}  val accuracy \d+\.\d\d %  lr 0\.001  "
    r"\d+\.\d\d s  [\d,]+ samples/s"
)


def train(**more):
    x = tt.randn(40, 4)
    fit(nn.Linear(4, 2), (x, (x[:, 0] > 0).to(tt.int64)), "cross_entropy", "adam", 3, validation=0.2, **more)


def test_in_a_pipe_there_is_a_plain_line_an_epoch():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ELSEWHERE, capture_output=True, text=True, check=True)
    assert done.stdout == "done\n"
    lines = done.stderr.split("\n")
    assert len(lines) == 4 and lines[3] == ""
    assert all(LINE.fullmatch(line) for line in lines[:3])
    assert [line[:9] for line in lines[:3]] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


def test_in_a_terminal_there_is_a_bar_and_then_the_lines():
    pytest.importorskip("tqdm")
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    parent, child = pty.openpty()
    fcntl.ioctl(parent, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 110, 0, 0))
    try:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=ELSEWHERE, stdout=subprocess.PIPE, stderr=child)
        os.close(child)
        shown = b""
        while True:
            try:
                part = os.read(parent, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not part:
                break
            shown += part
        out, _ = process.communicate(timeout=60)
    finally:
        os.close(parent)
    assert process.returncode == 0
    assert out == b"done\n"
    text = shown.decode()
    assert re.search(r"epoch 1/3: +\d+%\|.*\| .*samples/s, loss \d\.\d{4}\]", text)
    # What a terminal shows in the end: each line as it was last written, the bar gone.
    final = [line.split("\r")[-1].replace("\x1b[A", "").rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    assert [line for line in final if line] == [line for line in final if LINE.fullmatch(line)]
    assert len([line for line in final if line]) == 3


def test_progress_false_shows_nothing(capsys):
    train(progress=False)
    assert capsys.readouterr() == ("", "")


def test_the_reason_to_stop_is_told(capsys):
    train(early_stopping=1, monitor="val_accuracy")
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("stopped: val_accuracy has not improved for 1 epochs (best: epoch ")


def test_without_tqdm_there_are_lines_or_an_error_that_says_so(capsys, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr("tinytensor.train.progress.find_spec", lambda name: None if name == "tqdm" else found(name))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    train()
    assert len(capsys.readouterr().err.splitlines()) == 3
    with pytest.raises(ImportError, match=r"progress=True needs tqdm: pip install 'tinytensor\[train\]'"):
        train(progress=True)


def test_in_a_notebook_it_is_the_notebooks_bar(monkeypatch):
    pytest.importorskip("tqdm")
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    auto = types.SimpleNamespace(tqdm="the notebook's")
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    monkeypatch.setattr("tinytensor.train.progress.find_spec", lambda name: name)
    assert progress_of()._make == "the notebook's"
    monkeypatch.setattr("tinytensor.train.progress.find_spec", lambda name: name if name == "tqdm" else None)
    assert type(progress_of()).__name__ == "Lines"  # without ipywidgets


class Recorder:
    """A bar that notes where it is after each update."""

    def __init__(self, **more):
        self.places = []
        made.append(self)

    def reset(self, total):
        self.n, self.total = 0, total

    def update(self, n):
        self.n += n
        self.places.append(self.n)

    def write(self, line, file):
        pass

    def set_postfix_str(self, text, refresh):
        pass

    set_description_str = set_postfix_str

    def close(self):
        pass


made = []


def test_a_bar_resumed_inside_an_epoch_begins_where_that_is(tmp_path):
    pytest.importorskip("safetensors")
    made.clear()

    class Stop(tt.train.Callback):
        at = 8

        def on_step_end(self, run):
            if run.step == self.at:
                raise RuntimeError

    def go(**more):
        tt.manual_seed(0)
        x = tt.randn(40, 4)
        y = (x[:, 0] > 0).to(tt.int64)
        more.update(batch_size=8, callbacks=[Bar(Recorder), Stop()], checkpoint=tmp_path / "state", save_every=7)
        fit(nn.Linear(4, 2), (x, y), "cross_entropy", "adam", 3, progress=False, **more)

    with pytest.raises(RuntimeError):
        go()
    Stop.at = None
    go(resume=True)
    assert [bar.places for bar in made] == [[8, 16, 24, 32, 40, 8, 16, 24], [24, 32, 40, 8, 16, 24, 32, 40]]
