"""p-values of the tests that balance splits. Needs scipy (seen with 1.11.4) and numpy.

usage: statistics.py > statistics.json
"""
import json, math
import numpy as np, scipy
from scipy import stats

rng = np.random.default_rng(0)
samples = [
    ([70, 72, 68], [71, 69, 75, 80, 66]), ([1.5, 2.5], [1.5, 2.5]), ([1, 2], [1000, 1001, 1002]),
    ([5, 5, 5], [6, 7]), ([-1e6, 1e6], [1e-3, 2e-3]), ([70, 72, math.nan, 68], [71, 69, 75, 80, math.nan, 66]),
    ([5], [6, 7, 9]), ([1e9 + 1, 1e9 + 2, 1e9 + 4], [1e9 + 1.5, 1e9 + 2.5]),
]
samples += [(rng.normal(70, 8, n).round(1), rng.normal(71, 8, m).round(1)) for n, m in [(2, 9), (20, 80), (30, 90)]]
# Means that almost agree, and that hardly could less.
samples += [(rng.normal(70, 8, n), rng.normal(70 + d, 8, m)) for n, m, d in [(12, 48, 0), (60, 60, 6), (20, 30, 40)]]

# Given by their parameters, since they are long: a = 0, 1, …, n−1 and b = s, s + 1, …, s + m − 1.
ranges = [(20, 22, 1), (200, 210, 4), (200, 240, -19.5), (2000, 2100, -49.5), (2000, 2100, 60), (1500, 1500, 3)]
tables = [([6, 4], [15, 15]), ([600, 400], [1500, 1500]), ([0, 4], [3, 5]), ([2, 0, 5], [1, 3, 9]), ([1, 1], [1, 1]), ([90, 1], [2, 80])]
tables += [(rng.integers(1, 40, k), rng.integers(1, 160, k)) for k in (2, 3, 7)]

# With ties, of equal and of other sizes, apart, nested, and of one value.
ordered = [
    ([1], [1]), ([1], [2]), ([1], [1, 2, 3]), ([1, 2], [3, 4]), ([1, 2, 3], [4, 5, 6, 7]), ([1, 1, 2], [1, 2, 2, 2]),
    ([5, 5, 5], [5, 5]), ([0, 0, 0, 1], [0, 1, 1, 1, 1, 1]), ([3, 4, 5], [1, 2, 6, 7, 8]), ([70, 72, 68], [71, 69, 75, 80, 66]),
]
ordered += [(rng.normal(70, 8, n).round(d), rng.normal(70 + s, 8, m).round(d))
            for n, m, d, s in [(7, 7, 3, 0), (7, 12, 0, 0), (20, 80, 1, 0), (30, 90, 0, 3), (50, 50, 1, 5), (13, 200, 2, 9)]]
numbers = lambda values: [None if math.isnan(v) else float(v) for v in values]


def proportions(test, train):
    """As ClinicaDL 1.6.1 compares categories: `chisquare` of the test part's proportions to those of the train part."""
    return float(stats.chisquare(np.array(test) / sum(test), np.array(train) / sum(train)).pvalue)


print(json.dumps({
    "scipy": scipy.__version__,
    "t_test": [{"a": numbers(a), "b": numbers(b), "p": float(stats.ttest_ind(a, b, nan_policy="omit").pvalue)} for a, b in samples],
    "ranges": [
        {"n": n, "m": m, "start": s,
         "t_test": float(stats.ttest_ind(np.arange(n), np.arange(m) + s).pvalue),
         "kolmogorov_smirnov": float(stats.ks_2samp(np.arange(n), np.arange(m) + s).pvalue)}
        for n, m, s in ranges
    ],
    "chi_square": [
        {"a": [int(n) for n in a], "b": [int(n) for n in b],
         "p": float(stats.chi2_contingency([a, b], correction=False).pvalue),
         "on_proportions": proportions(a, b)}
        for a, b in tables
    ],
    "kolmogorov_smirnov": [
        {"a": numbers(a), "b": numbers(b), "statistic": float(stats.ks_2samp(a, b).statistic), "p": float(stats.ks_2samp(a, b).pvalue)}
        for a, b in ordered
    ],
}, indent=1))
