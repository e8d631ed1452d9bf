"""Tables of clinical data: what both programs make of the same participants.

The participants are such that the peer is right about them: sessions sort in time as text, nobody lacks a
diagnosis, and tables agree where they have the same columns. What it does with others is in the
documentation of each stage.
"""

import random
import shutil

import pandas

import peer

PARTICIPANTS = 60
MONTHS = (0, 6, 12, 24, 36, 48)
SEVERITY = ("CN", "MCI", "AD")
HORIZONS = (12, 36)
DIAGNOSES = ("AD", "CN", "MCI")
KEY = ["participant_id", "session_id"]
# Both add up the same numbers, in another order.
TOLERANCE = 1e-12


def make(path):
    """Writes sessions with diagnoses that stay, progress, regress or do both."""
    draws = random.Random(0)
    rows = []
    for number in range(PARTICIPANTS):
        sex, age, severity = draws.choice("FM"), round(draws.uniform(55, 90), 1), draws.randrange(3)
        for month in sorted(draws.sample(MONTHS, draws.randint(1, len(MONTHS)))):
            severity = min(2, max(0, severity + draws.choice([0, 0, 0, 1, -1])))
            session = (f"sub-{number:03}", f"ses-M{month:03}", SEVERITY[severity], sex, round(age + month / 12, 1))
            mmse = None if draws.random() < 0.1 else draws.randint(15, 30)
            rows.append((*session, mmse, draws.choice([0, 0.5, 1, 2, 3]), draws.choice(["low", "high"])))
    columns = [*KEY, "diagnosis", "sex", "age", "MMSE", "cdr_global", "education"]
    table = pandas.DataFrame(rows, columns=columns)
    table.to_csv(path, sep="\t", index=False)
    return table


def compare(comparison):
    """The tables of `get-progression`, `get-metadata` and `analysis`."""
    folder = comparison.work / "tables"
    folder.mkdir()
    merged = folder / "merged.tsv"
    everything = make(merged)
    labels = folder / "labels.tsv"
    # Some of the sessions: analysis is about them, metadata is looked up for them.
    kept = everything.sample(frac=0.8, random_state=0).sort_index()[[*KEY, "diagnosis", "sex", "age"]]
    kept.to_csv(labels, sep="\t", index=False)
    for horizon in HORIZONS:
        progression(comparison, folder, labels, horizon)
    for variables in (["education"], ["MMSE", "cdr_global"], []):
        metadata(comparison, folder, labels, merged, variables)
    analysis(comparison, folder, labels, merged)


def copied(table, name):
    """A copy that the peer may write to: it changes its input."""
    copy = table.with_name(name)
    shutil.copy(table, copy)
    return copy


def progression(comparison, folder, labels, horizon):
    """What becomes of each session."""
    theirs = copied(labels, f"peer-progression-{horizon}.tsv")
    peer.call("tsvtools", "get-progression", theirs, "--time_horizon", horizon)
    output = folder / f"progression-{horizon}"
    arguments = ["--input", f"labels={labels}", "--with", f"time_horizon={horizon}", "--output", output]
    comparison.ours("exec", "get-progression", *arguments)
    text = f"progression within {horizon} months is equal"
    comparison.claim(text, differing(read(theirs), read(output / "labels.tsv")))


def metadata(comparison, folder, labels, merged, variables):
    """Columns of another table."""
    name = "-".join(variables) or "all"
    theirs = copied(labels, f"peer-metadata-{name}.tsv")
    peer.call("tsvtools", "get-metadata", theirs, merged, *(a for v in variables for a in ("-voi", v)))
    output = folder / f"metadata-{name}"
    arguments = ["--input", f"labels={labels}", "--input", f"metadata={merged}", "--output", output]
    arguments += ["--with", f"variables=[{', '.join(variables)}]"]
    comparison.ours("exec", "get-metadata", *arguments)
    text = f"metadata ({', '.join(variables) or 'all columns'}) are equal"
    comparison.claim(text, differing(read(theirs), read(output / "labels.tsv")))


def analysis(comparison, folder, labels, merged):
    """Who the groups are."""
    theirs = folder / "peer-analysis.tsv"
    diagnoses = [argument for name in DIAGNOSES for argument in ("--diagnoses", name)]
    peer.call("tsvtools", "analysis", merged, labels, theirs, *diagnoses)
    output = folder / "analysis"
    arguments = ["--input", f"labels={labels}", "--input", f"merged={merged}", "--output", output]
    comparison.ours("exec", "analysis", *arguments, "--with", f"diagnoses=[{', '.join(DIAGNOSES)}]")
    first, second = (pandas.read_csv(path, sep="\t", index_col="group") for path in (theirs, output / "analysis.tsv"))
    same = list(first.columns) == list(second.columns) and list(first.index) == list(second.index)
    greatest = (second / first - 1).where(first != second, 0).abs().to_numpy().max() if same else float("nan")
    comparison.claim(f"the analysis of {len(first)} groups agrees", greatest, TOLERANCE)


def read(path):
    """A table by participant and session; rows and columns in their alphabetical order."""
    table = pandas.read_csv(path, sep="\t", dtype=str).set_index(KEY).sort_index()
    return table[sorted(table.columns)]


def differing(theirs, ours):
    """How many cells differ; not a number if the tables have other rows or columns, or none."""
    if not (len(theirs) and theirs.index.equals(ours.index) and theirs.columns.equals(ours.columns)):
        return float("nan")
    return int((theirs.fillna("") != ours.fillna("")).to_numpy().sum())
