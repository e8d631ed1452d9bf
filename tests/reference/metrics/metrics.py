"""Reference values of the classification metrics. Needs scikit-learn (seen with 1.9.1) and numpy.

usage: metrics.py > metrics.json
Positive class is code 0 for two classes; macro average over classes against the rest for three.
"""
import json, warnings
import numpy as np, sklearn
from sklearn import metrics as m
warnings.filterwarnings("ignore")

def binary(y, p, score):
    y, p = np.asarray(y) , np.asarray(p)
    tn, fp, fn, tp = m.confusion_matrix(y, p, labels=[False, True]).ravel()
    both = y.any() and not y.all()
    d = lambda a, b: float(a / b) if b else 0.0
    sens, spec = m.recall_score(y, p, zero_division=0), m.recall_score(~y, ~p, zero_division=0)
    return {
        "sensitivity": sens, "specificity": spec, "balanced_accuracy": (sens + spec) / 2,
        "positive_predictive_value": m.precision_score(y, p, zero_division=0),
        "negative_predictive_value": m.precision_score(~y, ~p, zero_division=0),
        "f1_score": m.f1_score(y, p, zero_division=0),
        "matthews_correlation": m.matthews_corrcoef(y, p),
        "markedness": m.precision_score(y, p, zero_division=0) + m.precision_score(~y, ~p, zero_division=0) - 1,
        "positive_likelihood_ratio": d(sens, 1 - spec), "negative_likelihood_ratio": d(1 - sens, spec),
        "roc_auc": m.roc_auc_score(y, score) if both else None,
    }

def case(truth, probabilities):
    truth, probabilities = np.array(truth), np.array(probabilities)
    k, predicted = probabilities.shape[1], probabilities.argmax(1)
    per = [binary(truth == c, predicted == c, probabilities[:, c]) for c in range(k)]
    values = per[0] if k == 2 else {n: float(np.mean([v[n] for v in per])) for n in per[0]}
    values["accuracy"] = m.accuracy_score(truth, predicted)
    return {"classes": k, "truth": truth.tolist(), "predicted": predicted.tolist(),
            "probabilities": probabilities.ravel().tolist(),
            "values": {n: None if v is None else float(v) for n, v in values.items()}}

rng = np.random.default_rng(0)
def random(n, k):
    p = rng.dirichlet(np.ones(k), n).round(2)
    p[:, -1] = 1 - p[:, :-1].sum(1)
    return case(rng.integers(0, k, n), p)

cases = {
    "two classes": random(40, 2), "three classes": random(60, 3), "ties": case([0, 1, 0, 1], [[.5, .5]] * 4),
    "perfect": case([0, 1, 0, 1], [[.9, .1], [.2, .8], [.6, .4], [.3, .7]]),
    "always the first": case([0, 1, 0, 1], [[.9, .1], [.8, .2], [.6, .4], [.7, .3]]),
    "always the second": case([0, 1, 0, 1], [[.1, .9], [.2, .8], [.4, .6], [.3, .7]]),
    "one true class": case([0, 0, 0], [[.9, .1], [.2, .8], [.6, .4]]),
}
print(json.dumps({"scikit-learn": sklearn.__version__, "cases": cases}, indent=1))
