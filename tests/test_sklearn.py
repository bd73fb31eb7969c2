"""tinytensor.sklearn against scikit-learn: its own checks, and its own estimators number by number."""

import copy
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import tinytensor as tt

pytest.importorskip("sklearn")
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from tinytensor import _kernels
from tinytensor.sklearn import MLPClassifier, MLPRegressor, estimators, training

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:The number of unique classes is greater than 50%"),
]
IMAGES, DIGITS = load_digits(return_X_y=True)
ELSEWHERE = Path(tt.__file__).parent.parent  # not a clone, where the kernels may not be built
X, y = IMAGES[:400] / 16, DIGITS[:400]
SIZES = y / 10.0
PAIR = np.stack([SIZES, 1 - 3 * SIZES], 1)
WEIGHTS = np.random.RandomState(3).randint(0, 4, len(y)).astype(float)
LABELS = np.stack([y % 2, y > 4, y == 3], 1).astype(int)
# before 1.7: no weights, no loss="poisson"; 1.6.0: no early stopping with texts for classes
THEIRS_IS_OLD = tuple(int(n) for n in sklearn.__version__.split(".")[:2]) < (1, 7)


@pytest.mark.filterwarnings("ignore")  # the checks provoke warnings on purpose
@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_their_checks(estimator, check):
    check(estimator)


def parameters(model):
    return [*model.coefs_, *model.intercepts_]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"solver": "sgd"},
        {"solver": "sgd", "momentum": 0, "batch_size": 64},
        {"solver": "sgd", "nesterovs_momentum": False, "learning_rate": "invscaling", "learning_rate_init": 0.1},
        {"solver": "sgd", "learning_rate": "adaptive", "max_iter": 12, "tol": 0.05, "n_iter_no_change": 2},
        {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 12},
        {"activation": "logistic", "alpha": 1.0, "shuffle": False},
        {"activation": "tanh", "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3},
        {"activation": "identity", "hidden_layer_sizes": (20, 10)},
    ],
    ids=str,
)
@pytest.mark.parametrize("target", ["ten", "two", "several", "weighted"])
def test_the_classifier_takes_their_steps(settings, target):
    settings = {"max_iter": 4, "random_state": 0, **settings}
    goal = {"ten": y, "two": np.where(y > 4, "large", "small"), "several": LABELS, "weighted": y}[target]
    more = {"sample_weight": WEIGHTS} if target == "weighted" else {}
    if THEIRS_IS_OLD and (more or (target == "two" and "early_stopping" in settings)):
        pytest.skip("scikit-learn before 1.7 cannot")
    ours, theirs = (kind(**settings).fit(X, goal, **more) for kind in (MLPClassifier, TheirClassifier))
    for a, b in zip(parameters(ours), parameters(theirs), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-11)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-7, atol=1e-9)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("best_loss_", "loss_", "best_validation_score_", "validation_scores_"):
        mine, other = getattr(ours, name), getattr(theirs, name)  # None with or without early stopping
        assert (mine is None) == (other is None), name
        assert other is None or mine == pytest.approx(other, rel=1e-11), name
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)


@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}, {"solver": "sgd"}], ids=str)
@pytest.mark.parametrize("target", ["one", "two", "weighted", "poisson"])
def test_the_regressor_takes_their_steps(settings, target):
    settings = {"max_iter": 4, "random_state": 0, **settings}
    goal = {"one": SIZES, "two": PAIR, "weighted": SIZES, "poisson": y}[target]
    more = {"sample_weight": WEIGHTS} if target == "weighted" else {}
    if target == "poisson":
        settings["loss"] = "poisson"
    if THEIRS_IS_OLD and target in ("weighted", "poisson"):
        pytest.skip("scikit-learn before 1.7 cannot")
    ours, theirs = (kind(**settings).fit(X, goal, **more) for kind in (MLPRegressor, TheirRegressor))
    for a, b in zip(parameters(ours), parameters(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9, atol=1e-11)
    assert ours.predict(X).shape == theirs.predict(X).shape
    assert ours.score(X, goal) == pytest.approx(theirs.score(X, goal), rel=1e-9)


def test_lbfgs_finds_what_theirs_finds():
    weights = {} if THEIRS_IS_OLD else {"sample_weight": WEIGHTS}
    # convex without a hidden layer: one minimum
    settings = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 1.0, "max_iter": 2000, "tol": 1e-8}
    ours, theirs = (kind(random_state=0, **settings).fit(X, y, **weights) for kind in (MLPClassifier, TheirClassifier))
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-5)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=5e-3)
    assert not hasattr(ours, "partial_fit") and hasattr(MLPClassifier(), "partial_fit")
    with pytest.warns(ConvergenceWarning, match="max_iter reached"):
        short = MLPRegressor(solver="lbfgs", max_iter=3, random_state=0).fit(X, SIZES)
    assert short.n_iter_ == 3
    with pytest.raises(ValueError, match="dropout makes the loss random"):
        MLPClassifier(solver="lbfgs", dropout=0.1).fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "sgd", "adamw", "nadam", "radam"])
