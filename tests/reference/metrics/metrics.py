"""Reference values of the metrics of classification and regression. Needs scikit-learn (seen with 1.9.1), scipy
and numpy.

usage: metrics.py > metrics.json
The positive class is code 0 of two; with more, classes are averaged, each against the others, but for kappa and the
Brier score, which scikit-learn defines for all classes at once.
Where a denominator is zero the value is 0, that of ClinicaDL 1.6.1; an undefined area is null, and so is what is
made of a probability that is NaN.
"""
import json, warnings
import numpy as np, scipy, sklearn
from scipy import stats
from sklearn import metrics as m
from sklearn.calibration import calibration_curve

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
        "cohen_kappa": m.cohen_kappa_score(y, p, labels=[False, True], replace_undefined_by=0.0),
    } | of_probabilities(y, probability)


def of_probabilities(y, probability):
    if np.isnan(probability).any():
        return {"roc_auc": np.nan, "average_precision": np.nan, "brier_score": np.nan}
    return {
        "roc_auc": m.roc_auc_score(y, probability) if y.any() and not y.all() else np.nan,
        "average_precision": m.average_precision_score(y, probability) if y.any() else np.nan,
        "brier_score": m.brier_score_loss(y, probability, labels=[False, True], pos_label=True),
    }


def calibration_error(truth, predicted, probabilities):
    """Guo et al. 2017: 15 bins of the probability of the predicted class."""
    confidence = probabilities[np.arange(len(truth)), predicted]
    if np.isnan(confidence).any():
        return np.nan
    right, said = calibration_curve(truth == predicted, confidence, pos_label=True, n_bins=15, strategy="uniform")
    bins = np.searchsorted(np.linspace(0, 1, 16)[1:-1], confidence)
    counts = np.unique(bins, return_counts=True)[1]
    return np.sum(counts / len(truth) * np.abs(right - said))


def evaluate(truth, predicted, probabilities):
    k = probabilities.shape[1]
    classes = [against_others(truth == c, predicted == c, probabilities[:, c]) for c in range(k)]
    values = classes[0] if k == 2 else {n: np.mean([v[n] for v in classes]) for n in classes[0]}
    if k > 2:
        values = values | {
            "cohen_kappa": m.cohen_kappa_score(truth, predicted, labels=range(k), replace_undefined_by=0.0),
            "brier_score": m.brier_score_loss(truth, probabilities, labels=range(k)),
        }
    at_once = {
        "accuracy": m.accuracy_score(truth, predicted),
        "expected_calibration_error": calibration_error(truth, predicted, probabilities),
    }
    return values | at_once, [v | at_once for v in classes]


def plain(values):
    return {name: None if np.isnan(value) else float(value) for name, value in values.items()}


def nulls(values):
    return [None if np.isnan(value) else float(value) for value in np.ravel(values)]


