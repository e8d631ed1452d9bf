"""Runs small experiments that tell an MLflow server, and reads there what they told.

usage: track.py PROGRAM         with a Python that has MLflow, see run.py

The server is started here, on loopback, with a database and a place for files of its own.
"""

import contextlib
import csv
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "provenance"))

from check import make_project  # noqa: E402

EXPERIMENT = """\
clinicadl: 1
name: {name}
seed: 42
inputs: {{ caps: caps, labels: labels.tsv }}
{more}stages:
  extract: {{ uses: prepare-data, inputs: {{ caps: caps }} }}
  holdout:
    uses: split
    inputs: {{ labels: labels }}
    with: {{ n_test: {n_test}, balance: []{by} }}
  folds: {{ uses: kfold, inputs: {{ labels: holdout.train }}, with: {{ n_splits: 2{by} }} }}
  train:
    uses: train
    inputs: {{ images: extract, splits: folds }}
    with: {{ epochs: 2, batch_size: 2, network: {{ {network} }}, {task} }}
  test:
    uses: predict
    inputs: {{ model: train, images: extract, participants: holdout.test }}
    with: {{ data_group: {group} }}
maps: {maps}
"""
CLASSES = "name: Conv5_FC3, dropout: 0.1"
CASES = {
    "two-classes": {"network": CLASSES, "task": "label: diagnosis"},
    "three-classes": {"network": CLASSES, "task": "label: site", "by": ", label: site", "n_test": 3},
    "regression": {"network": CLASSES, "task": "task: regression, label: age"},
    "reconstruction": {"network": "name: AE_Conv5_FC3", "task": "task: reconstruction"},
}


