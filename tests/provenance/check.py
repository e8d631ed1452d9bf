"""Publishes and exports a small experiment, and checks its provenance with the official tools.

usage: check.py PROGRAM         with a Python that has roc-validator and prov, see run.py

roc-validator judges the RO-Crate by every profile that it claims, at the level REQUIRED; prov reads the
PROV document and writes it again; `sha256sum -c` and, where it is installed, `b3sum -c` check the files.
"""

import array
import gzip
import importlib.util
import io
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

PROFILES = ["ro-crate-1.1", "process-run-crate", "workflow-ro-crate", "workflow-run-crate", "provenance-run-crate"]
CONTEXT = "https://w3id.org/ro/crate/1.1/context"
EDGE = 20
EXPERIMENT = """\
clinicadl: 1
name: small
seed: 42
inputs: { caps: caps, labels: labels.tsv }
stages:
  extract: { uses: prepare-data, inputs: { caps: caps } }
  holdout:
    uses: split
    inputs: { labels: labels }
    with: { n_test: 4, balance: [] }
  folds: { uses: kfold, inputs: { labels: holdout.train }, with: { n_splits: 2 } }
  train:
    uses: train
    inputs: { images: extract, splits: folds }
    with: { epochs: 1, batch_size: 2, network: { name: Conv5_FC3, dropout: 0.1 } }
  test:
    uses: predict
    inputs: { model: train, images: extract, participants: holdout.test }
    with: { data_group: test }
  saliency:
    uses: interpret
    inputs: { model: train, images: extract, participants: holdout.test }
    with: { method: gradients, target: AD, data_group: test }
maps: maps
"""