def arrays(truth, probabilities):
    truth, probabilities = np.array(truth), np.array(probabilities)
    predicted = probabilities.argmax(1)
    told = {
        "classes": probabilities.shape[1],
        "truth": truth.tolist(),
        "predicted": predicted.tolist(),
        "probabilities": nulls(probabilities),
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
        classes = range(k) if k > 2 and name not in AT_ONCE else []
        intervals[name] = {
            "whole": interval([whole[name] for whole, _ in evaluated]),
            "classes": [interval([classes[c][name] for _, classes in evaluated]) for c in classes],
        }
    return told | {"draws": draws.tolist(), "intervals": intervals}


def regression(truth, predicted):
    truth, predicted = np.array(truth, float), np.array(predicted, float)
    told = {"truth": nulls(truth), "predicted": nulls(predicted)}
    if np.isnan(truth).any() or np.isnan(predicted).any():
        names = ["mean_absolute_error", "root_mean_squared_error", "pearson_correlation", "spearman_correlation"]
        values = dict.fromkeys(names, np.nan) | {"r2_score": np.nan}
        return told | {"values": plain(values)}
    # Without spread ClinicaDL says 0, and scikit-learn does not for one image or a perfect prediction.
    r2 = m.r2_score(truth, predicted) if np.ptp(truth) else 0.0
    several = len(truth) > 1
    return told | {"values": plain({
        "r2_score": r2,
        "mean_absolute_error": m.mean_absolute_error(truth, predicted),
        "root_mean_squared_error": m.mean_squared_error(truth, predicted) ** 0.5,
        "pearson_correlation": stats.pearsonr(truth, predicted)[0] if several else np.nan,
        "spearman_correlation": stats.spearmanr(truth, predicted)[0] if several else np.nan,
    })}


def delong(is_member, scores, participants):
    """Areas and their covariance pair by pair, from the definitions of DeLong et al. 1988 and Obuchowski 1997."""
    is_member, scores, participants = np.array(is_member), np.array(scores, float), np.array(participants)
    told = {"is_member": is_member.tolist(), "scores": [nulls(s) for s in scores], "participants": participants.tolist()}
    clusters = np.unique(participants)
    with_members, with_others = (len(np.unique(participants[is_member == side])) for side in (True, False))
    if np.isnan(scores).any() or min(with_members, with_others) < 2:
        return told | {"areas": None, "covariance": None}
    m, n = is_member.sum(), (~is_member).sum()
    areas, members, others = [], [], []
    for score in scores:
        a, b = score[is_member][:, None], score[~is_member][None, :]
        psi = (a > b) + 0.5 * (a == b)
        area = psi.mean()
        # What each cluster adds, less what is expected of as many images.
        a = [np.sum(psi.mean(1)[participants[is_member] == c] - area) for c in clusters]
        b = [np.sum(psi.mean(0)[participants[~is_member] == c] - area) for c in clusters]
        areas.append(area), members.append(a), others.append(b)
    members, others = np.array(members), np.array(others)
    s10 = with_members / ((with_members - 1) * m) * members @ members.T
    s01 = with_others / ((with_others - 1) * n) * others @ others.T
    s11 = len(clusters) / (len(clusters) - 1) * members @ others.T
    covariance = s10 / m + s01 / n + (s11 + s11.T) / (m * n)
    return told | {"areas": areas, "covariance": covariance.tolist()}


AT_ONCE = ["accuracy", "expected_calibration_error"]
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
    "a probability is not a number": case([0, 1, 1], [[np.nan, np.nan], [0.2, 0.8], [0.6, 0.4]]),
    "on the edges of bins": case([0, 1] * 8, [[i / 15, 1 - i / 15] for i in range(16)]),
}
bootstraps = {"two classes": bootstrap(*random(8, 2), 60), "three classes": bootstrap(*random(11, 3), 50)}
truth = rng.normal(70, 8, 30)
regressions = {
    "numbers": regression(truth, truth + rng.normal(1, 4, 30)),
    "ties": regression([60, 60, 70, 80, 80, 80], [61, 65, 65, 79, 80, 79]),
    "worse than the mean": regression([1, 2, 3], [3, 2, 1]),
    "constant truth": regression([3.1] * 3, [3, 4, 5]),
    "constant prediction": regression([3, 4, 5], [0.1] * 3),
    "one image": regression([70], [71]),
    "a prediction is not a number": regression([70, 71, 72], [70, np.nan, 73]),
}
member = rng.random(40) < 0.4
score = [member + rng.normal(0, 1, 40), (member + rng.normal(0, 2, 40)).round(0)]
one_each = [f"sub-{i}" for i in range(40)]
delongs = {
    "one image each": delong(member, score, one_each),
    "clusters": delong(member, score, [f"sub-{i // 3}" for i in range(40)]),
    "perfect": delong([True, True, False, False], [[4, 3, 2, 1]], one_each[:4]),
    "one member": delong([True, False, False], [[1, 2, 3]], one_each[:3]),
    "one participant with others": delong([True, True, False, False], [[1, 2, 3, 4]], ["a", "b", "c", "c"]),
    "not a number": delong([True, True, False, False], [[1, 2, 3, np.nan]], one_each[:4]),
}
versions = {"scikit-learn": sklearn.__version__, "numpy": np.__version__, "scipy": scipy.__version__}
found = {"cases": cases, "bootstrap": bootstraps, "regression": regressions, "delong": delongs}
print(json.dumps({"versions": versions} | found))
