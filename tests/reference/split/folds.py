"""Folds of scikit-learn (seen with 1.9.1, numpy 1.26.4), as stage `kfold` makes them.

usage: folds.py > folds.json
"""
import json, warnings
import numpy as np, sklearn
from sklearn.model_selection import KFold, RepeatedKFold, RepeatedStratifiedKFold, StratifiedGroupKFold, StratifiedKFold

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
names = np.array(["AD", "CN", "MCI", "sMCI"])


def folds(splitter, y, groups=None):
    return [test.tolist() for _, test in splitter.split(np.zeros(len(y)), y, groups)]


def case(n, k, n_classes, n_groups=None, seed=2, repeats=1, nested=None, share=None):
    labels = None if n_classes is None else names[rng.choice(n_classes, n, p=share)]
    groups = None if n_groups is None else rng.integers(0, n_groups, n)
    y = np.zeros(n) if labels is None else labels
    make = lambda k, state: (
        StratifiedGroupKFold(k, shuffle=True, random_state=state) if groups is not None
        else KFold(k, shuffle=True, random_state=state) if labels is None
        else StratifiedKFold(k, shuffle=True, random_state=state))
    if groups is not None:
        state = np.random.RandomState(seed)
        outer = [fold for _ in range(repeats) for fold in folds(make(k, state), y, groups)]
    else:
        repeated = RepeatedKFold if labels is None else RepeatedStratifiedKFold
        outer = folds(repeated(n_splits=k, n_repeats=repeats, random_state=seed), y)
    inner = []
    for test in outer if nested else []:
        rest = np.setdiff1d(np.arange(n), test)
        subset = None if groups is None else groups[rest]
        inner += [rest[fold].tolist() for fold in folds(make(nested, seed), y[rest], subset)]
    listed = lambda values: None if values is None else values.tolist()
    return {"labels": listed(labels), "groups": None if groups is None else [f"g{g:03}" for g in groups], "n": n,
            "n_splits": k, "seed": seed, "repeats": repeats, "nested": nested, "outer": outer, "inner": inner}


cases = [
    case(10, 5, 2), case(23, 4, 3, seed=7), case(31, 3, 3, repeats=3), case(12, 5, None), case(13, 4, None, seed=123456, repeats=2),
    case(40, 5, 2, 12), case(60, 3, 3, 20, seed=11), case(60, 4, 4, 9, share=[0.6, 0.2, 0.1, 0.1]), case(50, 7, None, 30, seed=5),
    case(80, 4, 2, 25, repeats=2), case(45, 3, 3, nested=2), case(30, 3, None, nested=3, repeats=2), case(90, 3, 2, 40, nested=2, seed=9),
    case(100, 9, None, 18, seed=4), case(120, 12, None, 40, seed=8), case(150, 11, 3, 60, seed=6),
]
print(json.dumps({"scikit-learn": sklearn.__version__, "numpy": np.__version__, "cases": cases}))