def nifti(participant):
    """A small image; those of even participants are darker in one corner."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, EDGE, EDGE, EDGE, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 16, 32)
    struct.pack_into("<8f", header, 76, *[1.0] * 8)
    struct.pack_into("<2f", header, 108, 352.0, 1.0)
    struct.pack_into("<h", header, 254, 1)
    struct.pack_into("<12f", header, 280, 1, 0, 0, -10, 0, 1, 0, -20, 0, 0, 1, -30)
    header[344:348] = b"n+1\0"
    voxels = array.array("f")
    for z in range(EDGE):
        for y in range(EDGE):
            for x in range(EDGE):
                dark = participant % 2 == 0 and max(x, y, z) < EDGE // 2
                voxels.append((20 if dark else 100) + (x * 7 + y * 5 + z * 3 + participant * 11) % 13)
    return gzip.compress(bytes(header) + voxels.tobytes(), 1)


def make_project(folder):
    rows = ["participant_id\tsession_id\tdiagnosis\tsex\tage"]
    for i in range(12):
        name = f"sub-{i:03}_ses-M000_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
        path = folder / f"caps/subjects/sub-{i:03}/ses-M000/t1_linear" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(nifti(i))
        rows.append(f"sub-{i:03}\tses-M000\t{'CN' if i % 2 else 'AD'}\t{'F' if i % 4 < 2 else 'M'}\t{60 + i % 7}")
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n")
    (folder / "experiment.yaml").write_text(EXPERIMENT)


def prime_cache(path):
    """Puts the context of RO-Crate 1.1 where roc-validator keeps what it fetched."""
    import requests
    import requests_cache
    import urllib3

    package = pathlib.Path(importlib.util.find_spec("rocrate").submodule_search_locations[0])
    content = (package / "data" / "ro-crate.jsonld").read_bytes()
    if json.loads(content)["@id"] != CONTEXT:
        sys.exit("error: the installed `rocrate` carries the context of another version of RO-Crate")

    class Local(requests.adapters.HTTPAdapter):
        def send(self, request, **_):
            response = requests.models.Response()
            response.status_code, response.url, response.request = 200, request.url, request
            response.headers["Content-Type"] = "application/ld+json"
            body = io.BytesIO(content)
            response.raw = urllib3.HTTPResponse(body=body, headers=response.headers, status=200, preload_content=False)
            return response

    session = requests_cache.CachedSession(cache_name=str(path), backend="sqlite", expire_after=-1)
    session.mount("https://w3id.org/", Local())
    session.get(CONTEXT, headers={"Accept": "application/ld+json, application/json"})


def issues(folder, cache, profile):
    """What roc-validator finds wrong at the level REQUIRED."""
    validator = pathlib.Path(sys.executable).parent / "rocrate-validator"
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [str(validator), "--no-interactive", "validate", "--offline", "--cache-path", str(cache)]
        command += ["-np", "-p", profile, "-l", "required", "-f", "json", "-o", report.name, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            result = json.loads(pathlib.Path(report.name).read_text())
        except ValueError:
            sys.exit(f"error: rocrate-validator gave no report:\n{done.stdout}{done.stderr}")
    if (done.returncode == 0) != result["passed"] or result["passed"] == bool(result["issues"]):
        sys.exit(f"error: rocrate-validator contradicts itself:\n{done.stdout}{done.stderr}")
    return result["issues"]


def check_crate(folder, cache):
    for profile in PROFILES:
        found = issues(folder, cache, profile)
        for issue in found:
            print(f"  {issue.get('message')} ({issue.get('violatingEntity')})")
        if found:
            sys.exit(f"error: {folder.name} does not conform to {profile}")
        print(f"  {folder.name}: roc-validator accepts {profile} at level REQUIRED")


def check_validator(folder, cache):
    """That the validator would notice: a step that nobody controlled, a tool that is none."""
    path = folder / "ro-crate-metadata.json"
    text = path.read_text()
    for profile, old, new in [
        ("provenance-run-crate", '"ControlAction"', '"Action"'),
        ("workflow-run-crate", '"additionalType"', '"alternateName"'),
        ("process-run-crate", "wfrun/process/", "wfrun/processes/"),
    ]:
        assert old in text
        path.write_text(text.replace(old, new))
        if not issues(folder, cache, profile):
            sys.exit(f"error: roc-validator accepts {profile} with {new} for {old}")
    path.write_text(text)
    print("  roc-validator refuses broken crates")


def check_prov(folder):
    from prov.model import ProvDocument

    text = (folder / "provenance/prov.json").read_text()
    document = ProvDocument.deserialize(content=text, format="json")
    again = ProvDocument.deserialize(content=document.serialize(format="json"), format="json")
    if document != again:
        sys.exit(f"error: the PROV document of {folder.name} does not survive reading and writing")
    if "document" not in document.get_provn():
        sys.exit(f"error: the PROV document of {folder.name} has no PROV-N form")
    kinds = {}
    named = set()
    for record in document.get_records():
        kinds[type(record).__name__] = kinds.get(type(record).__name__, 0) + 1
        if record.is_element():
            named.add(record.identifier)
    for record in document.get_records():
        if record.is_relation():
            for role, name in record.formal_attributes:
                if hasattr(name, "localpart") and name not in named:
                    sys.exit(f"error: {folder.name}: {role} `{name}` is described nowhere")
    print(f"  {folder.name}: prov reads {kinds}")


def check_sums(folder):
    for tool, file in [("sha256sum", "manifest-sha256.txt"), ("b3sum", "manifest-blake3.txt")]:
        if shutil.which(tool):
            subprocess.run([tool, "--quiet", "-c", f"provenance/{file}"], cwd=folder, check=True)
            print(f"  {folder.name}: {tool} -c accepts every file")


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make_project(folder)
        subprocess.run([program, "-q", "run", "experiment.yaml"], cwd=folder, check=True)
        cache = folder / "http-cache"
        prime_cache(cache)
        folders = [folder / "maps"]
        for name, policy in [("shared", ""), ("shared-images", "images: keep\n")]:
            (folder / "policy.yaml").write_text(policy or "participants: salted\n")
            export = [program, "-q", "maps", "export", "maps", "--output", name, "--policy", "policy.yaml"]
            subprocess.run(export, cwd=folder, check=True)
            folders.append(folder / name)
        for published in folders:
            check_crate(published, cache)
            check_prov(published)
            check_sums(published)
        check_validator(folders[-1], cache)
    print("the provenance conforms")


if __name__ == "__main__":
    main()
