"""L-BFGS and schedules against what PyTorch gave (tests/optim/pytorch_runs.json)."""

import numpy as np
import pytest
import pytorch_runs as runs

import tinytensor as tt

RECORDED = runs.recorded()


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.filterwarnings("ignore")
def test_the_run_is_pytorchs(name):
    np.testing.assert_allclose(runs.run(tt, name), RECORDED[name], **runs.tolerance(name))


def test_each_run_is_recorded():
    left_out = [name for name in runs.NAMES if name not in RECORDED]
    assert all(name.startswith("lbfgs: drawn") for name in left_out)  # those that the last bit turns
    assert len(left_out) < runs.DRAWN["lbfgs"] / 3
    assert set(RECORDED) <= set(runs.NAMES)
