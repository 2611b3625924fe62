#!/usr/bin/env python3
"""Memory and speed of a server that ingests one very large file and a thousand mixed documents.

    benches/ingest.py target/release/almanac [--documents 1000] [--megabytes 200]

Starts the given executable on a data folder of its own (embedded PostgreSQL, local model), uploads a PDF of the given size
and copies of the sample documents with a line of their own each, waits until all are in a terminal state, and prints
documents a second, the states, and the peak memory (VmHWM) of the server's own process. Files are made under a temporary
folder and removed. Needs nothing but Python.
"""

import argparse
import http.client
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEY = "ingest-benchmark-administration-key"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("almanac", type=pathlib.Path)
    arguments.add_argument("--documents", type=int, default=1000)
    arguments.add_argument("--megabytes", type=int, default=200)
    given = arguments.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="almanac-ingest-"))
    folder.chmod(0o711)
    environment = os.environ | {
        "ALMANAC_BIND": "127.0.0.1:0",
        "ALMANAC_DATA_DIR": str(folder / "data"),
        "ALMANAC_ADMIN_KEY": KEY,
        "ALMANAC_MAX_UPLOAD_MB": str(given.megabytes + 50),
        "ALMANAC_LOG": "error",
    }
    server = subprocess.Popen([given.almanac.resolve(), "serve"], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        measure(Client(folder / "data"), server, given, folder)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def measure(client, server, given, folder):
    print(f"peak memory after the start: {peak(server)} MB")
    base = client.post("/v1/knowledge-bases", {"name": "ingest"})["id"]
    began = time.monotonic()
    large = folder / "large.pdf"
    make_large_pdf(large, given.megabytes)
    client.upload(base, "large.pdf", large)
    large.unlink()
    print(f"{given.megabytes} MB uploaded in {time.monotonic() - began:.1f} s, peak memory {peak(server)} MB")
    samples = sorted(path for path in (ROOT / "fixtures").glob("documents*/*") if path.is_file())
    began = time.monotonic()
    for number in range(given.documents):
        sample = samples[number % len(samples)]
        client.upload(base, f"{number}-{sample.name}", sample, external_id=str(number))
    print(f"{given.documents} documents uploaded in {time.monotonic() - began:.1f} s, peak memory {peak(server)} MB")
    while True:
        state = client.get(f"/v1/knowledge-bases/{base}")
        counts = state["document_counts"]
        if counts["uploaded"] + counts["processing"] == 0:
            break
        time.sleep(0.5)
    seconds = time.monotonic() - began
    print(f"{counts['indexed']} indexed, {counts['failed']} failed, {state['chunk_count']} chunks in {seconds:.1f} s: "
          f"{(given.documents + 1) / seconds:.1f} documents/s, {state['chunk_count'] / seconds:.1f} chunks/s")
    for failed in client.get(f"/v1/knowledge-bases/{base}/documents?status=failed&limit=5")["data"]:
        print(f"  failed: {failed['title']}: {failed['error']['code']}: {failed['error']['detail']}")
    print(f"peak memory of the server: {peak(server)} MB")


def peak(process):
    """VmHWM of a process, in MB."""
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    return 0


def make_large_pdf(path, megabytes):
    """One page with a sentence, and a picture that fills the file."""
    size = megabytes * 1_000_000
    width = 1000
    height = size // (width * 3)
    text = b"BT /F1 12 Tf 72 700 Td (The largest document of them all says that the mast is twelve metres high.) Tj ET"
    noise = random.Random(7).randbytes(1 << 20)
    with open(path, "wb") as file:
        offsets = []

        def write_object(head, stream=None, length=0):
            offsets.append(file.tell())
            file.write(b"%d 0 obj\n%s\n" % (len(offsets), head))
            if stream is not None:
                file.write(b"stream\n")
                for start in range(0, length, len(stream)):
                    file.write(stream[: min(len(stream), length - start)])
                file.write(b"\nendstream\n")
            file.write(b"endobj\n")

        file.write(b"%PDF-1.4\n")
        write_object(b"<< /Type /Catalog /Pages 2 0 R >>")
        write_object(b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>")
        write_object(b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
                     b"/Resources << /Font << /F1 6 0 R >> /XObject << /I1 5 0 R >> >> >>")
        write_object(b"<< /Length %d >>" % len(text), text, len(text))
        length = width * height * 3
        write_object(b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceRGB "
                     b"/BitsPerComponent 8 /Length %d >>" % (width, height, length), noise, length)
        write_object(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
        start = file.tell()
        file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(offsets) + 1))
        file.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
        file.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(offsets) + 1, start))


class Client:
    def __init__(self, data):
        address = data / "server.url"
        end = time.monotonic() + 60
        while not (address.exists() and address.read_text()):
            if time.monotonic() > end:
                raise SystemExit("the server does not start")
            time.sleep(0.1)
        self.address = urllib.parse.urlparse(address.read_text()).netloc
        self.headers = {"Authorization": f"Bearer {KEY}"}

    def get(self, path):
        return self.answer("GET", path, None, self.headers)

    def post(self, path, body):
        return self.answer("POST", path, json.dumps(body), self.headers | {"Content-Type": "application/json"})

    def upload(self, base, name, path, external_id=None):
        boundary = uuid.uuid4().hex
        head = ""
        if external_id:
            head += f'--{boundary}\r\nContent-Disposition: form-data; name="external_id"\r\n\r\n{external_id}\r\n'
        head += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        tail = f"\r\n--{boundary}--\r\n"

        def body():
            yield head.encode()
            with open(path, "rb") as file:
                while piece := file.read(1 << 20):
                    yield piece
            yield tail.encode()

        length = len(head.encode()) + path.stat().st_size + len(tail)
        headers = self.headers | {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(length),
        }
        return self.answer("POST", f"/v1/knowledge-bases/{base}/documents", body(), headers)

    def answer(self, method, path, body, headers):
        connection = http.client.HTTPConnection(self.address, timeout=300)
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        if response.status >= 300:
            raise SystemExit(f"{method} {path}: {response.status} {text.decode()}")
        return json.loads(text)


if __name__ == "__main__":
    main()
