#!/usr/bin/env python3
"""Scores the text that the worker reads from PDF files against pdftotext (Debian: poppler-utils).

    scripts/score-pdf.py FOLDER [--worker target/release/almanac] [--engine pdfboss] [--worst 20] [--least 0.87]

Every file goes through `almanac extract-worker`, as in the server. The score of a file is the F1 of its
words (runs of letters and digits, in small letters, counted with their repetitions) against those of pdftotext; files in
which pdftotext finds no word do not count. Failures count as no words. Prints the mean, what failed, crashed or hung, what
came out empty, and the worst files. Ends with 1 when the mean is below --least, or a file crashed or hung.
"""

import argparse
import collections
import pathlib
import re
import signal
import subprocess
import sys
import time

import extract_worker

WALL_SECONDS = 60


def words(text):
    return collections.Counter(re.findall(r"\w+", text.lower()))


def f1(found, wanted):
    common = sum((found & wanted).values())
    if not common:
        return 0.0
    precision, recall = common / sum(found.values()), common / sum(wanted.values())
    return 2 * precision * recall / (precision + recall)


def pdftotext(path):
    command = ["pdftotext", "-enc", "UTF-8", str(path), "-"]
    try:
        return subprocess.run(command, capture_output=True, timeout=WALL_SECONDS).stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        return ""


def extract(worker, engine, path):
    """The text and the failure's code; the code of a process that did not answer is `hang` or `crash`."""
    head, text = worker.read("application/pdf", path.read_bytes(), {"pdf_engine": engine})
    if head is None:
        return "", "hang" if worker.end()[0] - 128 in (signal.SIGKILL, signal.SIGXCPU) else "crash"
    return (text, None) if "Ok" in head else ("", head["Err"]["code"])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=pathlib.Path)
    options.add_argument("--worker", default="target/release/almanac")
    options.add_argument("--engine", default="pdfboss", choices=["pdfboss", "pdf-extract"])
    options.add_argument("--worst", type=int, default=20, help="how many of the lowest scores to print")
    options.add_argument("--least", type=float, default=0.87, help="the mean that is asked for")
    options = options.parse_args()
    worker = extract_worker.Worker(options.worker)
    scores, codes, empty, started = [], collections.defaultdict(list), [], time.monotonic()
    for path in sorted(options.folder.rglob("*.pdf")):
        wanted = words(pdftotext(path))
        text, code = extract(worker, options.engine, path)
        name = str(path.relative_to(options.folder))
        codes[code].append(name)
        if not wanted:
            continue
        found = words(text)
        scores.append((f1(found, wanted), name, code, sum(found.values()), sum(wanted.values())))
        if not found and not code:
            empty.append(name)
    mean = sum(score[0] for score in scores) / max(1, len(scores))
    print(f"{sum(map(len, codes.values()))} files in {time.monotonic() - started:.1f} s, {len(scores)} with words")
    for code, names in codes.items():
        print(f"{code or 'read'}: {len(names)}{': ' + ', '.join(names) if code else ''}")
    print(f"empty though pdftotext finds words: {', '.join(empty) or 'none'}")
    print(f"mean token F1: {mean:.4f}")
    for score, name, code, found, wanted in sorted(scores)[: options.worst]:
        print(f"  {score:.3f} {name}: {found} words of {wanted}{f' ({code})' if code else ''}")
    if mean < options.least or "crash" in codes or "hang" in codes or "crashed" in codes or "timeout" in codes:
        sys.exit(1)


if __name__ == "__main__":
    main()
