"""Writes voting.json: what ClinicaDL 1.6.1 makes of the predictions of parts, for an image as a whole.

usage: voting.py          with the Python of an environment that has ClinicaDL 1.6.1 (see tests/peer/run.py)

The tables are made up; `ensemble_prediction` of the task managers, which `_ensemble_to_tsv` calls, votes.
Balanced accuracies are those of its metric module, averaged over classes where there are more than two.
"""

import json
import pathlib

import numpy as np
import pandas as pd
from clinicadl.utils.metric_module import MetricModule
from clinicadl.utils.task_manager.classification import ClassificationManager
from clinicadl.utils.task_manager.regression import RegressionManager

HERE = pathlib.Path(__file__).resolve().parent
WHO = ["participant_id", "session_id"]


def table(rng, images, parts, classes, skill):
    """Predictions of every part of every image; part k is right more often the higher its skill."""
    truth = rng.integers(classes, size=images)
    rows = []
    for image in range(images):
        for part in range(parts):
            logits = rng.normal(size=classes)
            logits[truth[image]] += skill[part]
            proba = np.exp(logits) / np.exp(logits).sum()
            who = [f"sub-{image:02}", "ses-M000", part]
            rows.append(who + [truth[image], int(proba.argmax())] + list(proba.astype(np.float32).astype(float)))
    columns = WHO + ["patch_id", "true_label", "predicted_label"] + [f"proba{c}" for c in range(classes)]
    # Rows come in any order.
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=1).reset_index(drop=True)


def classification(name, seed, images, parts, classes, skill, threshold):
    rng = np.random.default_rng(seed)
    manager = ClassificationManager("patch", n_classes=classes)
    metrics = MetricModule(["BA"], n_classes=classes)
    validation, test = (table(rng, n, parts, classes, skill) for n in (20, images))
    of_part = [validation[validation.patch_id == part] for part in range(parts)]
    balanced = [
        np.mean(list(metrics.apply(df.true_label.values, df.predicted_label.values, report_ci=False).values()))
        for df in of_part
    ]
    # As get_prediction gives them: by participant and session.
    image_level, _ = manager.ensemble_prediction(
        test.set_index(WHO, drop=True), validation.set_index(WHO, drop=True).copy(), selection_threshold=threshold
    )
    made = []
    for (participant, session), rows in test.groupby(WHO):
        voted = image_level[(image_level.participant_id == participant) & (image_level.session_id == session)].iloc[0]
        said = rows.sort_values("patch_id")[[f"proba{c}" for c in range(classes)]]
        made.append(
            {
                "parts": said.values.tolist(),
                "predicted": int(voted.predicted_label),
                "probabilities": [float(voted[f"proba{c}"]) for c in range(classes)],
            }
        )
    return {
        "name": name,
        "classes": classes,
        "threshold": threshold,
        "validation": [{"true": df.true_label.tolist(), "predicted": df.predicted_label.tolist()} for df in of_part],
        "balanced_accuracy": [float(value) for value in balanced],
        "images": made,
    }


def regression(seed, images, parts):
    rng = np.random.default_rng(seed)
    rows = [
        [f"sub-{image:02}", "ses-M000", part, 60.0 + image, 60.0 + image + float(np.float32(rng.normal()))]
        for image in range(images)
        for part in range(parts)
    ]
    df = pd.DataFrame(rows, columns=WHO + ["patch_id", "true_label", "predicted_label"])
    df = df.set_index(WHO, drop=True)
    image_level, results = RegressionManager("patch").ensemble_prediction(df.copy(), df.copy())
    return {
        "rows": rows,
        "predicted": [float(value) for value in image_level.predicted_label],
        "metrics": {name: float(value) for name, value in results.items()},
    }


def main():
    cases = {
        "classification": [
            classification("two classes", 1, 6, 3, 2, [2.0, 0.5, 0.0], None),
            classification("a threshold", 2, 6, 4, 2, [3.0, 1.0, 0.0, 0.2], 0.6),
            classification("a threshold of 0", 3, 4, 2, 2, [1.0, 0.0], 0.0),
            classification("three classes, many parts", 4, 5, 12, 3, [0.25 * part for part in range(12)], 0.5),
        ],
        "regression": regression(5, 6, 3),
    }
    (HERE / "voting.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