def test_partial_fit_is_the_stream_of_fit(solver):
    whole = MLPClassifier(max_iter=4, random_state=0, solver=solver, dropout=0.1).fit(X, y)
    parts = MLPClassifier(random_state=0, solver=solver, dropout=0.1)
    for i in range(4):
        parts.partial_fit(X, y, classes=range(10))
        if i == 1:  # a pickle goes on where it was left
            parts = pickle.loads(pickle.dumps(parts))
        if i == 2:
            parts = copy.deepcopy(parts)
    assert parts.n_iter_ == 1 and parts.t_ == whole.t_ and parts.loss_curve_ == whole.loss_curve_
    for a, b in zip(parameters(whole), parameters(parts), strict=True):
        np.testing.assert_array_equal(a, b)


def test_partial_fit_and_its_classes():
    model = MLPClassifier(random_state=0)
    with pytest.raises(ValueError, match="classes must be passed"):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match="has classes not in"):
        model.partial_fit(X, y, classes=[0, 1])
    model = MLPClassifier(random_state=0).partial_fit(X[y < 5], y[y < 5], classes=np.arange(10))
    assert model.predict_proba(X).shape == (len(X), 10)
    model.partial_fit(X, y)
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(X, y, classes=[1, 2])
    with pytest.raises(ValueError, match="early_stopping"):
        MLPRegressor(early_stopping=True).partial_fit(X, SIZES)


def test_weights_that_a_user_puts_in_are_used():
    model = MLPClassifier(random_state=0, max_iter=2).fit(X, y)
    model.coefs_ = [np.zeros_like(c) for c in model.coefs_]
    model.intercepts_ = [np.zeros(100), np.arange(10.0)]
    assert set(model.predict(X)) == {9}
    model.partial_fit(X, y)
    assert model.coefs_[1].any()


def test_warm_start_goes_on_and_says_what_does_not_fit():
    settings = {"max_iter": 2, "random_state": 0, "warm_start": True}
    ours, theirs = (kind(**settings).fit(X, y).fit(X, y) for kind in (MLPClassifier, TheirClassifier))
    assert len(ours.loss_curve_) == 4
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-11)
    with pytest.raises(ValueError, match="same classes as in the previous call"):
        ours.fit(X[y < 9], y[y < 9])
    with pytest.raises(ValueError, match="set warm_start=False to begin anew"):
        ours.set_params(hidden_layer_sizes=(50,)).fit(X, y)
    ours.set_params(hidden_layer_sizes=(100,), early_stopping=True, solver="sgd").fit(X, y)
    assert len(ours.validation_scores_) == len(ours.loss_curve_) == 2
    ours.set_params(warm_start=False, hidden_layer_sizes=7).fit(X[y < 2], y[y < 2])
    assert ours.coefs_[0].shape == (64, 7) and list(ours.classes_) == [0, 1]