def write(folder, name, **changes):
    filled = {"name": name, "more": "", "by": "", "n_test": 4, "group": "test", "maps": f"maps-{name}", **CASES.get(name, {}), **changes}
    (folder / f"{name}.yaml").write_text(EXPERIMENT.format(**filled))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def server(folder):
    """An MLflow server, for as long as it is needed."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    log = open(folder / "server.log", "wb")
    process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        # A busy machine takes minutes.
        for _ in range(1200):
            if process.poll() is not None:
                sys.exit("error: the server ended:\n" + (folder / "server.log").read_text())
            with contextlib.suppress(OSError):
                urllib.request.urlopen(address + "/health", timeout=10).close()
                break
            time.sleep(0.5)
        else:
            sys.exit("error: the server does not answer:\n" + (folder / "server.log").read_text())
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait()
        log.close()


def run(program, folder, name, *arguments, **environment):
    done = subprocess.run(
        [program, "run", f"{name}.yaml", *arguments],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )
    if done.returncode != 0:
        sys.exit(f"error: {name}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def runs_of(client, name):
    experiment = client.get_experiment_by_name(name)
    return sorted(client.search_runs([experiment.experiment_id]), key=lambda run: run.info.run_name)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def check_run(client, run, maps, split):
    """Everything that the MAPS has of this split is there."""
    course = rows(maps / f"split-{split}/training_logs/training.tsv")
    columns = [c for c in course[0] if c.endswith(("_train", "_valid"))]
    told = [key for key in run.data.metrics if key.count("/") == 1]
    assert len(told) == len(columns), (sorted(told), columns)
    for group, end in (("train", "_train"), ("validation", "_valid")):
        history = client.get_metric_history(run.info.run_id, f"{group}/loss")
        history = sorted((metric.step, metric.value) for metric in history)
        expected = [(int(row["epoch"]), float(row["loss" + end])) for row in course]
        assert history == expected, (history, expected)
    for group in ("train", "validation", "test"):
        tables = list(maps.glob(f"split-{split}/best-loss/{group}/{group}_*_level_metrics.tsv"))
        header = rows(tables[0])[0]
        names = [key for key in run.data.metrics if key.startswith(f"{group}/best-loss/")]
        assert len(names) == len([c for c in header if c not in ("Metrics", "leakage")]), (names, header)
        assert run.data.metrics[f"{group}/best-loss/loss"] == float(header["loss"])
    assert run.info.status == "FINISHED" and run.info.end_time >= run.info.start_time
    assert run.data.params["epochs"] == "2" and run.data.params["split"] == str(split)
    assert run.data.params["network.name"] and run.data.params["seed"] == "42"
    assert len(run.data.tags["clinicadl.key"]) >= 64, run.data.tags
    assert run.data.tags["clinicadl.split"] == str(split)


def main():
    import mlflow

    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make_project(folder)
        table = (folder / "labels.tsv").read_text().splitlines()
        rows_ = [f"{row}\t{'site' if i == 0 else 'ABC'[i % 3]}" for i, row in enumerate(table)]
        (folder / "labels.tsv").write_text("\n".join(rows_) + "\n")
        with server(folder) as address:
            client = mlflow.MlflowClient(address)
            for name in CASES:
                write(folder, name)
                out, err = run(program, folder, name, "--mlflow", address)
                assert "2 runs new, 0 updated, 0 unchanged" in out, out + err
                runs = runs_of(client, name)
                assert [r.info.run_name for r in runs] == ["split-0", "split-1"]
                for split, one in enumerate(runs):
                    check_run(client, one, folder / f"maps-{name}", split)
                print(f"  {name}: {len(runs[0].data.metrics)} metrics and {len(runs[0].data.params)} params of 2 splits are there")
            before = [r.to_dictionary() for r in runs_of(client, "two-classes")]
            out, _ = run(program, folder, "two-classes", "--mlflow", MLFLOW_TRACKING_URI=address)
            assert "0 runs new, 0 updated, 2 unchanged" in out, out
            assert [r.to_dictionary() for r in runs_of(client, "two-classes")] == before
            print("  a run without changes tells nothing again")
            write(folder, "two-classes", group="held")
            out, _ = run(program, folder, "two-classes", "--mlflow", address, "--mlflow-files")
            assert "0 runs new, 2 updated, 0 unchanged" in out, out
            changed = runs_of(client, "two-classes")
            assert [r.info.run_id for r in changed] == [r["info"]["run_id"] for r in before]
            assert "held/best-loss/loss" in changed[0].data.metrics
            assert len(client.get_metric_history(changed[0].info.run_id, "train/loss")) == 2
            files = sorted(file.path for file in client.list_artifacts(changed[0].info.run_id))
            assert files == ["maps.json", "training.tsv"], files
            path = client.download_artifacts(changed[0].info.run_id, "training.tsv", str(folder))
            own = folder / "maps-two-classes/split-0/training_logs/training.tsv"
            assert pathlib.Path(path).read_bytes() == own.read_bytes()
            print("  new results update the run of their training, and files are there")
            more = "params: { rate: 0.1 }\nmatrix: { rate: [0.001, 0.01] }\n"
            task = "label: diagnosis, optimizer: { name: Adam, learning_rate: \"${params.rate}\" }"
            write(folder, "grid", more=more, network=CLASSES, task=task, maps="maps-grid-${params.rate}")
            out, err = run(program, folder, "grid", "--mlflow", address, "--mlflow-experiment", "elsewhere")
            assert "4 runs new" in out, out + err
            runs = runs_of(client, "elsewhere")
            rates = sorted({float(r.data.params["matrix.rate"]) for r in runs})
            assert rates == [0.001, 0.01] and len({r.info.run_name for r in runs}) == 4
            print("  cells of a matrix are runs of their own")
        maps = sorted(p.relative_to(folder) for p in (folder / "maps-two-classes").rglob("*"))
        out, err = run(program, folder, "two-classes", "--mlflow", address)
        assert "MLflow was not told everything" in err and "does not answer" in err, err
        assert maps == sorted(p.relative_to(folder) for p in (folder / "maps-two-classes").rglob("*"))
        print("  a server that is gone is warned of and fails no run")
    print("MLflow has what was trained")


if __name__ == "__main__":
    main()
