#!/usr/bin/env python3
"""Where the processor time of a bulk load goes: inside of which functions of which processes.

    cargo rustc --release --bin almanac -- -C strip=none
    benches/where_time_goes.py target/release/almanac [--documents 100] [--sections 12]

Starts the executable on a data folder of its own (embedded PostgreSQL, local model), uploads Markdown documents whose
sections are made of the words of the sample documents, and samples all processors with `perf record` (Linux) until all
are indexed. Counted are the server, its child processes and PostgreSQL; what else the machine does is not. Needs a binary
with symbols.
"""

import argparse
import collections
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

from ingest import KEY, ROOT, Client

# Names of functions, most special first: the products of the `gemm` crate, the rest of a layer, and what surrounds them.
KINDS = [
    ("matrix products", re.compile(r"gemm|matmul|multiply")),
    ("softmax, activation, normalisation", re.compile(r"pulp::|kernels::|local::bert")),
]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("almanac", type=pathlib.Path)
    arguments.add_argument("--documents", type=int, default=100)
    arguments.add_argument("--sections", type=int, default=12, help="of some 200 words each")
    given = arguments.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="almanac-profile-"))
    folder.chmod(0o711)
    environment = os.environ | {
        "ALMANAC_BIND": "127.0.0.1:0",
        "ALMANAC_DATA_DIR": str(folder / "data"),
        "ALMANAC_ADMIN_KEY": KEY,
        "ALMANAC_LOG": "error",
    }
    server = subprocess.Popen([given.almanac.resolve(), "serve"], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        measure(Client(folder / "data"), given, folder / "perf.data")
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def measure(client, given, samples):
    base = client.post("/v1/knowledge-bases", {"name": "profile"})["id"]
    words = " ".join(path.read_text() for path in sorted((ROOT / "fixtures/documents").glob("*.md"))).split()
    chance = random.Random(7)
    perf = subprocess.Popen(["perf", "record", "-q", "-a", "-F", "499", "-o", str(samples)], stderr=subprocess.DEVNULL)
    for number in range(given.documents):
        sections = (" ".join(chance.choices(words, k=200)) for _ in range(given.sections))
        content = "\n\n".join(f"# Part {part}\n\n{section}" for part, section in enumerate(sections))
        client.post(f"/v1/knowledge-bases/{base}/documents", {"content": content, "content_type": "text/markdown", "external_id": str(number)})
    while (counts := client.get(f"/v1/knowledge-bases/{base}")["document_counts"])["indexed"] < given.documents:
        assert counts["failed"] == 0, counts
        time.sleep(0.2)
    perf.send_signal(signal.SIGINT)
    perf.wait()
    chunks = client.get(f"/v1/knowledge-bases/{base}")["chunk_count"]
    shares = count(samples)
    total = sum(shares.values())
    print(f"{given.documents} documents, {chunks} chunks, {total} samples")
    for kind, found in shares.most_common():
        print(f"  {100 * found / total:5.1f} %  {kind}")


def count(samples):
    script = subprocess.run(
        ["perf", "script", "-i", str(samples), "-F", "comm,ip,sym"], capture_output=True, text=True, check=True
    )
    shares = collections.Counter()
    for line in script.stdout.splitlines():
        comm, _, function = line.strip().partition(" ")
        if kind := kind_of(comm, function):
            shares[kind] += 1
    return shares


def kind_of(comm, function):
    if comm.startswith("postgres"):
        return "PostgreSQL"
    if not re.match(r"almanac|tokio|embedder", comm):
        return None
    return next((kind for kind, names in KINDS if names.search(function)), "the rest of Almanac")


if __name__ == "__main__":
    main()
