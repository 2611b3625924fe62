#!/usr/bin/env python3
"""The statements of benches/guard.rs through sqlglot: parse and qualify, with the same schemas, in the same run.

    pip install 'sqlglot[rs]==30.30.0'
    python benches/peers/guard.py                    # runs `cargo bench --bench guard` first
    python benches/peers/guard.py --measured FILE    # what `cargo bench --bench guard -- --json FILE` wrote

sqlglot's time is CPU time on one thread, the guard's is what a caller waits for. Statements that sqlglot does not parse or
qualify are left out on both sides and counted.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import sqlglot
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

ROUNDS = 15
DIALECTS = {"postgres": "postgres", "mysql": "mysql", "sqlite": "sqlite", "mssql": "tsql"}
ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--measured", help="the guard's own figures, as JSON")
    print(f"sqlglot {sqlglot.__version__}; medians in microseconds\n")
    print("dialect   tables  statements  not qualified   guard  sqlglot  ratio  CPU ratio")
    for case in measured(arguments.parse_args().measured):
        report(case)


def measured(file):
    if file:
        return json.loads(pathlib.Path(file).read_text())
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "guard.json")
        command = ["cargo", "bench", "--bench", "guard", "--", "--json", file]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return json.loads(file.read_text())


def report(case):
    dialect = DIALECTS[case["dialect"]]
    schema = MappingSchema(case["tables"], dialect=dialect)
    ours, theirs = [], []
    for statement in case["statements"]:
        took = microseconds(statement["sql"], dialect, schema)
        if took is not None:
            ours.append(statement["microseconds"])
            theirs.append(took)
    guard, peer = statistics.median(ours), statistics.median(theirs)
    cpu = statistics.mean(theirs) / case["cpu_microseconds"]
    left_out = len(case["statements"]) - len(ours)
    print(
        f"{case['dialect']:<8} {len(case['tables']):>7} {len(case['statements']):>11} {left_out:>14} "
        f"{guard:>7.1f} {peer:>8.1f} {peer / guard:>6.1f} {cpu:>10.1f}",
        flush=True,
    )


def microseconds(sql, dialect, schema):
    """The median of some rounds, or nothing if sqlglot cannot."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        try:
            qualify(sqlglot.parse_one(sql, dialect=dialect), schema=schema, dialect=dialect)
        except SqlglotError:
            return None
        times.append((time.process_time_ns() - start) / 1000)
    return statistics.median(times)


main()
