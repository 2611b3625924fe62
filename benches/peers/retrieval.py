#!/usr/bin/env python3
"""Hybrid retrieval of Almanac beside what a user would pick: Qdrant's embedded engine, LanceDB, and LangChain on pgvector.

    scripts/setup && cargo build --release
    pip install -r benches/peers/requirements-retrieval.txt
    python benches/peers/retrieval.py FOLDER… [--almanac PATH] [--limit-questions N] [--json FILE]
    python benches/peers/retrieval.py --self-test

A FOLDER is a test collection in BEIR form: corpus.jsonl, queries.jsonl, qrels/test.tsv. Its language (stemmer and stop
words of the peers; Almanac finds it by itself) is guessed from the words, or named: FOLDER:german.

Almanac is started on an empty data folder and given the documents; the pieces it cuts them into, title first, are what
every peer indexes, with vectors of the same model by sentence-transformers. A document ranks where its best piece ranks.
Measured over the judged questions: nDCG@10 with trec_eval's linear gain, from 100 pieces; and the time from the text of a
question to 10 pieces, embedding included, peers in this process and Almanac over HTTP on one kept-alive connection. One
question at a time, the systems in turn and each first as often as the others; no text is asked twice while times are
taken, and none of the warm-up. Every system may use all processors.
"""

import argparse
import contextlib
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

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUALITY, TIMED = 100, 10  # pieces asked for
WARM_UP = 20
# Before each timed search: PyTorch's threads spin for a while after their work, and would do so during the next system's.
REST_S = 0.01

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
    options.add_argument("--vectors", type=pathlib.Path, metavar="FOLDER", help="keep the peers' vectors of pieces for the next run")
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
    import retrieval_systems

    try:
        report = run(retrieval_systems, chosen)
    except retrieval_systems.Failure as failure:
        sys.exit(f"retrieval: {failure}")
    print(markdown(report))
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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
            report["sets"].append(compare(folder, almanac, peers, model, options.limit_questions))
        return report


