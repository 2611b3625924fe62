#!/usr/bin/env python3
"""Measures retrieval of a running Almanac on a test collection in BEIR form. It speaks only HTTP.

    ALMANAC_URL=http://127.0.0.1:8080 ALMANAC_API_KEY=… scripts/eval-retrieval.py FOLDER [--json RESULT.json]
    scripts/eval-retrieval.py --self-test

FOLDER holds corpus.jsonl, queries.jsonl and qrels/test.tsv. A new knowledge base is made, every document uploaded with
its corpus id as `external_id`, and every judged question asked in the three modes with a limit of 100 chunks. A document
ranks where its best chunk ranks. Printed for each mode: nDCG@10 with trec_eval's linear gain, recall@100 and MRR, means
over the judged questions, and the time of a search as the client sees it. Questions that find nothing count as 0.

The knowledge base stays for a look afterwards unless --delete is given; --knowledge-base ID measures one that is there
already. Standard library only. docs/evaluation.md says how to read the numbers.
"""

import argparse
import http.client
import json
import math
import os
import pathlib
import statistics
import sys
import threading
import time
import urllib.parse
import uuid
from concurrent.futures import ThreadPoolExecutor

MODES = ("hybrid", "vector", "text")
LIMIT = 100  # the most results that one search gives
TERMINAL = ("indexed", "failed")
ATTEMPTS = 8  # of one request that is answered with 429 or 503, or with nothing
LONGEST_WAIT_S = 60.0


class Failure(Exception):
    """The measurement cannot go on; the message says why."""