def test_dtypes_sparse_input_and_bytes():
    settings = {"max_iter": 3, "random_state": 0}
    single = MLPClassifier(**settings).fit(X.astype(np.float32), y)
    assert {p.dtype for p in parameters(single)} == {np.dtype(np.float32)}
    assert single.predict_proba(X).dtype == np.float32
    asked = MLPClassifier(**settings, dtype="float32").fit(X, y)
    for a, b in zip(parameters(single), parameters(asked), strict=True):
        np.testing.assert_array_equal(a, b)  # sixteenths are exact in both
    double = MLPClassifier(**settings, early_stopping=True).fit(IMAGES, DIGITS)
    for other in (
        IMAGES.astype(np.uint8),
        sparse.csr_matrix(IMAGES),
        sparse.csc_array(IMAGES),
        np.asfortranarray(IMAGES),
    ):
        same = MLPClassifier(**settings, early_stopping=True).fit(other, DIGITS)
        for a, b in zip(parameters(double), parameters(same), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(same.predict_proba(other), double.predict_proba(IMAGES))
    several = MLPClassifier(**settings).fit(X, sparse.csr_matrix(LABELS))
    np.testing.assert_array_equal(several.predict(X), MLPClassifier(**settings).fit(X, LABELS).predict(X))


FEW = IMAGES[:300] * (np.random.RandomState(1).rand(300, 64) < 0.4) / 16  # a fifth is not zero


@pytest.mark.parametrize("sizes", [(), (33,), (20, 10)], ids=str)
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity", "gelu", "elu", "softplus"])
def test_skipping_zeros_changes_no_bit(monkeypatch, sizes, activation):
    from tinytensor.sklearn import training

    made = []
    to_sparse = _kernels.to_sparse
    monkeypatch.setattr(_kernels, "to_sparse", lambda *given: made.append(1) or to_sparse(*given))
    settings = {"max_iter": 2, "random_state": 0, "dropout": 0.1, "dtype": "float32"}

    def fitted(A):
        return [p.tobytes() for p in parameters(MLPClassifier(sizes, activation, **settings).fit(A, DIGITS[:300]))]

    skipping, compressed = fitted(FEW), fitted(sparse.csr_matrix(FEW))
    assert made == [1]
    monkeypatch.setattr(training, "_FEW", 0.0)
    assert fitted(FEW) == fitted(sparse.csr_matrix(FEW)) == skipping == compressed
    assert made == [1]


def test_the_same_bits_on_any_number_of_threads():
    found = []
    for threads in (1, 2, 3):
        with tt.threads(threads):
            model = MLPClassifier((300,), max_iter=2, random_state=np.random.RandomState(5), dropout=0.2)
            found.append([p.tobytes() for p in parameters(model.fit(IMAGES, DIGITS))])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_it_flushes_subnormals_while_it_trains(monkeypatch, solver):
    own, modes = training.data_loss, []

    def loss(*args):
        modes.append(_kernels.get_flush_denormal())
        return own(*args)

    monkeypatch.setattr(training if solver == "adam" else estimators, "data_loss", loss)
    MLPClassifier((3,), solver=solver, max_iter=2).fit(X, y)
    assert set(modes) == {tt.set_flush_denormal(False)} and not _kernels.get_flush_denormal()


def test_it_trains_without_gradients_on_and_leaves_the_default_generator_alone():
    before = tt.random.default_generator.get_state()
    with tt.no_grad():
        model = MLPClassifier(max_iter=1, random_state=0, dropout=0.5).fit(X, y)
    assert np.ptp(model.coefs_[0] - MLPClassifier(max_iter=2, random_state=0, dropout=0.5).fit(X, y).coefs_[0]) > 0
    assert tt.random.default_generator.get_state() == before


@pytest.mark.parametrize("activation", ["gelu", "silu", "elu", "selu", "leaky_relu", "softplus"])
def test_more_activations_learn(activation):
    model = MLPClassifier(activation=activation, max_iter=30, random_state=0, learning_rate_init=0.01).fit(X, y)
    assert model.score(X, y) > 0.97
    difference = np.abs(model.predict_proba(X) - MLPClassifier(max_iter=30, random_state=0).fit(X, y).predict_proba(X))
    assert difference.max() > 1e-3


def test_adamw_shrinks_weights_by_rate_times_alpha():
    # no gradient comes through a target that is met: what is left is the decay
    settings = {"hidden_layer_sizes": (), "activation": "identity", "random_state": 0, "max_iter": 1, "shuffle": False}
    model = MLPRegressor(solver="adamw", alpha=0.5, learning_rate_init=0.1, **settings)
    start = MLPRegressor(learning_rate_init=1e-300, alpha=0, **settings).fit(np.zeros((5, 3)), np.zeros(5))
    target = np.full(5, start.intercepts_[0][0])
    model.fit(np.zeros((5, 3)), target)
    np.testing.assert_allclose(model.coefs_[0], 0.95 * start.coefs_[0], rtol=1e-14)
    np.testing.assert_array_equal(model.intercepts_[0], start.intercepts_[0])


def test_pipeline_grid_search_in_processes_and_threads():
    import joblib
    from joblib.externals.loky import get_reusable_executor

    pipe = make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=12, learning_rate_init=0.02, random_state=0))
    grid = {"mlpclassifier__alpha": [1e-4, 10.0], "mlpclassifier__activation": ["relu", "silu"]}
    alone = GridSearchCV(pipe, grid, cv=2).fit(X, y)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            processes = GridSearchCV(pipe, grid, cv=2, n_jobs=2).fit(X, y)
    finally:
        get_reusable_executor().shutdown(wait=True)
    with joblib.parallel_backend("threading"):
        threads = GridSearchCV(pipe, grid, cv=2, n_jobs=2).fit(X, y)
    for other in (processes, threads):
        np.testing.assert_array_equal(other.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    assert alone.best_score_ > 0.6 and alone.best_estimator_.predict(X[:3]).shape == (3,)
    assert cross_val_score(pipe, X, y, cv=3).min() > 0.6


def test_clone_and_pickle():
    model = MLPRegressor("poisson", (5,), dropout=0.25, dtype="float32", random_state=3, max_iter=2)
    twin = clone(model)
    assert twin.get_params() == model.get_params() and not hasattr(twin, "coefs_")
    again = pickle.loads(pickle.dumps(model.fit(X, y)))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.coefs_[0].dtype == np.float32 and (model.predict(X) > 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -1}, "alpha must be a number >= 0, got -1"),
        ({"solver": "newton"}, "solver must be one of 'adam', 'sgd'"),
        ({"activation": "swish"}, "activation must be one of"),
        ({"hidden_layer_sizes": (10, 0)}, "hidden_layer_sizes must be > 0"),
        ({"batch_size": 0}, "batch_size must be 'auto' or a whole number"),
        ({"dtype": "float16"}, "dtype must be None"),
        ({"dropout": 1.0}, "dropout must be a number >= 0 and < 1"),
        ({"learning_rate_init": 0.0}, "learning_rate_init must be a number > 0"),
        ({"max_iter": 2.5}, "max_iter must be a whole number >= 1"),
        ({"shuffle": "yes"}, "shuffle must be True or False"),
        ({"momentum": True}, "momentum must be"),
        ({"alpha": np.inf}, "alpha must be a number >= 0, got inf"),
        ({"tol": np.inf}, "tol must be a number >= 0, got inf"),
    ],
    ids=str,
)
def test_parameters_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**settings).fit(X, y)


