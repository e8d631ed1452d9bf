"""Reference values of temperatures and thresholds: writes calibration.json beside this file.

Needs scipy (seen with 1.11.4), scikit-learn (1.9.1) and numpy. Class 0 is the positive one.
"""
import json
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import roc_curve

rng = np.random.default_rng(7)


def case(n, k, sharpness):
    truth = rng.integers(0, k, n)
    logits = rng.normal(0, 1, (n, k)) + 1.2 * np.eye(k)[truth]
    p = softmax(sharpness * logits, axis=1)

    def loss(inverse):
        return -log_softmax(np.log(p) * inverse, axis=1)[np.arange(n), truth].sum()

    found = minimize_scalar(loss, bounds=(0.01, 100), method="bounded", options={"xatol": 1e-13, "maxiter": 5000})
    # The loss is flat around its minimum: its derivative tells the place to more digits.
    slope = lambda inverse: sum(
        (softmax(np.log(row) * inverse) * np.log(row)).sum() - np.log(row[t]) for row, t in zip(p, truth)
    )
    inverse = scipy.optimize.brentq(slope, found.x * 0.9, found.x * 1.1, xtol=1e-14)
    told = {"classes": k, "truth": truth.tolist(), "probabilities": p.ravel().tolist(), "temperature": 1 / inverse}
    if k == 2:
        false, true, thresholds = roc_curve(truth == 0, p[:, 0], drop_intermediate=False)
        told["youden"] = float(thresholds[np.argmax(true - false)])
        told["sensitivity_0.9"] = float(thresholds[np.argmax(true >= 0.9)])
        told["sensitivity_1"] = float(thresholds[np.argmax(true >= 1)])
    return told


cases = [case(60, 2, 3), case(45, 2, 0.4), case(80, 3, 2)]
found = {"scipy": scipy.__version__, "scikit-learn": sklearn.__version__, "cases": cases}
Path(__file__).with_suffix(".json").write_text(json.dumps(found) + "\n")