def compare(folder, almanac, peers, model, most):
    folder, _, language = folder.partition(":")
    name = pathlib.Path(folder).resolve().name
    documents, questions, grades = collection(pathlib.Path(folder))
    language = language or guess([document["text"] for document in documents])
    if most and most < len(questions):
        names = list(questions)
        questions = {names[at * len(names) // most]: questions[names[at * len(names) // most]] for at in range(most)}
    note(f"{name}: {len(documents)} documents in {language}, {len(questions)} judged questions")
    pieces = almanac.load(name, documents)
    note(f"{name}: {len(pieces)} pieces, to be embedded and indexed by the peers")
    vectors = model.documents([text for _, text in pieces])
    table = re.sub(r"\W", "_", name) + f"_{time.time_ns()}"
    for peer in peers:
        peer.load(table, language, pieces, vectors)
    contenders = [(system.name, fusion, search) for system in [almanac, *peers] for fusion, search in system.searches().items()]
    times = measure_times(contenders, list(dict.fromkeys(questions.values())), warm_up(pieces))
    note(f"{name}: times taken")
    scores = measure_quality(contenders, questions, grades)
    for peer in peers:
        peer.unload()
    results = [
        {
            "system": system,
            "fusion": fusion,
            "ours": system == almanac.name,
            "ndcg_at_10": statistics.fmean(score),
            "p50_ms": statistics.median(taken),
            "p95_ms": p95(taken),
        }
        for (system, fusion, _), taken, score in zip(contenders, times, scores)
    ]
    for result in results:
        result |= {f"{part}_ratio": result[f"{part}_ms"] / results[0][f"{part}_ms"] for part in ("p50", "p95")}
        result["questions_better"], result["questions_worse"] = 0, 0
    for result, score in zip(results, scores):
        result["questions_better"] = sum(ours > theirs + 1e-9 for ours, theirs in zip(scores[0], score))
        result["questions_worse"] = sum(theirs > ours + 1e-9 for ours, theirs in zip(scores[0], score))
    counts = {"documents": len(documents), "pieces": len(pieces), "questions": len(questions), "questions_timed": len(times[0])}
    return {"name": name, "language": language} | counts | {"results": results}


def collection(folder):
    """The documents that have any text, the judged questions, and the grades: question → document → grade."""
    grades = {}
    for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        question, document, grade = line.split("\t")
        grades.setdefault(question, {})[document] = int(grade)
    judged = {question for question, found in grades.items() if any(grade > 0 for grade in found.values())}
    questions = {question["_id"]: question["text"] for question in jsonl(folder / "queries.jsonl") if question["_id"] in judged}
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


def warm_up(pieces):
    """Beginnings of pieces from all over the corpus: texts of the right kind that are no question."""
    spread = pieces[:: max(1, len(pieces) // WARM_UP)][:WARM_UP]
    return [text[:80] for _, text in spread]


def measure_times(contenders, texts, first):
    """Milliseconds of each contender for each text."""
    for _, _, search in contenders:
        for text in first:
            search(text, TIMED)
    times = [[] for _ in contenders]
    for turn, text in enumerate(texts):
        for place in range(len(contenders)):
            at = (turn + place) % len(contenders)
            time.sleep(REST_S)
            started = time.perf_counter()
            contenders[at][2](text, TIMED)
            times[at].append((time.perf_counter() - started) * 1000)
    return times


def measure_quality(contenders, questions, grades):
    return [
        [ndcg(best_per_document(search(text, QUALITY)), grades[question], 10) for question, text in questions.items()]
        for _, _, search in contenders
    ]


def best_per_document(found):
    return list(dict.fromkeys(found))


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
    grades = {"a": 2, "b": 1, "c": 1, "d": 0, "e": -1}
    # Ideal a, b, c: 2/1 + 1/1.58496 + 1/2 = 3.13093. Found d (0), b at 2 (0.63093), a at 3 (2/2 = 1): 1.63093.
    # With exponential gain it would be 0.51585.
    expect(ndcg(best_per_document(["d", "d", "b", "d", "a"]), grades, 10), 1.63093 / 3.13093)
    expect(ndcg(["a", "c", "b"], grades, 10), 1.0)
    expect(ndcg(["e", "a"], grades, 10), (2 / 1.58496) / 3.13093)
    expect(ndcg(["b", "a"], grades, 1), 0.5)
    expect(ndcg([], grades, 10), 0.0)
    expect(ndcg([str(number) for number in range(10)], {str(number): 1 for number in range(11)}, 10), 1.0)
    expect(p95(list(range(1, 101))), 95)
    expect(p95([7.0]), 7)


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
    return found | {"torch": f"{torch.__version__}, {torch.get_num_threads()} threads", "Python": platform.python_version()}


def markdown(report):
    lines = ["Hybrid retrieval, rows in bold are ours. Times from a question's text to 10 results, embedding included.", ""]
    lines += ["{processor}, {processors} processors, load before the run {load_before}".format(**report["machine"])]
    lines += ["; ".join(f"{name} {version}" for name, version in report["versions"].items())]
    for found in report["sets"]:
        lines += ["", "{name} ({language}): {documents} documents, {pieces} pieces, {questions} questions, {questions_timed} timed".format(**found), ""]
        lines += ["| system | fusion | nDCG@10 | ours better / worse, questions | p50 ms | p95 ms | p50, times ours | p95, times ours |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for result in found["results"]:
            bold = "**" if result["ours"] else ""
            against = "" if result["ours"] else "{questions_better} / {questions_worse}".format(**result)
            row = "| {bold}{system}{bold} | {fusion} | {bold}{ndcg_at_10:.4f}{bold} | {against} | {bold}{p50_ms:.2f}{bold} | {bold}{p95_ms:.2f}{bold} | {p50_ratio:.2f} | {p95_ratio:.2f} |"
            lines.append(row.format(bold=bold, against=against, **result))
    return "\n".join(lines)


def note(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
