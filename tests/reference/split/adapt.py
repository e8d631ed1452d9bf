"""An old folder of tables, and what ClinicaDL makes of it. Needs clinicadl 1.6.1 on the PATH.

The rows of a table are sorted here: ClinicaDL takes files in the order of the disk.

usage: adapt.py > adapt.json
"""
import importlib.metadata, json, pathlib, random, subprocess, tempfile

random.seed(0)
header = "participant_id\tsession_id\tdiagnosis\tage\tsex\n"


def write(old, folder, members, parts):
    """The tables of some participants by label; `parts` says whether all sessions are written too."""
    for label in ["AD", "CN"]:
        rows = [row for p, l, rows in members if l == label for row in rows]
        first = [rows[0] for p, l, rows in members if l == label]
        old[f"{folder}{label}_baseline.tsv"] = header + "".join(first)
        if parts == "all":
            old[f"{folder}{label}.tsv"] = header + "".join(rows)


members = []
for number in range(14):
    name, label, sex = f"sub-{number:02}", ["AD", "CN"][number % 2], random.choice("FM")
    months = [0, 12, 24][: random.randint(1, 3)]
    members.append((name, label, [f"{name}\tses-M{m:02}\t{label}\t{60 + number}\t{sex}\n" for m in months]))
old = {"split.json": json.dumps({"subset_name": "test", "n_test": 4}),
       "train/kfold.json": json.dumps({"subset_name": "validation", "n_splits": 2})}
write(old, "", members, "all")
write(old, "test/", members[:4], "baseline")
write(old, "train/", members[4:], "all")
for split in range(2):
    held = members[4 + 4 * split : 8 + 4 * split]
    write(old, f"train/train_splits-2/split-{split}/", [m for m in members[4:] if m not in held], "all")
    write(old, f"train/validation_splits-2/split-{split}/", held, "baseline")

with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    for path, text in old.items():
        (root / "old" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "old" / path).write_text(text)
    subprocess.run(["clinicadl", "tsvtools", "adapt", root / "old", root / "new"], check=True, capture_output=True)
    new = {}
    for file in sorted((root / "new").rglob("*.tsv")):
        first, *rows = file.read_text().splitlines()
        new[str(file.relative_to(root / "new"))] = [first, *sorted(rows)]
versions = {name: importlib.metadata.version(name) for name in ["clinicadl", "pandas"]}
print(json.dumps({"versions": versions, "old": old, "new": new}, indent=1))
