#!/usr/bin/env python3
"""Trains the ranker of the builtin SQL generator and writes src/text_to_sql/generate/builtin/ranker.bin.

    scripts/train-ranker.py SPIDER PROGRAM [--apart DATABASE,…] [--check]

SPIDER is a folder with questions.json (objects with db_id, question and query) and database/NAME/NAME.sqlite, in the
form of Spider (Yu et al. 2018, CC BY-SA 4.0: so the weights are too). PROGRAM is the built bench that writes the
numbers of drafts: `cargo bench --no-run --bench ranker`. The databases after --apart are neither trained on nor
looked at; --check scores them once, after everything. Same inputs, same weights: seeds are fixed and threads are one,
and a draft that runs for longer than a second counts as wrong, so a slow machine may differ.

The weights in the repository leave out cinema, company_office, customers_card_transactions, election, gymnast,
insurance_and_eClaims, network_2, program_share, sports_competition and wrestler.

Needs Python 3.11 or later with the packages in train-ranker.txt beside this file.
"""

import argparse
import collections
import itertools
import json
import pathlib
import re
import sqlite3
import struct
import subprocess
import tempfile
import time

import lightgbm
import numpy

ROWS = 100  # as many as drafts are compared by when the product runs them
SECONDS = 1.0  # for one draft
SAMPLES = 1000  # distinct values of a text column
FOLDS = 10
TREES = 220
SEEDS = (1, 2, 3)  # the mean of several models is steadier than any
SETTINGS = {
    "objective": "binary", "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 40, "feature_fraction": 0.5,
    "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 5.0, "max_bin": 63, "deterministic": True,
    "force_row_wise": True, "num_threads": 1, "verbose": -1,
}
HELD = 0.75  # what the product gives at most to drafts that it asks back about, or that leave part of the question unread
WEIGHTS = pathlib.Path(__file__).parent.parent / "src/text_to_sql/generate/builtin/ranker.bin"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("spider", type=pathlib.Path)
    arguments.add_argument("program")
    arguments.add_argument("--apart", default="", help="databases to leave out, separated by commas")
    arguments.add_argument("--check", action="store_true", help="score the databases that were left out")
    options = arguments.parse_args()
    apart = set(filter(None, options.apart.split(",")))
    questions = json.loads((options.spider / "questions.json").read_text())
    own = [question for question in questions if question["db_id"] not in apart]
    sets = collect(options, own)
    report("cross-validated by database", own, sets, validated(own, sets))
    models = [trained(own, sets, kind) for kind in range(2)]
    WEIGHTS.write_bytes(b"".join(packed(model) for model in models))
    print(f"{WEIGHTS.name}: {WEIGHTS.stat().st_size} bytes")
    if options.check:
        left = [question for question in questions if question["db_id"] in apart]
        sets = collect(options, left)
        scores = [[model.predict(matrix(entry, kind)) if entry else [] for entry in sets]
                  for kind, model in enumerate(models)]
        report("databases left out", left, sets, scores)


def collect(options, questions):
    """For each question, its drafts with their numbers, whether each is right, and which results are the same."""
    databases = {name: Database(options.spider, name) for name in {question["db_id"] for question in questions}}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        schemas = {name: database.schema() for name, database in databases.items()}
        (folder / "schemas.json").write_text(json.dumps(schemas))
        (folder / "questions.json").write_text(json.dumps(questions))
        program = [options.program, folder / "schemas.json", folder / "questions.json"]
        subprocess.run([*program, folder / "drafts.json"], check=True)
        drafts = json.loads((folder / "drafts.json").read_text())
        ran = []
        for question, entries in zip(questions, drafts):
            database = databases[question["db_id"]]
            gold = database.run(question["query"], 5.0)
            ordered = orders(question["query"])
            for entry in entries:
                rows = database.run(entry["sql"], SECONDS)
                entry["right"] = same(rows, gold, ordered)
                entry["result"] = None if rows is None else print_of(rows)
            ran.append([first_rows(database.run(entry["sql"], SECONDS)) for entry in entries])
        (folder / "rows.json").write_text(json.dumps(ran))
        subprocess.run([*program, folder / "ran.json", folder / "rows.json"], check=True)
        for entries, others in zip(drafts, json.loads((folder / "ran.json").read_text())):
            for entry, other in zip(entries, others):
                assert entry["sql"] == other["sql"]
                entry["numbers"] = [entry.pop("features"), other["features"]]
    return drafts


