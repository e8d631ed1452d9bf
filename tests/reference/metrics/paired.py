"""Reference values of the tests of two models: writes paired.json beside this file.

Needs scipy (seen with 1.11.4) and numpy. DeLong's test is computed pair by pair from the definitions of the paper.
"""
import json
from pathlib import Path

import numpy as np
import scipy
from scipy import stats


def mcnemar(only_model, only_reference):
    n, difference = only_model + only_reference, abs(only_model - only_reference)
    # As R's mcnemar.test: equal numbers are not corrected.
    statistic = max(difference - 1, 0) ** 2 / n if n else 0.0
    return {
        "only_model": only_model, "only_reference": only_reference,
        "exact": stats.binomtest(min(only_model, only_reference), n, 0.5).pvalue if n else 1.0,
        "statistic": statistic, "corrected": float(stats.chi2.sf(statistic, 1)),
    }


def delong(n, noise):
    is_member = rng.random(n) < 0.45
    scores = [(is_member + rng.normal(0, s, n)).round(2) for s in noise]
    areas, of_members, of_others = [], [], []
    for score in scores:
        a, b = score[is_member][:, None], score[~is_member][None, :]
        psi = (a > b) + 0.5 * (a == b)
        areas.append(psi.mean()), of_members.append(psi.mean(1)), of_others.append(psi.mean(0))
    covariance = np.cov(of_members) / is_member.sum() + np.cov(of_others) / (~is_member).sum()
    difference = areas[0] - areas[1]
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    z = stats.norm.ppf(0.975)
    return {
        "is_member": is_member.tolist(), "model": scores[0].tolist(), "reference": scores[1].tolist(),
        "difference": difference, "lower": difference - z * error, "upper": difference + z * error,
        "statistic": difference / error, "p_value": float(2 * stats.norm.sf(abs(difference / error))),
    }


rng = np.random.default_rng(3)
pairs = [(0, 0), (1, 0), (3, 3), (2, 9), (15, 4), (120, 87), (0, 40)]
found = {
    "scipy": scipy.__version__,
    "mcnemar": [mcnemar(*pair) for pair in pairs],
    "delong": [delong(40, (0.6, 1.2)), delong(25, (1, 1)), delong(200, (0.8, 0.9))],
}
Path(__file__).with_suffix(".json").write_text(json.dumps(found) + "\n")
