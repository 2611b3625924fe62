#!/usr/bin/env python3
"""Hybrid retrieval of Almanac beside Qdrant's embedded engine, LanceDB, and LangChain on pgvector.

    scripts/setup && cargo build --release
    pip install -r benches/peers/requirements-retrieval.txt
    python benches/peers/retrieval.py FOLDER… [--almanac PATH] [--limit-questions N] [--json FILE]
    python benches/peers/retrieval.py --self-test

A FOLDER is a test collection in BEIR form: corpus.jsonl, queries.jsonl, qrels/test.tsv. Its language (stemmer and stop
words of the peers; Almanac finds it by itself) is guessed from the words, or named: FOLDER:german.

Almanac is started on an empty data folder and given the documents; the pieces it cuts them into, title first, are what
every peer indexes, with vectors of the same model by sentence-transformers. A document ranks where its best piece does.
Measured over the judged questions: nDCG@10 with trec_eval's linear gain, from 100 pieces; and the time from the text of
a question to 10 pieces, embedding included, peers in this process and Almanac over HTTP on one kept-alive connection.
One question at a time, the systems in turn and each first as often as the others; no system is asked a text twice while
times are taken (a peer's second fusion asks what its first did), nor one of the warm-up. All may use all processors.

Run it on a machine that does nothing else. PyTorch's threads wait busily for one another: other work costs the peers
time on the clock and processor time, more than it costs Almanac. p10, in the JSON, is the least disturbed. Qdrant's RRF
does not rank the same each time it is asked: over 60 questions of XQuAD, nDCG@10 was 0.968 once and 0.956 once.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import os
import pathlib
import platform
import re
import statistics
import sys
import tempfile
import time
import typing

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOR_QUALITY, FOR_TIME = 100, 10  # pieces asked for
WARM_UP = 20
# Before each timed search, so that what a system leaves running for a moment is not in the way of the next.
REST_S = 0.05

# Enough words to tell these languages apart; the most frequent ones of each.
COMMON = {
    "english": "the of and to is in that was for",
    "german": "der die und das ist von den mit nicht",
    "french": "le la les et des est une du dans",
    "spanish": "el los las que una por con para del",
    "italian": "il di che gli della è una nel sono",
    "portuguese": "o os que uma não do da em com",
    "dutch": "de het een van en niet zijn op dat",
    "swedish": "och att det som en på är av för",
    "russian": "и в не на что с он как это",
}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = pathlib.Path(os.environ.get("ALMANAC_CACHE", ROOT / ".cache" / "almanac"))
    options.add_argument("folders", nargs="*", metavar="FOLDER[:LANGUAGE]")
    options.add_argument("--almanac", default=str(ROOT / "target" / "release" / "almanac"), metavar="PATH")
    options.add_argument("--model", type=pathlib.Path, default=cache / "embedding", help="all-MiniLM-L6-v2")
    options.add_argument("--postgres", type=pathlib.Path, default=cache / "postgresql", help="PostgreSQL with pgvector")
    options.add_argument("--limit-questions", type=int, metavar="N", help="only N of each set, evenly spread")
    options.add_argument(
        "--timed", type=int, default=300, metavar="N", help="questions of each set that times are taken of (300)"
    )
    options.add_argument(
        "--vectors", type=pathlib.Path, metavar="FOLDER", help="keep the peers' vectors of pieces for the next run"
    )
    options.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all figures there too")
    options.add_argument("--self-test", action="store_true", help="check the metric against values worked out by hand")
    chosen = options.parse_args()
    self_test()
    if chosen.self_test:
        return print("the self-test passed")
    if not chosen.folders:
        options.error("name a folder, or --self-test")
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["LANCE_LOG"] = "error"
    import retrieval_systems  # only here, so that the self-test and --help need no packages

    try:
        report = run(retrieval_systems, chosen)
    except retrieval_systems.Failure as failure:
        sys.exit(f"retrieval: {failure}")
    print(markdown(report))


def run(systems, options):
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="almanac-peers-")))
        work.chmod(0o755)  # as root, PostgreSQL runs as another account
        model = systems.SentenceModel(options.model, options.vectors)
        almanac = systems.Almanac(options.almanac, work / "almanac", options.model, options.postgres)
        stack.callback(almanac.close)
        langchain = systems.LangChain(work / "langchain", model, options.almanac, options.postgres)
        stack.callback(langchain.close)
        peers = [systems.Qdrant(work / "qdrant", model), systems.LanceDb(work / "lancedb", model), langchain]
        report = {"machine": machine(), "versions": versions([almanac, *peers], langchain), "sets": []}
        for folder in options.folders:
            report["sets"].append(compare(folder, almanac, peers, model, options.limit_questions, options.timed))
            if options.json:  # after each set, so that a long run that is cut short leaves something
                options.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return report


def compare(folder, almanac, peers, model, most, timed):
    folder, _, language = folder.partition(":")
    name = pathlib.Path(folder).resolve().name
    documents, questions, grades = collection(pathlib.Path(folder))
    language = language or guess([document["text"] for document in documents])
    questions = {name: questions[name] for name in spread(list(questions), most)}
    note(f"{name}: {len(documents)} documents in {language}, {len(questions)} judged questions")
    pieces = almanac.load(name, documents)
    note(f"{name}: {len(pieces)} pieces, to be embedded and indexed by the peers")
    vectors = model.documents([text for _, text in pieces])
    table = re.sub(r"\W", "_", name) + f"_{time.time_ns()}"
    for peer in peers:
        peer.load(table, language, pieces, vectors)
    contenders = [
        Contender(system, fusion, search)
        for system in [almanac, *peers]
        for fusion, search in system.searches().items()
    ]
    texts = list(dict.fromkeys(questions.values()))
    measure_times(contenders, spread(texts, timed), [text[:80] for _, text in spread(pieces, WARM_UP)])
    note(f"{name}: times taken")
    with model.knowing(texts):
        measure_quality(contenders, questions, grades)
    for peer in peers:
        peer.unload()
    counts = {"documents": len(documents), "pieces": len(pieces), "questions": len(questions)}
    counts["questions_timed"] = len(contenders[0].times)
    return (
        {"name": name, "language": language}
        | counts
        | {"results": [result(each, contenders[0]) for each in contenders]}
    )


@dataclasses.dataclass
class Contender:
    """One way of searching one system; ours is the first of them."""

    system: object
    fusion: str
    search: typing.Callable
    times: list = dataclasses.field(default_factory=list)  # milliseconds, one for each question
    processor_s: float = 0.0
    scores: list = dataclasses.field(default_factory=list)  # nDCG@10 of each question

    def measured_search(self, text):
        server = self.server_s()
        time.sleep(REST_S)
        processor, started = time.process_time(), time.perf_counter()
        self.search(text, FOR_TIME)
        self.times.append((time.perf_counter() - started) * 1000)
        self.processor_s += time.process_time() - processor + self.server_s() - server

    def server_s(self):
        return self.system.server.processor_s() if self.system.server else 0


def result(contender, ours):
    pairs = list(zip(ours.scores, contender.scores))
    figures = {
        "system": contender.system.name,
        "fusion": contender.fusion,
        "ours": contender is ours,
        "ndcg_at_10": statistics.fmean(contender.scores),
        "questions_ours_better": sum(mine > other + 1e-9 for mine, other in pairs),
        "questions_ours_worse": sum(mine < other - 1e-9 for mine, other in pairs),
        "processor_ms": 1000 * contender.processor_s / len(contender.times),
    }
    for part in (10, 50, 95):
        figures[f"p{part}_ms"] = percentile(contender.times, part)
        figures[f"p{part}_ratio"] = figures[f"p{part}_ms"] / percentile(ours.times, part)
    return figures


def collection(folder):
    """Documents and judged questions that have any text, and the grades: question → document → grade."""
    grades = {}
    for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        question, document, grade = line.split("\t")
        grades.setdefault(question, {})[document] = int(grade)
    judged = {question for question, found in grades.items() if any(grade > 0 for grade in found.values())}
    questions = {
        question["_id"]: question["text"]
        for question in jsonl(folder / "queries.jsonl")
        if question["_id"] in judged and question["text"].strip()
    }
    documents = []
    for document in jsonl(folder / "corpus.jsonl"):
        title, text = (document.get("title") or "").strip(), document["text"].strip()
        if title or text:
            documents.append({"_id": document["_id"], "title": title, "text": text or title})
    return documents, questions, grades


def jsonl(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def guess(texts):
    sample = " ".join(texts[:200]).lower()
    letters = sum(character.isalpha() for character in sample) or 1
    if len(re.findall("[\u3040-\u30ff]", sample)) > 0.1 * letters:
        return "japanese"
    if len(re.findall("[\u4e00-\u9fff]", sample)) > 0.2 * letters:
        return "chinese"
    words = re.findall(r"\w+", sample)
    return max(COMMON, key=lambda language: sum(word in COMMON[language].split() for word in words))


def spread(items, most):
    """At most so many, from all over the list; all of them for None."""
    most = min(most or len(items), len(items))
    return [items[at * len(items) // most] for at in range(most)]


def measure_times(contenders, texts, first):
    """`first`, the warm-up, are beginnings of pieces: texts of the right kind that are no question."""
    for contender in contenders:
        for text in first:
            contender.search(text, FOR_TIME)
    for turn, text in enumerate(texts):
        for place in range(len(contenders)):
            contenders[(turn + place) % len(contenders)].measured_search(text)


def measure_quality(contenders, questions, grades):
    for contender in contenders:
        for question, text in questions.items():
            found = best_per_document(contender.search(text, FOR_QUALITY))
            contender.scores.append(ndcg(found, grades[question], 10))


def best_per_document(found):
    return list(dict.fromkeys(found))


def ndcg(ranking, grades, depth):
    """As trec_eval's ndcg_cut: the gain is the grade, the discount log2(rank + 1), negative grades gain nothing."""
    gains = [max(grades.get(document, 0), 0) for document in ranking[:depth]]
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:depth]
    return discounted(gains) / discounted(ideal)