class Database:
    def __init__(self, spider, name):
        path = spider / "database" / name / f"{name}.sqlite"
        self.connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self.connection.text_factory = lambda text: text.decode("utf8", "replace")
        self.known = {}

    def run(self, sql, seconds):
        if sql not in self.known:
            end = time.monotonic() + seconds
            self.connection.set_progress_handler(lambda: time.monotonic() > end, 100_000)
            try:
                self.known[sql] = self.connection.execute(sql).fetchall()
            except sqlite3.Error:
                self.known[sql] = None
            self.connection.set_progress_handler(None, 0)
        return self.known[sql]

    def schema(self):
        names = [name for (name,) in self.connection.execute(
            "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'")]
        return {"engine": "sqlite", "search_path": ["main"], "tables": [self.table(name, names) for name in names]}

    def table(self, name, names):
        ask = lambda sql: self.connection.execute(sql).fetchall()
        columns, key = [], []
        for _, column, declared, required, _, place in ask(f'pragma table_info("{name}")'):
            columns.append({
                "name": column, "data_type": declared or "", "kind": kind_of(declared or ""), "description": None,
                "nullable": not required and not place, "sample_values": self.samples(name, column, declared or ""),
            })
            key += [(place, column)] if place else []
        known = {other.lower(): other for other in names}
        keys = collections.defaultdict(list)
        for row in ask(f'pragma foreign_key_list("{name}")'):
            keys[row[0]].append(row)
        foreign = [{
            "columns": [row[3] for row in sorted(rows, key=lambda row: row[1])], "referenced_schema": "main",
            "referenced_table": known[rows[0][2].lower()], "referenced_columns": [row[4] for row in rows if row[4]],
        } for _, rows in sorted(keys.items()) if rows[0][2].lower() in known]
        indexes = [{
            "name": row[1], "unique": bool(row[2]),
            "columns": [part[2] for part in ask(f'pragma index_info("{row[1]}")') if part[2]],
        } for row in ask(f'pragma index_list("{name}")')]
        return {
            "id": "00000000-0000-0000-0000-000000000000", "schema": "main", "name": name, "kind": "table",
            "description": None, "columns": columns, "primary_key": [column for _, column in sorted(key)],
            "foreign_keys": foreign, "indexes": indexes,
            "row_count": ask(f'select count(*) from "{name}"')[0][0],
        }

    def samples(self, table, column, declared):
        if kind_of(declared) != "text":
            return []
        values = [str(value) for (value,) in self.connection.execute(
            f'select "{column}" from "{table}" where "{column}" is not null group by 1 order by count(*) desc, 1 '
            f'limit {SAMPLES + 1}')]
        return [] if len(values) > SAMPLES else [value for value in values if len(value) <= 80]


def kind_of(declared):
    declared = declared.lower()
    words = [("bool", "boolean"), ("datetime|timestamp", "timestamp"), ("^date", "date"), ("int", "integer"),
             ("char|text|clob", "text"), ("real|num|dec|float|double|money", "decimal"), ("year", "integer"),
             ("^$|^time$", "text"), ("blob", "binary")]
    return next((kind for word, kind in words if re.search(word, declared)), "other")


def first_rows(rows):
    plain = lambda value: value if value is None or isinstance(value, (int, float, str)) else repr(value)
    return None if rows is None else [[plain(value) for value in row] for row in rows[:ROWS]]


def cell(value):
    return round(value, 4) if isinstance(value, float) else value


def print_of(rows):
    return repr(sorted(repr(sorted(repr(cell(value)) for value in row)) for row in rows))


def same(rows, gold, ordered):
    """Rows as multisets, or in order where the question's SQL orders them; the order of columns is free."""
    if rows is None or gold is None or len(rows) != len(gold):
        return False
    if not rows:
        return True
    if len(rows[0]) != len(gold[0]):
        return False
    rows = [tuple(map(cell, row)) for row in rows]
    gold = [tuple(map(cell, row)) for row in gold]
    equal = lambda one, two: one == two if ordered else collections.Counter(one) == collections.Counter(two)
    width = range(len(rows[0]))
    counted = lambda table, at: collections.Counter(repr(row[at]) for row in table)
    ours, theirs = [counted(rows, at) for at in width], [counted(gold, at) for at in width]
    fits = [[at for at in width if ours[at] == theirs[other]] for other in width]
    for places in itertools.islice(itertools.product(*fits), 500):
        if len(set(places)) == len(places) and equal([tuple(row[at] for at in places) for row in rows], gold):
            return True
    return False


