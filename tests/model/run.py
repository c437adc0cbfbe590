"""Searches the replication model whole, then without one rule at a time.

Usage: run.py MODEL WORK_DIRECTORY

Passes when the whole protocol has no error, every statement of the model was
reached, and each protocol with a rule taken out has a counterexample. Needs
`spin` and a C compiler. Prints what it searched, and for every counterexample
the assertion that fails and its number of steps.
"""

import os
import re
import subprocess
import sys
import time

# Rules that can be taken out.
MUTANTS = ("3_1_JOIN", "3_1_LEAVE", "3_2", "3_3_EPOCH", "3_3_TAIL",
           "3_4", "2_1")
# No history within the bounds is longer; one that is would be an error.
DEPTH = 1000
COMPILE = ("cc", "-O2", "-DSAFETY", "-DNOREDUCE", "-DMEMLIM=4096")


def build(model, work, switch):
    """Translates and compiles one variant; returns its program."""
    os.makedirs(work, exist_ok=True)
    define = ["-D" + switch] if switch else []
    subprocess.run(["spin", "-a", *define, model], cwd=work, check=True)
    subprocess.run([*COMPILE, "-o", "pan", "pan.c"], cwd=work, check=True)
    return os.path.join(work, "pan")


def search(program):
    """Runs the search; returns what it found."""
    start = time.monotonic()
    ran = subprocess.run([program, f"-m{DEPTH}", "-w24"], check=True,
                         cwd=os.path.dirname(program), text=True,
                         stdout=subprocess.PIPE)
    failed = re.search(r"pan:1: (.*) \(at depth (\d+)\)", ran.stdout)
    return {
        "errors": int(re.search(r"errors: (\d+)", ran.stdout)[1]),
        "failed": failed and failed[1],
        "steps": failed and int(failed[2]),
        "states": int(re.search(r"(\d+) states, stored", ran.stdout)[1]),
        "transitions": int(re.search(r"(\d+) transitions", ran.stdout)[1]),
        "depth": int(re.search(r"depth reached (\d+)", ran.stdout)[1]),
        "whole": "max search depth" not in ran.stdout
                 and "Search not completed" not in ran.stdout,
        "unreached": [line for line in re.findall(r"state \d+, (.*)",
                                                  ran.stdout)
                      if line != '"-end-"'],
        "seconds": time.monotonic() - start,
    }


def judge_whole(found):
    """Why the whole protocol does not pass; None if it does."""
    if found["errors"]:
        return f"the protocol fails: {found['failed']}"
    if not found["whole"]:
        return "the search was cut short"
    if found["unreached"]:
        return f"never reached: {found['unreached']}"
    return None


def judge_mutant(found):
    """Why a protocol without a rule does not pass as broken."""
    if not found["failed"] or "assertion violated" not in found["failed"]:
        return "no counterexample: the model cannot see this rule"
    return None


def main(model, work):
    problems = []
    for rule in (None, *MUTANTS):
        name = f"without rule {rule}" if rule else "all rules"
        directory = os.path.join(work, rule or "all")
        switch = f"NO_RULE_{rule}" if rule else None
        found = search(build(model, directory, switch))
        problem = judge_mutant(found) if rule else judge_whole(found)
        print(f"{name}: {found['states']} states, {found['transitions']} "
              f"transitions, depth {found['depth']}, "
              f"{found['seconds']:.1f} s")
        if found["failed"]:
            print(f"    fails after {found['steps']} steps: {found['failed']}")
        if problem:
            problems.append(f"{name}: {problem}")
            print(f"    WRONG: {problem}")
        sys.stdout.flush()
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])))
