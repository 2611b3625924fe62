"""The systems that retrieval.py compares: Almanac over HTTP, and three peers in this process.

Each is loaded with the same pieces and vectors and then offers its ways of fusing, as functions from a question and a
limit to the corpus ids of the pieces it found, best first. The peers are set up as their documentation says, with the
language's own tokenizer, stemmer and stop words where they have them; each leg gives DEPTH candidates where that can be
said. All search vectors exactly at the sizes measured here, as each does by default. No figures are made here.
"""

import asyncio
import contextlib
import hashlib
import http.client
import importlib.metadata
import json
import os
import pathlib
import subprocess
import time
import urllib.parse
import uuid

import lancedb
import numpy
import psycopg
import qdrant_edge as qdrant
from lancedb.index import FTS
from lancedb.rerankers import LinearCombinationReranker, RRFReranker
from langchain_core.embeddings import Embeddings
from langchain_postgres import Column, PGEngine, PGVectorStore
from langchain_postgres.v2.hybrid_search_config import (
    HybridSearchConfig,
    reciprocal_rank_fusion,
    weighted_sum_ranking,
)
from sentence_transformers import SentenceTransformer

DEPTH = 100  # candidates of each leg, as Almanac takes
UNSEGMENTED = ("chinese", "japanese")  # languages written without spaces
START_S = 120
PAGE = 100  # the most that one call of Almanac lists


class Failure(Exception):
    """The measurement cannot go on; the message says why."""


class Server:
    """`almanac` run as a child process; its output goes to a file that is shown when it does not start."""

    def __init__(self, command, folder, environment):
        folder.mkdir()
        self.log = folder / "log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(command, stdout=log, stderr=log, env=inherited | environment)

    def wait(self, ready):
        """What `ready` returns once that is not None."""
        deadline = time.monotonic() + START_S
        while (answer := ready()) is None:
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"{self.child.args} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        return answer

    def processor_s(self):
        """Processor time of the process and of all that it started."""
        family, found = {self.child.pid}, []
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # a process that has just ended
                fields = stat.read_text().rpartition(")")[2].split()
                found.append((int(stat.parent.name), int(fields[1]), int(fields[11]) + int(fields[12])))
        ticks = 0
        for process, parent, used in sorted(found):  # parents are older than their children
            if process in family or parent in family:
                family.add(process)
                ticks += used
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.child.terminate()
        self.child.wait()


class Almanac:
    """The server under test, asked over one kept-alive connection."""

    name = "Almanac"

    def __init__(self, executable, folder, model, postgres):
        key, data = uuid.uuid4().hex, folder / "data"
        environment = {
            "ALMANAC_DATA_DIR": str(data),
            "ALMANAC_BIND": "127.0.0.1:0",
            "ALMANAC_ADMIN_KEY": key,
            "ALMANAC_EMBEDDING_DIR": str(model),
            "ALMANAC_POSTGRES_DIR": str(postgres),
            "ALMANAC_LOG": "warn,sqlx=error",
        }
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.server = Server([executable, "serve"], folder, environment)
        self.version = subprocess.run(
            [executable, "--version"], capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        try:
            address = data / "server.url"
            url = self.server.wait(lambda: (address.exists() and address.read_text().strip()) or None)
            self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=120)
        except BaseException:
            self.server.stop()
            raise

    def close(self):
        self.server.stop()

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, data, self.headers)
        response = self.connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise Failure(f"{method} {path}: {response.status}: {answer.decode(errors='replace')[:500]}")
        return json.loads(answer)

    def pages(self, path):
        """Every element of a list, cursor after cursor."""
        cursor = ""
        while cursor is not None:
            page = self.call(
                "GET", f"{path}?limit={PAGE}" + (f"&cursor={urllib.parse.quote(cursor, safe='')}" if cursor else "")
            )
            yield from page["data"]
            cursor = page["next_cursor"]

    def load(self, name, documents):
        """Uploads the documents and returns the pieces it cut them into: (corpus id, text), the title first."""
        self.knowledge_base = self.call("POST", "/v1/knowledge-bases", {"name": f"{name} {uuid.uuid4().hex[:8]}"})["id"]
        path = f"/v1/knowledge-bases/{self.knowledge_base}"
        for document in documents:
            body = {"external_id": document["_id"], "content": document["text"], "content_type": "text/plain"}
            self.call("POST", f"{path}/documents", body | ({"title": document["title"]} if document["title"] else {}))
        while (counts := self.call("GET", path)["document_counts"])["uploaded"] or counts["processing"]:
            time.sleep(0.2)
        if counts["failed"]:
            raise Failure(f"{counts['failed']} documents of {name} failed")
        self.known = {found["id"]: found["external_id"] for found in self.pages(f"{path}/documents")}
        titles = {document["_id"]: document["title"] for document in documents}
        return [
            (external, passage(titles[external], chunk))
            for found, external in self.known.items()
            for chunk in self.pages(f"/v1/documents/{found}/chunks")
        ]

    def searches(self):
        return {"z-score": self.search}

    def search(self, question, limit):
        body = {"query": question, "knowledge_base_ids": [self.knowledge_base], "mode": "hybrid", "limit": limit}
        answer = self.call("POST", "/v1/search", body)
        if answer["degraded"]:
            raise Failure(f"a degraded search: {answer['degraded']}")
        return [self.known[result["document_id"]] for result in answer["results"]]