class Client:
    """JSON over HTTP with one kept-alive connection a thread; waits as `Retry-After` says."""

    def __init__(self, url, key):
        self.url = urllib.parse.urlsplit(url)
        if self.url.scheme not in ("http", "https") or not self.url.hostname:
            raise Failure(f"ALMANAC_URL is not an http or https address: {url}")
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Accept": "application/json"}
        self.local = threading.local()

    def create(self, path, body):
        """A POST with one idempotency key through all its attempts, so that a lost answer creates nothing twice."""
        return self.call("POST", path, body, {"Idempotency-Key": str(uuid.uuid4())})

    def call(self, method, path, body=None, headers=None):
        """The decoded answer, after as many attempts as a busy server needs."""
        data = None if body is None else json.dumps(body).encode()
        repeated = {None, 429, 503}
        for attempt in range(ATTEMPTS):
            try:
                status, retry_after, answer = self.exchange(method, path, data, self.headers | (headers or {}))
            except (OSError, http.client.HTTPException) as error:
                self.disconnect()
                status, retry_after, answer = None, None, repr(error).encode()
                repeated.add(409)  # the attempt whose answer was lost may still be running
            if status is not None and 200 <= status < 300:
                return json.loads(answer) if answer else None
            if status not in repeated:
                break
            if attempt + 1 < ATTEMPTS:
                time.sleep(pause(retry_after, attempt))
        said = answer.decode(errors="replace")[:500]
        raise Failure(f"{method} {path}: {status or 'no answer'}: {said}")

    def exchange(self, method, path, data, headers):
        connection = getattr(self.local, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
            connection = self.local.connection = kind(self.url.hostname, self.url.port, timeout=120)
        connection.request(method, self.url.path.rstrip("/") + path, data, headers)
        response = connection.getresponse()
        return response.status, response.headers.get("Retry-After"), response.read()

    def disconnect(self):
        if getattr(self.local, "connection", None):
            self.local.connection.close()
        self.local.connection = None

    def pages(self, path):
        """Every element of a list, cursor after cursor."""
        cursor = None
        while True:
            after = f"&cursor={urllib.parse.quote(cursor, safe='')}" if cursor else ""
            page = self.call("GET", f"{path}?limit=100{after}")
            yield from page["data"]
            cursor = page["next_cursor"]
            if not cursor:
                return


def pause(retry_after, attempt):
    """Seconds to wait: what the server asks for, else twice as long each time."""
    try:
        wanted = float(retry_after)
    except (TypeError, ValueError):
        wanted = 0.5 * 2**attempt
    return min(max(wanted, 0.1), LONGEST_WAIT_S)


def collection(folder):
    """The documents, the judged questions, and the grades: question → document → grade."""
    folder = pathlib.Path(folder)
    grades = {}
    with open(folder / "qrels" / "test.tsv", encoding="utf-8") as lines:
        for line in list(lines)[1:]:
            if line.strip():
                question, document, grade = line.rstrip("\n").split("\t")
                grades.setdefault(question, {})[document] = int(grade)
    judged = {question: found for question, found in grades.items() if any(grade > 0 for grade in found.values())}
    questions = {q["_id"]: q["text"] for q in jsonl(folder / "queries.jsonl") if q["_id"] in judged}
    return list(jsonl(folder / "corpus.jsonl")), questions, judged


def jsonl(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def upload(client, knowledge_base, documents, parallel):
    """Uploads every document that has any text. Tells how many had none, and how many the server took for one that it
    had already (same bytes, other corpus id): neither can be found under its own id."""
    path = f"/v1/knowledge-bases/{knowledge_base}/documents"
    bodies = [body for body in map(upload_body, documents) if body["content"].strip()]
    started, merged = time.monotonic(), 0
    with ThreadPoolExecutor(parallel) as pool:
        answers = pool.map(lambda body: client.create(path, body), bodies)
        for done, (body, answer) in enumerate(zip(bodies, answers), 1):
            merged += answer["documents"][0]["external_id"] != body["external_id"]
            if done % 500 == 0 or done == len(bodies):
                note(f"uploaded {done} of {len(bodies)} in {time.monotonic() - started:.1f} s")
    return {"without_text": len(documents) - len(bodies), "taken_for_another": merged}


def upload_body(document):
    """A document without text of its own is its title."""
    title, text = (document.get("title") or "").strip(), document["text"]
    body = {"external_id": document["_id"], "content": text if text.strip() else title, "content_type": "text/plain"}
    return body | ({"title": title} if title else {})


def wait_until_terminal(client, knowledge_base, minutes):
    deadline = time.monotonic() + 60 * minutes
    started, told = time.monotonic(), 0.0
    while True:
        counts = client.call("GET", f"/v1/knowledge-bases/{knowledge_base}")["document_counts"]
        waiting = sum(number for status, number in counts.items() if status not in TERMINAL)
        if not waiting:
            note(f"{counts['indexed']} indexed, {counts['failed']} failed after {time.monotonic() - started:.1f} s more")
            return counts
        if time.monotonic() > deadline:
            raise Failure(f"{waiting} documents are still waiting after {minutes} minutes: {counts}")
        if time.monotonic() - told > 10:
            told = time.monotonic()
            note(f"{waiting} documents left: {counts}")
        time.sleep(0.5)


def external_ids(client, knowledge_base):
    path = f"/v1/knowledge-bases/{knowledge_base}/documents"
    return {document["id"]: document["external_id"] for document in client.pages(path)}


def measure(client, knowledge_base, known, questions, judged, mode, parallel):
    with ThreadPoolExecutor(parallel) as pool:
        found = list(pool.map(lambda text: search(client, knowledge_base, text, mode), questions.values()))
    scores, times, degraded = [], [], 0
    for question, (results, seconds, fell_back) in zip(questions, found):
        ranking = best_per_document(results, known)
        scores.append(score(ranking, judged[question]))
        times.append(seconds * 1000)
        degraded += fell_back
    means = {name: statistics.fmean(each[name] for each in scores) for name in scores[0]}
    return means | {"questions": len(scores), "degraded": degraded, "p50_ms": statistics.median(times), "p95_ms": p95(times)}


def search(client, knowledge_base, text, mode):
    body = {"query": text, "knowledge_base_ids": [knowledge_base], "mode": mode, "limit": LIMIT}
    started = time.monotonic()
    answer = client.call("POST", "/v1/search", body)
    return answer["results"], time.monotonic() - started, bool(answer["degraded"])


def best_per_document(results, known):
    """Corpus ids in the order of each document's best chunk."""
    ranking = {}
    for result in results:
        ranking.setdefault(known[result["document_id"]], None)
    return list(ranking)


def score(ranking, grades):
    relevant = {document for document, grade in grades.items() if grade > 0}
    places = [place for place, document in enumerate(ranking, 1) if document in relevant]
    return {
        "ndcg_at_10": ndcg(ranking, grades, 10),
        "recall_at_100": len(relevant.intersection(ranking[:100])) / len(relevant),
        "mrr": 1 / places[0] if places else 0.0,
    }


def ndcg(ranking, grades, depth):
    """As trec_eval's ndcg_cut: the gain is the grade itself, the discount log2(rank + 1), negative grades gain nothing."""
    gains = [max(grades.get(document, 0), 0) for document in ranking[:depth]]
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:depth]
    return discounted(gains) / discounted(ideal)


def discounted(gains):
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def p95(values):
    """The nearest rank: the smallest value that at least 95 of 100 do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def self_test():
    """Against values worked out by hand."""

    def close(measured, expected):
        same(round(measured, 4), round(expected, 4))

    def same(measured, expected):
        if measured != expected:
            raise Failure(f"the self-test failed: {measured} is not {expected}")

    grades = {"a": 2, "b": 1, "c": 1, "d": 0, "e": -1}
    # Ideal a, b, c: 2/1 + 1/1.58496 + 1/2 = 3.13093. Perfect order is 1, whatever the order of equal grades.
    close(ndcg(["a", "b", "c"], grades, 10), 1.0)
    close(ndcg(["a", "c", "b"], grades, 10), 1.0)
    # d (0), b at rank 2 (1/1.58496 = 0.63093), a at rank 3 (2/2 = 1): 1.63093 / 3.13093 = 0.52091.
    close(ndcg(["d", "b", "a"], grades, 10), 0.52091)
    # (With exponential gain this would be (1/1.58496 + 3/2) / 4.13093 = 0.51585.)
    # A grade below zero gains nothing: e, a = 2/1.58496 = 1.26186; / 3.13093 = 0.40303.
    close(ndcg(["e", "a"], grades, 10), 0.40303)
    # The cut holds for the ideal too: at depth 1, b first is 1/2.
    close(ndcg(["b", "a"], grades, 1), 0.5)
    close(ndcg([], grades, 10), 0.0)
    # Eleven relevant, ten found: the ideal is cut at ten, so this is perfect.
    many = {str(number): 1 for number in range(11)}
    close(ndcg([str(number) for number in range(10)], many, 10), 1.0)
    close(score([str(number) for number in range(10)], many)["recall_at_100"], 10 / 11)
    # b at rank 2 is the first relevant one; two of three are found.
    close(score(["d", "b", "x", "a"], grades)["mrr"], 0.5)
    close(score(["d", "b", "x", "a"], grades)["recall_at_100"], 2 / 3)
    close(score(["d", "e"], grades)["mrr"], 0.0)
    # Past rank 100 nothing counts for recall.
    close(score([f"x{number}" for number in range(100)] + ["a"], {"a": 1})["recall_at_100"], 0.0)
    results = [{"document_id": document} for document in ("2", "1", "2", "3", "1")]
    same(best_per_document(results, {"1": "a", "2": "b", "3": "c"}), ["b", "a", "c"])
    close(p95(list(range(1, 101))), 95)
    close(p95([7.0]), 7)
    close(pause("3", 0), 3)
    close(pause("86400", 0), LONGEST_WAIT_S)
    close(pause(None, 2), 2.0)
    close(pause("soon", 0), 0.5)
    same(upload_body({"_id": "1", "title": "T", "text": " "})["content"], "T")
    print("the self-test passed")


def note(text):
    print(text, file=sys.stderr, flush=True)


def run(options):
    url, key = (os.environ.get(name) for name in ("ALMANAC_URL", "ALMANAC_API_KEY"))
    if not url or not key:
        raise Failure("set ALMANAC_URL and ALMANAC_API_KEY")
    client = Client(url, key)
    documents, questions, judged = collection(options.folder)
    if not questions:
        raise Failure(f"{options.folder} has no judged question")
    unknown = len(judged) - len(questions)
    note(f"{len(documents)} documents, {len(questions)} judged questions" + (f", {unknown} judged but missing" if unknown else ""))

    knowledge_base, report = options.knowledge_base, {"collection": pathlib.Path(options.folder).resolve().name}
    if not knowledge_base:
        name = f"{options.name or 'evaluation ' + report['collection']} {uuid.uuid4().hex[:8]}"
        knowledge_base = client.create("/v1/knowledge-bases", {"name": name})["id"]
        started = time.monotonic()
        report |= upload(client, knowledge_base, documents, options.parallel)
        report["document_counts"] = wait_until_terminal(client, knowledge_base, options.minutes)
        report["ingest_s"] = round(time.monotonic() - started, 2)
    report["knowledge_base_id"] = knowledge_base
    report["modes"] = {}
    known = external_ids(client, knowledge_base)
    for mode in MODES:
        measured = measure(client, knowledge_base, known, questions, judged, mode, options.search_parallel)
        report["modes"][mode] = measured
        print("{:7} nDCG@10 {ndcg_at_10:.4f}  recall@100 {recall_at_100:.4f}  MRR {mrr:.4f}  "
              "p50 {p50_ms:.1f} ms  p95 {p95_ms:.1f} ms".format(mode, **measured), flush=True)
    if options.delete and not options.knowledge_base:
        client.call("DELETE", f"/v1/knowledge-bases/{knowledge_base}")
    rendered = json.dumps(report, indent=2)
    print(rendered)
    if options.json:
        pathlib.Path(options.json).write_text(rendered + "\n", encoding="utf-8")
    return report


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", nargs="?", help="a test collection in BEIR form")
    options.add_argument("--json", metavar="PATH", help="write the result there too")
    options.add_argument("--name", help="what the new knowledge base is called (a random suffix is added)")
    options.add_argument("--knowledge-base", metavar="ID", help="measure this one, upload nothing")
    options.add_argument("--parallel", type=int, default=4, help="uploads at the same time (4)")
    options.add_argument("--search-parallel", type=int, default=1, help="searches at the same time (1, so that times are honest)")
    options.add_argument("--minutes", type=float, default=60, help="the longest wait for ingestion (60)")
    options.add_argument("--delete", action="store_true", help="delete the new knowledge base afterwards")
    options.add_argument("--self-test", action="store_true", help="check the metrics against values worked out by hand")
    chosen = options.parse_args()
    if not chosen.folder and not chosen.self_test:
        options.error("name a folder, or --self-test")
    try:
        if chosen.self_test:
            return self_test()
        report = run(chosen)
    except Failure as failure:
        sys.exit(f"eval-retrieval: {failure}")
    if report.get("document_counts", {}).get("failed"):
        sys.exit("eval-retrieval: some documents failed; the figures above are without them")


if __name__ == "__main__":
    main()
