#!/usr/bin/env python3
"""Pages a second of the extraction worker and of pdftotext (Debian: poppler-utils), over the PDF files in a folder.

    python benches/peers/pdf.py FOLDER [--worker target/release/almanac] [--rounds 3]

Both are started anew for every file, and their start counts. The worker gets the file through a pipe, as from the server,
pdftotext reads it itself. Only files that both read count. The two take turns; a file's time is the least of its rounds,
in processor time (user and system, of all threads) and on the clock.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

CPU_SECONDS = 30
MEMORY_BYTES = 2 << 30


def timed(command, sent, env):
    """What it printed, its status, its processor time and its time on the clock."""
    started = time.perf_counter()
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    )
    try:
        child.stdin.write(sent)
        child.stdin.flush()
    except BrokenPipeError:
        pass
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    # Popen must not wait for a child that is gone.
    child.returncode = os.waitstatus_to_exitcode(status)
    try:
        child.stdin.close()
    except BrokenPipeError:
        pass
    child.stdout.close()
    return printed, child.returncode, usage.ru_utime + usage.ru_stime, wall


def worker(executable, path):
    """Pages (none: not read), processor time, time on the clock."""
    data = path.read_bytes()
    request = {
        "content_type": "application/pdf",
        "options": {},
        "memory_bytes": MEMORY_BYTES,
        "cpu_seconds": CPU_SECONDS,
        "file_bytes": len(data),
    }
    sent = json.dumps(request).encode() + b"\n" + data
    printed, _, cpu, wall = timed([executable, "extract-worker"], sent, {"MALLOC_ARENA_MAX": "2"})
    head = json.loads(printed.partition(b"\n")[0] or b"{}")
    return len(head["Ok"]["pages"]) if "Ok" in head else None, cpu, wall


def pdftotext(path):
    _, status, cpu, wall = timed(["pdftotext", "-enc", "UTF-8", str(path), "-"], b"", None)
    return status == 0, cpu, wall


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=pathlib.Path)
    options.add_argument("--worker", default="target/release/almanac")
    options.add_argument("--rounds", type=int, default=3)
    options = options.parse_args()
    pages, files, ours, theirs = 0, 0, [0.0, 0.0], [0.0, 0.0]
    for path in sorted(options.folder.rglob("*.pdf")):
        a = [worker(options.worker, path)]
        # What is refused here may keep pdftotext busy for minutes.
        b = [pdftotext(path)] if a[0][0] else []
        if not b or not b[0][0]:
            continue
        for _ in range(options.rounds - 1):
            a.append(worker(options.worker, path))
            b.append(pdftotext(path))
        pages, files = pages + a[0][0], files + 1
        for kind in (0, 1):
            ours[kind] += min(run[kind + 1] for run in a)
            theirs[kind] += min(run[kind + 1] for run in b)
    if not files:
        sys.exit("no file that both read")
    print(f"{pages} pages in {files} files, least of {options.rounds} rounds")
    for kind, name in enumerate(["processor", "clock"]):
        rates = pages / ours[kind], pages / theirs[kind]
        print(f"pages a second of {name} time: worker {rates[0]:.0f}, pdftotext {rates[1]:.0f}: {rates[0] / rates[1]:.2f} times")


if __name__ == "__main__":
    main()