def discounted(gains):
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def percentile(values, part):
    """The nearest rank: the smallest value that at least `part` of 100 do not exceed."""
    return sorted(values)[math.ceil(part / 100 * len(values)) - 1]


def self_test():
    grades = {"a": 2, "b": 1, "c": 1, "d": 0, "e": -1}
    # Ideal a, b, c: 2/1 + 1/1.58496 + 1/2 = 3.13093. Found d (0), b at 2 (0.63093), a at 3 (2/2 = 1): 1.63093.
    # With exponential gain it would be 0.51585.
    expect(ndcg(best_per_document(["d", "d", "b", "d", "a"]), grades, 10), 1.63093 / 3.13093)
    expect(ndcg(["a", "c", "b"], grades, 10), 1.0)
    expect(ndcg(["e", "a"], grades, 10), (2 / 1.58496) / 3.13093)
    expect(ndcg(["b", "a"], grades, 1), 0.5)
    expect(ndcg([], grades, 10), 0.0)
    expect(ndcg([str(number) for number in range(10)], {str(number): 1 for number in range(11)}, 10), 1.0)
    expect(percentile(list(range(1, 101)), 95), 95)
    expect(percentile([3.0, 1.0, 2.0], 50), 2)


def expect(measured, expected):
    if abs(measured - expected) > 1e-4:
        sys.exit(f"retrieval: the self-test failed: {measured} is not {expected}")


