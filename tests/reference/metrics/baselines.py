"""Reference values of the models without a network: writes baselines.json beside this file.

Needs scikit-learn (seen with 1.9.1) and numpy. Logistic regression is fitted to the last digits, which its default
tolerance is not; features are standardised by the training set.
"""
import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(11)


def case(n, p, target, penalty, of_voxels):
    features = rng.normal(0, rng.uniform(0.5, 20, p), (n + 8, p)) + rng.normal(0, 5, p)
    features[:, p // 2] = 3.7  # A feature without information.
    features = features.round(3)
    weights = rng.normal(0, 1, p) / p**0.5
    score = StandardScaler().fit_transform(features) @ weights + rng.normal(0, 0.7, n + 8)
    scaler = StandardScaler().fit(features[:n])
    scaled = scaler.transform(features) / (p**0.5 if of_voxels else 1)
    train, test = scaled[:n], scaled[n:]
    told = {"train": features[:n].tolist(), "test": features[n:].tolist(), "penalty": penalty, "voxels": of_voxels}
    if target == "number":
        truth = (70 + 9 * score).round(2)
        model = Ridge(alpha=penalty, solver="cholesky").fit(train, truth[:n])
        return told | {"classes": 0, "truth": truth[:n].tolist(), "expected": model.predict(test).tolist()}
    cuts = np.quantile(score, np.linspace(0, 1, target + 1)[1:-1])
    truth = np.digitize(score, cuts)
    model = LogisticRegression(C=1 / penalty, solver="newton-cg", tol=1e-13, max_iter=10000).fit(train, truth[:n])
    expected = model.predict_proba(test).ravel().tolist()
    return told | {"classes": target, "truth": truth[:n].tolist(), "expected": expected}


cases = [
    case(40, 3, 2, 1.0, False), case(50, 4, 3, 0.5, False), case(45, 3, "number", 1.0, False),
    case(25, 70, 2, 1.0, True), case(30, 90, 3, 0.1, True), case(22, 80, "number", 2.0, True),
    case(60, 20, 2, 1.0, True),
]
found = {"scikit-learn": sklearn.__version__, "cases": cases}
Path(__file__).with_suffix(".json").write_text(json.dumps(found) + "\n")
