#!/usr/bin/env python3
"""Introspection by Almanac beside SQLAlchemy's reflection, of a thousand tables on PostgreSQL and on SQLite.

    pip install -r benches/peers/requirements-introspection.txt
    python benches/peers/introspection.py --postgres URL [--tables N] [--ours PATH] [--rounds N] [--json FILE]

URL is of a PostgreSQL where the login may make databases (`almanac postgres` prints one): one is made, and dropped at
the end. Every table has twenty columns, a primary key, a foreign key to the table before it, a unique and a plain index,
a list of allowed values, and on PostgreSQL a comment on every column; a hundred rows each.

Both sides have a connection before the clock starts, and forget what they know between two times. SQLAlchemy's
`MetaData.reflect()` reads no values; ours is measured without and with them. Processor time is that of the program; on
PostgreSQL the server's is shown beside it, if the server is on this machine; for ours it is the mean of both kinds.
Medians over the rounds, in turn.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import psycopg
import sqlalchemy

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATABASE = "almanac_introspection_bench"
ROWS = 100
REPETITIONS = 3


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--postgres", metavar="URL", help="only SQLite is measured without it")
    options.add_argument("--tables", type=int, default=1000, metavar="N")
    options.add_argument("--ours", metavar="PATH", help="the benchmark's program, if it is built already")
    options.add_argument("--rounds", type=int, default=3, metavar="N")
    options.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all figures there too")
    chosen = options.parse_args()
    ours = [chosen.ours] if chosen.ours else ["cargo", "bench", "--quiet", "--bench", "introspection", "--"]
    report = {"machine": machine(), "tables": chosen.tables, "databases": []}
    with tempfile.TemporaryDirectory(prefix="almanac-peers-") as folder:
        databases = [Sqlite(pathlib.Path(folder) / "many.db")]
        if chosen.postgres:
            databases.append(Postgres(chosen.postgres))
        for database in databases:
            try:
                note(f"{database.name}: making {chosen.tables} tables")
                database.fill(chosen.tables)
                report["databases"].append(compare(database, ours, chosen.rounds))
            finally:
                database.drop()
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(markdown(report))


def compare(database, ours, rounds):
    found = {"SQLAlchemy": [], "without_samples": [], "with_samples": []}
    for at in range(rounds):
        note(f"{database.name}: round {at + 1} of {rounds}")
        counts, times = database.watched(lambda: introspect(ours, database.ours()), 2 * (REPETITIONS + 1))
        for kind in ("without_samples", "with_samples"):
            found[kind].append(counts.pop(kind) | times)
        reflected, times = database.watched(lambda: reflect(database), 1)
        found["SQLAlchemy"].append(reflected.pop("times") | times)
        same = {key: (counts[key], reflected[key]) for key in reflected}
        if any(mine != theirs for mine, theirs in same.values()):
            sys.exit(f"introspection: they found different things: {same}")
    medians = {kind: median(times) for kind, times in found.items()}
    return {"name": database.name, "version": database.version, "found": counts, "times": medians}


def introspect(ours, url):
    done = subprocess.run([*ours, url, str(REPETITIONS)], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def reflect(database):
    engine = sqlalchemy.create_engine(database.theirs())
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("select 1"))
        wall, processor = time.perf_counter(), time.process_time()
        metadata = sqlalchemy.MetaData()
        metadata.reflect(connection)
        times = {"wall_s": time.perf_counter() - wall, "processor_s": time.process_time() - processor}
    engine.dispose()
    tables = metadata.tables.values()
    return {
        "times": times,
        "tables": len(tables),
        "columns": sum(len(table.columns) for table in tables),
        "foreign_keys": sum(len(table.foreign_key_constraints) for table in tables),
    }


def median(times):
    return {key: statistics.median(each[key] for each in times) for key in times[0]}


class Sqlite:
    name = "SQLite"
    version = None

    def __init__(self, path):
        self.path = path

    def ours(self):
        return f"sqlite:{self.path}"

    def theirs(self):
        return f"sqlite:///{self.path}"

    def fill(self, tables):
        import sqlite3

        self.version = sqlite3.sqlite_version + " in Python"
        with sqlite3.connect(self.path) as connection:
            for number in range(tables):
                create(connection.execute, number)

    def drop(self):
        pass

    def watched(self, work, _):
        """SQLite runs in the program that asks."""
        return work(), {"server_s": 0.0}


class Postgres:
    name = "PostgreSQL"

    def __init__(self, url):
        self.server = url
        with psycopg.connect(url, autocommit=True) as connection:
            self.version = connection.execute("show server_version").fetchone()[0]
            self.postmaster = parent(connection.info.backend_pid)
            connection.execute(f"drop database if exists {DATABASE}")
            connection.execute(f"create database {DATABASE}")
            self.place = psycopg.conninfo.conninfo_to_dict(url) | {"dbname": DATABASE}

    def ours(self):
        part = {name: self.place.get(name) for name in ("user", "password", "host", "port", "dbname")}
        return sqlalchemy.URL.create(
            "postgresql", part["user"], part["password"], database=part["dbname"], query=query(part)
        ).render_as_string(hide_password=False)

    def theirs(self):
        return self.ours().replace("postgresql:", "postgresql+psycopg:", 1)

    def fill(self, tables):
        with psycopg.connect(**self.place) as connection:
            for number in range(tables):
                create(connection.execute, number)
                for column in columns():
                    connection.execute(f"comment on column t{number}.{column} is 'What {column} says'")
        with psycopg.connect(**self.place, autocommit=True) as connection:
            connection.execute("vacuum analyze")

    def drop(self):
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"drop database if exists {DATABASE} (force)")

    def watched(self, work, times):
        """With what the server's processes needed for one of `times` times."""
        before = server_seconds(self.postmaster)
        done = work()
        time.sleep(0.5)  # until the server has noticed that the program is gone
        return done, {"server_s": (server_seconds(self.postmaster) - before) / times}


