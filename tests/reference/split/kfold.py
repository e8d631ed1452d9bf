"""The folds that ClinicaDL makes of a small longitudinal table. Needs clinicadl 1.6.1 on the PATH.

usage: kfold.py > kfold.json
"""
import importlib.metadata, json, pathlib, random, subprocess, tempfile

random.seed(0)
rows = []
for number in random.sample(range(100, 1000), 37):
    diagnosis = random.choice(["AD", "CN", "CN", "MCI"])
    for month in random.sample([0, 6, 12, 24, 120], random.randint(1, 4)):
        age, sex = random.randint(550, 900) / 10, random.choice("FM")
        rows.append((f"sub-{number}", f"ses-M{month:03}", diagnosis, age, sex))
random.shuffle(rows)
header = ("participant_id", "session_id", "diagnosis", "age", "sex")
labels = "".join("\t".join(map(str, row)) + "\n" for row in [header, *rows])

cases = []
for n_splits, column in [(5, "diagnosis"), (2, "diagnosis"), (4, "sex")]:
    with tempfile.TemporaryDirectory() as folder:
        table = pathlib.Path(folder) / "labels.tsv"
        table.write_text(labels)
        command = ["clinicadl", "tsvtools", "kfold", table, "--n_splits", str(n_splits)]
        command += ["--stratification", column, "--valid_longitudinal"]
        subprocess.run(command, check=True, capture_output=True)
        root = table.parent / f"{n_splits}_fold"
        files = {str(f.relative_to(root)): f.read_text() for f in sorted(root.glob("*/*.tsv"))}
        cases.append({"n_splits": n_splits, "label": column, "files": files})
versions = {name: importlib.metadata.version(name) for name in ["clinicadl", "scikit-learn", "pandas"]}
print(json.dumps({"versions": versions, "labels": labels, "cases": cases}, indent=1))
