"""Reference values of the classification metrics. Needs scikit-learn (seen with 1.9.1) and numpy.

usage: metrics.py > metrics.json
The positive class is code 0 of two; with more, classes are averaged, each against the others.
Where a denominator is zero the value is 0, that of ClinicaDL 1.6.1; an undefined area is null.
"""
import json, warnings
import numpy as np, sklearn
from sklearn import metrics as m

warnings.filterwarnings("ignore")


def against_others(y, p, probability):
    positive = m.precision_score(y, p, zero_division=0)
    negative = m.precision_score(~y, ~p, zero_division=0)
    sensitivity = m.recall_score(y, p, zero_division=0)
    specificity = m.recall_score(~y, ~p, zero_division=0)
    quotient = lambda a, b: a / b if b else 0.0
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "positive_predictive_value": positive,
        "negative_predictive_value": negative,
        "f1_score": m.f1_score(y, p, zero_division=0),
        "matthews_correlation": m.matthews_corrcoef(y, p),
        "markedness": positive + negative - 1,
        "positive_likelihood_ratio": quotient(sensitivity, 1 - specificity),
        "negative_likelihood_ratio": quotient(1 - sensitivity, specificity),
        "roc_auc": m.roc_auc_score(y, probability) if y.any() and not y.all() else np.nan,
    }


def evaluate(truth, predicted, probabilities):
    k = probabilities.shape[1]
    classes = [against_others(truth == c, predicted == c, probabilities[:, c]) for c in range(k)]
    values = classes[0] if k == 2 else {n: np.mean([v[n] for v in classes]) for n in classes[0]}
    accuracy = {"accuracy": m.accuracy_score(truth, predicted)}
    return values | accuracy, [v | accuracy for v in classes]


def plain(values):
    return {name: None if np.isnan(value) else float(value) for name, value in values.items()}


def arrays(truth, probabilities):
    truth, probabilities = np.array(truth), np.array(probabilities)
    predicted = probabilities.argmax(1)
    told = {
        "classes": probabilities.shape[1],
        "truth": truth.tolist(),
        "predicted": predicted.tolist(),
        "probabilities": probabilities.ravel().tolist(),
    }
    return told, truth, predicted, probabilities


def case(truth, probabilities):
    told, *columns = arrays(truth, probabilities)
    values, classes = evaluate(*columns)
    return told | {"values": plain(values), "by_class": [plain(v) for v in classes]}


def bootstrap(truth, probabilities, resamples):
    told, *columns = arrays(truth, probabilities)
    n, k = len(columns[0]), columns[2].shape[1]
    draws = rng.integers(0, n, (resamples, n))
    evaluated = [evaluate(*(column[images] for column in columns)) for images in draws]

    def interval(values):
        values = np.array(values)
        values = values[~np.isnan(values)]
        lower, upper = np.percentile(values, [2.5, 97.5])
        return {"lower": lower, "upper": upper, "standard_error": values.std(ddof=1)}

    intervals = {}
    for name in evaluated[0][0]:
        classes = range(k) if k > 2 and name != "accuracy" else []
        intervals[name] = {
            "whole": interval([whole[name] for whole, _ in evaluated]),
            "classes": [interval([classes[c][name] for _, classes in evaluated]) for c in classes],
        }
    return told | {"draws": draws.tolist(), "intervals": intervals}


rng = np.random.default_rng(0)


def random(n, k):
    p = rng.dirichlet(np.ones(k), n).round(2)
    p[:, -1] = (1 - p[:, :-1].sum(1)).round(2)
    return rng.integers(0, k, n), p


TRUTH = [0, 1, 0, 1]
cases = {
    "two classes": case(*random(40, 2)),
    "three classes": case(*random(60, 3)),
    "ties": case(TRUTH, [[0.5, 0.5]] * 4),
    "perfect": case(TRUTH, [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]]),
    "always wrong": case(TRUTH, [[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]]),
    "always the first": case(TRUTH, [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.7, 0.3]]),
    "always the second": case(TRUTH, [[0.1, 0.9], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]]),
    "only the first is true": case([0, 0, 0], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]),
    "only the second is true": case([1, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]),
    "one image": case([1], [[0.9, 0.1]]),
    "a class of three is absent": case([0, 2, 2], [[0.5, 0.3, 0.2], [0.1, 0.7, 0.2], [0, 0, 1]]),
}
bootstraps = {"two classes": bootstrap(*random(8, 2), 60), "three classes": bootstrap(*random(11, 3), 50)}
versions = {"scikit-learn": sklearn.__version__, "numpy": np.__version__}
print(json.dumps({"versions": versions, "cases": cases, "bootstrap": bootstraps}))
