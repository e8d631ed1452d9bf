"""p-values of the tests that balance splits. Needs scipy (seen with 1.11.4) and numpy.

usage: statistics.py > statistics.json
"""
import json
import numpy as np, scipy
from scipy import stats

rng = np.random.default_rng(0)
samples = [
    ([70, 72, 68], [71, 69, 75, 80, 66]), ([1.5, 2.5], [1.5, 2.5]), ([1, 2], [1000, 1001, 1002]),
    ([5, 5, 5], [6, 7]), ([-1e6, 1e6], [1e-3, 2e-3]),
]
samples += [(rng.normal(70, 8, n).round(1), rng.normal(71, 8, m).round(1)) for n, m in [(2, 9), (20, 80), (30, 90)]]
tables = [([6, 4], [15, 15]), ([600, 400], [1500, 1500]), ([0, 4], [3, 5]), ([2, 0, 5], [1, 3, 9])]
tables += [(rng.integers(1, 40, k), rng.integers(1, 160, k)) for k in (2, 3, 7)]
numbers = lambda values: [float(v) for v in values]
print(json.dumps({
    "scipy": scipy.__version__,
    "t_test": [{"a": numbers(a), "b": numbers(b), "p": float(stats.ttest_ind(a, b).pvalue)} for a, b in samples],
    "chi_square": [
        {"a": [int(n) for n in a], "b": [int(n) for n in b],
         "p": float(stats.chi2_contingency([a, b], correction=False).pvalue)}
        for a, b in tables
    ],
}, indent=1))