def query(part):
    return {name: str(part[name]) for name in ("host", "port") if part[name]}


def columns():
    named = ["id", "other", "name", "city", "status", "total", "created", "note"]
    return named + [f"extra_{number}" for number in range(12)]


def create(execute, number):
    """The same text for both engines."""
    extra = ", ".join(f"extra_{at} {'text' if at % 3 == 0 else 'integer'}" for at in range(12))
    execute(
        f"create table t{number} (id integer primary key, other integer references t{max(number - 1, 0)},"
        " name varchar(40) not null, city text, status text check (status in ('open', 'paid', 'late')),"
        f" total numeric(10, 2), created date, note text, {extra})"
    )
    execute(f"create unique index t{number}_name on t{number} (name)")
    execute(f"create index t{number}_city on t{number} (city, created)")
    values = ", ".join(
        f"({row}, null, 'name {row}', 'city {row % 7}', 'open', {row}.5, '2024-01-{1 + row % 28:02}', 'note {row % 3}')"
        for row in range(ROWS)
    )
    execute(f"insert into t{number} (id, other, name, city, status, total, created, note) values {values}")


def parent(pid):
    try:
        return int(fields(pid)[1])
    except OSError:
        return None  # the server is on another machine


def server_seconds(postmaster):
    """Of the server's processes, those that have ended too."""
    if postmaster is None:
        return float("nan")
    ticks = sum(int(field) for field in fields(postmaster)[11:15])
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            found = fields(process.name)
        except OSError:
            continue
        ticks += sum(int(field) for field in found[11:13]) if int(found[1]) == postmaster else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def fields(pid):
    """Of proc_pid_stat(5), from the state on."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def machine():
    return {
        "processors": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "Python": platform.python_version(),
        "SQLAlchemy": sqlalchemy.__version__,
        "psycopg": psycopg.__version__,
    }


def markdown(report):
    lines = [", ".join(f"{name} {value}" for name, value in report["machine"].items()), ""]
    lines += ["| database | reader | s | processor s | server s | SQLAlchemy's time, times this | processor |"]
    lines += ["|---|---|---|---|---|---|---|"]
    names = {"without_samples": "**ours**", "with_samples": "**ours, with sample values**", "SQLAlchemy": "SQLAlchemy"}
    for database in report["databases"]:
        theirs = database["times"]["SQLAlchemy"]
        for kind, name in names.items():
            times = database["times"][kind]
            ratios = [theirs[key] / max(times[key], 0.001) for key in ("wall_s", "processor_s")]
            figures = [f"{times[key]:.3f}" for key in ("wall_s", "processor_s", "server_s")]
            ratios = ["1" if kind == "SQLAlchemy" else f"{ratio:.1f}" for ratio in ratios]
            lines.append("| " + " | ".join([f"{database['name']} {database['version']}", name, *figures, *ratios]) + " |")
    found = report["databases"][0]["found"]
    lines += ["", "Found: " + ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in found.items())]
    return "\n".join(lines)


def note(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
