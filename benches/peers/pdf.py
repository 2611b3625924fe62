#!/usr/bin/env python3
"""Pages a second of the extraction worker and of pdftotext (Debian: poppler-utils), over the PDF files in a folder.

    python benches/peers/pdf.py FOLDER [--worker target/release/almanac] [--rounds 3]

The worker is used as the server uses it: a process that is started once a round and forks for every file, which it gets
through a pipe; its start counts. pdftotext is a program for one file, and is started for each, which it reads itself. Only
files that both read count. The two take turns; what counts is the least of the rounds, in processor time (user and
system, of all processes) and on the clock.
"""

import argparse
import pathlib
import resource
import subprocess
import sys
import time

sys.path.append(str(pathlib.Path(__file__).parents[2] / "scripts"))
import extract_worker


def pages(executable, path):
    """How many pages the worker reads; none when it refuses the file, or pdftotext does."""
    worker = extract_worker.Worker(executable)
    head, _ = worker.read("application/pdf", path.read_bytes())
    worker.end()
    # What is refused here may keep pdftotext busy for minutes.
    is_read = head and "Ok" in head and subprocess.run(["pdftotext", path, "-"], capture_output=True).returncode == 0
    return len(head["Ok"]["pages"]) if is_read else 0


def with_worker(executable, files):
    worker = extract_worker.Worker(executable)
    for data in files.values():
        worker.read("application/pdf", data)
    worker.end()


def with_pdftotext(files):
    for path in files:
        subprocess.run(["pdftotext", "-enc", "UTF-8", path, "-"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def timed(work):
    """Processor time of the children that `work` starts and waits for, and time on the clock."""
    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before, started = used(), time.perf_counter()
    work()
    return used() - before, time.perf_counter() - started


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=pathlib.Path)
    options.add_argument("--worker", default="target/release/almanac")
    options.add_argument("--rounds", type=int, default=3)
    options = options.parse_args()
    counts = {path: pages(options.worker, path) for path in sorted(options.folder.rglob("*.pdf"))}
    files = {path: path.read_bytes() for path, count in counts.items() if count}
    if not files:
        sys.exit("no file that both read")
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(timed(lambda: with_worker(options.worker, files)))
        theirs.append(timed(lambda: with_pdftotext(files)))
    count = sum(counts.values())
    print(f"{count} pages in {len(files)} files, least of {options.rounds} rounds")
    for kind, name in enumerate(["processor", "clock"]):
        rates = [count / min(round[kind] for round in rounds) for rounds in (ours, theirs)]
        print(f"pages a second of {name} time: worker {rates[0]:.0f}, pdftotext {rates[1]:.0f}: {rates[0] / rates[1]:.2f} times")


if __name__ == "__main__":
    main()