def machine():
    models = re.findall(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {
        "processor": models[0] if models else platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions(systems, langchain):
    import sentence_transformers
    import torch

    found = {system.name: system.version for system in systems}
    found["Almanac's and LangChain's server"] = langchain.postgres
    found["sentence-transformers"] = sentence_transformers.__version__
    return found | {
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "Python": platform.python_version(),
    }


COLUMNS = {
    "system": "{system}",
    "fusion": "{fusion}",
    "nDCG@10": "{ndcg_at_10:.4f}",
    "questions where ours is better / worse": "{questions_ours_better} / {questions_ours_worse}",
    "p50 ms": "{p50_ms:.1f}",
    "p95 ms": "{p95_ms:.1f}",
    "p50, times ours": "{p50_ratio:.2f}",
    "p95, times ours": "{p95_ratio:.2f}",
    "processor ms": "{processor_ms:.1f}",
}


def markdown(report):
    lines = [
        "Hybrid retrieval; bold rows are ours. Times are from a question's text to 10 results, embedding included;",
        "processor time is that of all threads and of the system's server, mean of the same questions.",
        "",
        "{processor}, {processors} processors, load before the run {load_before}".format(**report["machine"]),
        "; ".join(f"{name} {version}" for name, version in report["versions"].items()),
    ]
    lines += summary(report)
    for found in report["sets"]:
        size = "{documents} documents, {pieces} pieces, {questions} questions, {questions_timed} of them timed"
        lines += ["", f"{found['name']} ({found['language']}): " + size.format(**found), ""]
        lines += [row(COLUMNS), row(["---"] * len(COLUMNS))]
        for result in found["results"]:
            cells = [cell.format(**result) for cell in COLUMNS.values()]
            lines.append(row([f"**{cell}**" for cell in cells] if result["ours"] else cells))
    return "\n".join(lines)


def summary(report):
    """Of each system the fusion that ranks best, and how much longer its fastest takes."""
    names = list(dict.fromkeys(result["system"] for found in report["sets"] for result in found["results"]))
    lines = ["", "Best nDCG@10 of each system's fusions, and least p50 as a multiple of ours:", ""]
    lines += [row(["set"] + names), row(["---"] * (1 + len(names)))]
    for found in report["sets"]:
        cells = [found["name"]]
        for name in names:
            results = [result for result in found["results"] if result["system"] == name]
            best = max(results, key=lambda result: result["ndcg_at_10"])
            fastest = min(result["p50_ratio"] for result in results)
            cells.append(f"{best['ndcg_at_10']:.4f} ({best['fusion']}), {fastest:.2f} ×")
        lines.append(row(cells))
    return lines


def row(cells):
    return "| " + " | ".join(cells) + " |"


def note(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
