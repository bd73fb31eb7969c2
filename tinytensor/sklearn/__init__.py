"""Multi-layer perceptrons as scikit-learn estimators: its names, meanings, random numbers and attributes, our kernels.

Needs scikit-learn 1.6 or later: pip install 'tinytensor[sklearn]'. Nothing else in the package imports this room.
"""

from __future__ import annotations

from tinytensor.sklearn.estimators import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