def passage(title, chunk):
    """What Almanac indexes of a chunk, so that every system indexes the same."""
    headings = " > ".join(chunk["heading_path"])
    before = "\n".join(part for part in (title, headings) if part)
    return f"{before}\n\n{chunk['content']}" if before else chunk["content"]


class Qdrant:
    """Qdrant's own engine in this process, with its own BM25 tokenizer; the engine adds the IDF."""

    name, server = "Qdrant Edge", None
    version = importlib.metadata.version("qdrant-edge-py")

    def __init__(self, folder, model):
        self.folder, self.model = folder, model

    def load(self, name, language, pieces, vectors):
        unsegmented = language in UNSEGMENTED
        self.bm25 = qdrant.Bm25(
            qdrant.Bm25Config(
                language=language,
                tokenizer=qdrant.TokenizerType.Multilingual if unsegmented else None,
                avg_len=None if unsegmented else sum(len(text.split()) for _, text in pieces) / len(pieces),
            )
        )
        config = qdrant.EdgeConfig(
            vectors={"dense": qdrant.EdgeVectorParams(size=len(vectors[0]), distance=qdrant.Distance.Cosine)},
            sparse_vectors={"bm25": qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
        )
        self.shard = qdrant.EdgeShard.create(str(self.folder / name), config)
        points = [
            qdrant.Point(
                number,
                {"dense": vector.tolist(), "bm25": self.bm25.embed_document(text)},
                {"document": document, "text": text},
            )
            for number, ((document, text), vector) in enumerate(zip(pieces, vectors))
        ]
        for start in range(0, len(points), 1000):
            self.shard.update(qdrant.UpdateOperation.upsert_points(points[start : start + 1000]))
        self.shard.optimize()

    def searches(self):
        return {
            "DBSF": lambda question, limit: self.search(question, limit, qdrant.Fusion.Dbsf()),
            "RRF": lambda question, limit: self.search(question, limit, qdrant.Fusion.Rrf(k=2)),  # its default
        }

    def search(self, question, limit, fusion):
        dense = qdrant.Query.Nearest(self.model.query(question).tolist(), using="dense")
        sparse = qdrant.Query.Nearest(self.bm25.embed_query(question), using="bm25")
        legs = [qdrant.Prefetch(limit=DEPTH, query=dense), qdrant.Prefetch(limit=DEPTH, query=sparse)]
        found = self.shard.query(qdrant.QueryRequest(limit=limit, query=fusion, prefetches=legs, with_payload=True))
        return [point.payload["document"] for point in found]

    def unload(self):
        self.shard.close()


class LanceDb:
    """LanceDB in this process. Its legs give as many candidates as results are asked for."""

    name, server = "LanceDB", None
    version = importlib.metadata.version("lancedb")

    def __init__(self, folder, model):
        self.database, self.model = lancedb.connect(str(folder)), model

    def load(self, name, language, pieces, vectors):
        rows = [
            {"document": document, "text": text, "vector": vector} for (document, text), vector in zip(pieces, vectors)
        ]
        self.table = self.database.create_table(name, rows)
        if language in UNSEGMENTED:
            # Better than its "icu": text alone, nDCG@10 of 200 questions of XQuAD zh 0.974 against 0.969.
            words = FTS(
                base_tokenizer="ngram", ngram_min_length=1, ngram_max_length=2, stem=False, remove_stop_words=False
            )
        else:
            words = FTS(language=language.capitalize())
        self.table.create_index("text", config=words)
        self.table.wait_for_index(["text_idx"])

    def searches(self):
        rrf, linear = RRFReranker(), LinearCombinationReranker()
        return {
            "RRF": lambda question, limit: self.search(question, limit, rrf),
            "linear": lambda question, limit: self.search(question, limit, linear),
        }

    def search(self, question, limit, reranker):
        asked = self.table.search(query_type="hybrid").vector(self.model.query(question)).text(question)
        found = asked.limit(limit).rerank(reranker).to_arrow()
        return found["document"].to_pylist()

    def unload(self):
        pass


class LangChain:
    """LangChain's PGVectorStore on a PostgreSQL of its own, the same programs and settings as Almanac's."""

    name = "LangChain PGVectorStore"
    version = importlib.metadata.version("langchain-postgres")

    def __init__(self, folder, model, executable, postgres):
        data = folder / "data"
        environment = {"ALMANAC_DATA_DIR": str(data), "ALMANAC_POSTGRES_DIR": str(postgres)}
        self.server = Server([executable, "postgres"], folder, environment)
        try:
            socket = self.server.wait(lambda: socket_folder(self.server.log.read_text()))
            self.engine = PGEngine.from_connection_string(f"postgresql+psycopg://postgres@/postgres?host={socket}")
            self.connection = psycopg.connect(host=socket, user="postgres", dbname="postgres", autocommit=True)
            self.connection.execute("create extension if not exists vector")
            found = self.connection.execute(
                "select current_setting('server_version'), extversion from pg_extension where extname = 'vector'"
            )
            self.postgres = "PostgreSQL {}, pgvector {}".format(*found.fetchone())
        except BaseException:
            self.server.stop()
            raise
        self.embeddings = model

    def close(self):
        asyncio.run(self.engine.close())
        self.connection.close()
        self.server.stop()

    def load(self, name, language, pieces, vectors):
        self.language = "simple" if language in UNSEGMENTED else language
        self.engine.init_vectorstore_table(
            name, len(vectors[0]), metadata_columns=[Column("document", "text")], hybrid_search_config=self.config()
        )
        self.store = PGVectorStore.create_sync(
            self.engine, self.embeddings, name, metadata_columns=["document"], hybrid_search_config=self.config()
        )
        self.store.add_embeddings(
            [text for _, text in pieces],
            [vector.tolist() for vector in vectors],
            metadatas=[{"document": document} for document, _ in pieces],
            ids=[str(uuid.uuid4()) for _ in pieces],
        )
        self.store.apply_hybrid_search_index()
        self.connection.execute(f'vacuum analyze "{name}"')

    def config(self, fusion=reciprocal_rank_fusion):
        """A new one each time: the store writes the question into it and keeps the first it was given."""
        return HybridSearchConfig(
            tsv_column="content_tsv",
            tsv_lang=f"pg_catalog.{self.language}",
            fusion_function=fusion,
            primary_top_k=DEPTH,
            secondary_top_k=DEPTH,
            index_name=f"words_{uuid.uuid4().hex}",
        )

    def searches(self):
        return {
            "RRF": lambda question, limit: self.search(question, limit, reciprocal_rank_fusion),
            "weighted sum": lambda question, limit: self.search(question, limit, weighted_sum_ranking),
        }

    def search(self, question, limit, fusion):
        found = self.store.similarity_search(question, k=limit, hybrid_search_config=self.config(fusion))
        return [document.metadata["document"] for document in found]

    def unload(self):
        pass


def socket_folder(printed):
    """From the connection string that `almanac postgres` prints once the server is ready."""
    lines = [line.split()[-1] for line in printed.splitlines() if line.startswith("url ")]
    return urllib.parse.parse_qs(urllib.parse.urlsplit(lines[0]).query)["host"][0] if lines else None


class SentenceModel(Embeddings):
    """sentence-transformers on the processor, which all peers embed with."""

    def __init__(self, folder, kept):
        self.model, self.kept = SentenceTransformer(str(folder), device="cpu"), kept
        self.known = {}
        if self.model.max_seq_length != 256:
            raise Failure(f"the model in {folder} reads {self.model.max_seq_length} tokens, not 256")

    @contextlib.contextmanager
    def knowing(self, texts):
        """Within it, these questions are not embedded again: for rankings, of which no time is taken."""
        self.known = dict(zip(texts, self.model.encode(texts, normalize_embeddings=True, show_progress_bar=False)))
        yield
        self.known = {}

    def query(self, text):
        if text in self.known:
            return self.known[text]
        return self.model.encode(text, normalize_embeddings=True, show_progress_bar=False)

    def documents(self, texts):
        """From the folder `kept`, if there is one, when these very texts were embedded before."""
        file = self.kept and self.kept / (hashlib.sha256("\0".join(texts).encode()).hexdigest() + ".npy")
        if file and file.exists():
            return numpy.load(file)
        vectors = self.model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        if file:
            self.kept.mkdir(parents=True, exist_ok=True)
            numpy.save(file, vectors)
        return vectors

    def embed_query(self, text):
        return self.query(text).tolist()

    def embed_documents(self, texts):
        return self.documents(texts).tolist()
