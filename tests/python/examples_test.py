"""The examples run, and reach what they say."""

import difflib
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

FOLDER = (pathlib.Path(os.environ["PARAMO_SOURCE"]) / "client" / "python"
          / "examples")


def has_torch():
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


needs_torch = pytest.mark.skipif(not has_torch(),
                                 reason="torch is not installed")


def run(name, address, *arguments):
    done = subprocess.run(
        [sys.executable, FOLDER / name, *arguments], capture_output=True,
        text=True, env={**os.environ, "PARAMO_ADDRESS": address}, timeout=170)
    assert done.returncode == 0, done.stderr
    return done.stdout


def auc_in(out):
    return float(re.search(r"AUC[^0-9]*(0\.\d+)", out).group(1))


def test_package_graph_finds_neighbours(address):
    out = run("package_graph.py", address, "--epochs", "6", "g++")
    assert auc_in(out) > 0.65  # 0.5 is a guess
    assert re.search(r"^g\+\+: .*, .*$", out, re.MULTILINE)


def test_the_notebook_runs():
    notebook = json.loads((FOLDER / "tour.ipynb").read_text(encoding="utf-8"))
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["losses"][-1] < 0.01 * names["losses"][0]
    assert names["cluster"].closed


def test_the_two_dlrms_differ_by_at_most_15_added_lines():
    local, remote = (
        (FOLDER / name).read_text(encoding="utf-8").splitlines()
        for name in ("dlrm_local.py", "dlrm_paramo.py"))
    added = [line for line in difflib.ndiff(local, remote)
             if line.startswith("+ ") and line[2:].strip()]
    assert 5 <= len(added) <= 15, "\n".join(added)


@needs_torch
def test_the_two_dlrms_reach_the_same_auc(address):
    arguments = ["--examples", "40000", "--vocabulary", "2000"]
    local = auc_in(run("dlrm_local.py", "", *arguments))
    remote = auc_in(run("dlrm_paramo.py", address, *arguments))
    assert local > 0.7 and abs(local - remote) < 0.003


@needs_torch
def test_two_processes_end_where_one_with_twice_the_batch_does(
        address, name, monkeypatch):
    monkeypatch.setenv("PARAMO_ADDRESS", address)
    monkeypatch.syspath_prepend(str(FOLDER))
    fashion = __import__("fashion_torch")
    ends = [fashion.main(fashion.parser.parse_args(
        ["--steps", "20", "--workers", workers, "--name", name]))
            for workers in ("2", "1")]
    assert abs(ends[0] - ends[1]).max() < 1e-5