def orders(sql):
    """Whether a statement orders its rows at the top."""
    depth = 0
    for part in re.finditer(r"""\(|\)|\border\s+by\b|'[^']*'|"[^"]*\"""", sql, re.I):
        text = part.group(0)
        depth += {"(": 1, ")": -1}.get(text, 0)
        if depth == 0 and text.lower().startswith("order"):
            return True
    return False


def matrix(entries, kind):
    return numpy.array([entry["numbers"][kind] for entry in entries], dtype=numpy.float32)


def trained(questions, sets, kind, chosen=None):
    entries = [entry for question, entries in zip(questions, sets) if chosen is None or question["db_id"] in chosen
               for entry in entries]
    labels = [float(entry["right"]) for entry in entries]
    numbers = matrix(entries, kind)
    return Mean([lightgbm.train({**SETTINGS, "seed": seed}, lightgbm.Dataset(numbers, labels), TREES) for seed in SEEDS])


class Mean:
    """Models whose log odds are averaged."""

    def __init__(self, models):
        self.models = models

    def predict(self, numbers):
        odds = sum(model.predict(numbers, raw_score=True) for model in self.models) / len(self.models)
        return 1 / (1 + numpy.exp(-odds))


def validated(questions, sets):
    """For both kinds of numbers, each draft's probability by a model that saw no question of its database."""
    names = sorted({question["db_id"] for question in questions})
    folds = [set(names[at::FOLDS]) for at in range(FOLDS)]
    scores = []
    for kind in range(2):
        models = [(fold, trained(questions, sets, kind, set(names) - fold)) for fold in folds]
        model_of = {name: model for fold, model in models for name in fold}
        scores.append([model_of[question["db_id"]].predict(matrix(entries, kind)) if entries else []
                       for question, entries in zip(questions, sets)])
    return scores


def report(title, questions, sets, scores):
    total = len(questions)
    print(f"{title}: {total} questions")
    print(f"  any of {max(map(len, sets))}: {100 * sum(any(e['right'] for e in entries) for entries in sets) / total:.1f} %")
    for name, of_kind in zip(("before running", "after running"), scores):
        best = []
        for entries, values in zip(sets, of_kind):
            values = [min(value, HELD) if entry["held"] else value for entry, value in zip(entries, values)]
            order = sorted(range(len(entries)), key=lambda at: -values[at])
            results, right = [], False
            for at in order:
                if entries[at]["result"] is not None and entries[at]["result"] not in results and len(results) < 3:
                    results.append(entries[at]["result"])
                    right |= entries[at]["right"]
            first = (values[order[0]], entries[order[0]]["right"]) if entries else (0.0, False)
            best.append((*first, right))
        print(f"  {name}: first {100 * sum(b[1] for b in best) / total:.1f} %, "
              f"among three results {100 * sum(b[2] for b in best) / total:.1f} %")
        for least in (0.3, 0.5, 0.6, 0.7, 0.76, 0.8, 0.85, 0.9):
            sure = [b for b in best if b[0] >= least]
            precision = 100 * sum(b[1] for b in sure) / max(1, len(sure))
            print(f"    from {least:.2f}: {100 * len(sure) / total:.1f} % answered, {precision:.1f} % of them right")


def packed(mean):
    """The trees as src/text_to_sql/generate/builtin/ranker.rs reads them: their leaves add up to the mean."""
    trees = [tree["tree_structure"] for model in mean.models for tree in model.dump_model()["tree_info"]]
    return struct.pack("<H", len(trees)) + b"".join(packed_tree(tree, len(mean.models)) for tree in trees)


def packed_tree(root, models):
    splits, leaves = [], []

    def place(node):
        if "leaf_value" in node:
            leaves.append(node["leaf_value"] / models)
            return -len(leaves)
        at = len(splits)
        splits.append(None)
        left, right = place(node["left_child"]), place(node["right_child"])
        splits[at] = struct.pack("<Hfhh", node["split_feature"], below(node["threshold"]), left, right)
        return at

    place(root)
    return struct.pack("<H", len(splits)) + b"".join(splits) + struct.pack(f"<{len(leaves)}f", *leaves)


def below(threshold):
    """The largest number of 32 bits that is no larger: what went left still does."""
    rounded = numpy.float32(threshold)
    return rounded if rounded <= threshold else numpy.nextafter(rounded, numpy.float32(-numpy.inf))


if __name__ == "__main__":
    main()