def test_data_that_does_not_fit():
    with pytest.raises(ValueError, match=r"loss of (nan|inf) in iteration 1: scale the input"):
        MLPRegressor(max_iter=2, random_state=0).fit(X.astype(np.float32) * 1e30, SIZES)
    wrong = sparse.csr_matrix(FEW)
    wrong.indices[5] = 64
    with pytest.raises(ValueError, match="64 columns has entries in others"):
        MLPClassifier().fit(wrong, y[:300])
    with pytest.raises(ValueError, match="must not be negative"):
        MLPClassifier().fit(X, y, sample_weight=-WEIGHTS)
    with pytest.raises(ValueError, match="poisson"):
        MLPRegressor("poisson").fit(X, -SIZES)
    with pytest.raises(ValueError, match="MultiOutputClassifier"):
        MLPClassifier().fit(X, np.stack([y, y], 1))
    with pytest.raises(ValueError, match="validation set is too small"):
        MLPClassifier(early_stopping=True, validation_fraction=0.001).fit(X, y)
    with pytest.warns(UserWarning, match="clipped"):
        MLPClassifier(batch_size=10_000, max_iter=1).fit(X, y)
    lone = MLPClassifier(max_iter=1).fit(X, np.full(len(X), "a"))
    assert set(lone.predict(X)) == {"a"} and lone.predict_proba(X).shape == (len(X), 1)


def test_verbose_prints_what_theirs_prints(capsys):
    settings = {"max_iter": 30, "random_state": 0, "verbose": True, "tol": 0.1, "n_iter_no_change": 1}
    for more in ({}, {"early_stopping": True}, {"solver": "sgd", "learning_rate": "adaptive"}):
        MLPClassifier(**settings, **more).fit(X, y)
        ours = capsys.readouterr().out
        TheirClassifier(**settings, **more).fit(X, y)
        assert ours == capsys.readouterr().out and "did not improve" in ours


def test_an_interrupted_fit_keeps_its_weights(monkeypatch):
    from tinytensor.optim import Adam

    steps = []

    def step(self, closure=None):
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return Adam.__mro__[1].step(self, closure)

    monkeypatch.setattr(Adam, "step", step)
    with pytest.warns(UserWarning, match="interrupted"):
        model = MLPClassifier(random_state=0).fit(X, y)
    assert model.n_iter_ == 1 and model.predict(X).shape == (400,) and len(model.loss_curve_) == 1
    assert model.partial_fit(X, y).n_iter_ == 1


def test_without_scikit_learn_the_import_says_what_to_install():
    program = "import sys; sys.modules['sklearn'] = None; import tinytensor; print('fine'); import tinytensor.sklearn"
    done = subprocess.run([sys.executable, "-c", program], cwd=ELSEWHERE, capture_output=True, text=True)
    assert done.stdout == "fine\n" and "ImportError" in done.stderr
    assert "pip install 'tinytensor[sklearn]'" in done.stderr


def test_importing_tinytensor_does_not_import_scikit_learn():
    program = "import sys, tinytensor; print('sklearn' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ELSEWHERE, capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
