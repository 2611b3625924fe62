#!/usr/bin/env python3
"""The texts of benches/embedder.rs through sentence-transformers on one thread of PyTorch.

    pip install -r benches/peers/requirements.txt
    HF_HUB_OFFLINE=1 python benches/peers/sentence_transformers_peer.py MODEL_FOLDER
"""

import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import sentence_transformers
import torch

TEXTS = 200
ROUNDS = 5
WORDS = (
    "river report small engine water light every village along coast kept grain salt copper paper timber "
    "glass before winter closed mountain roads measured pressure temperature velocity current voltage "
    "frequency resistance capacity lawyers contracts payments doctors recorded symptoms infection"
).split()


def text(index):
    length = 16 + index * 238 // (TEXTS - 1)
    return " ".join(WORDS[(index * 7_919 + at * at * 31 + at) % len(WORDS)] for at in range(length))


def rate(model, texts, tokens, batch_size):
    start = time.process_time()
    model.encode(texts, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False)
    return tokens / (time.process_time() - start)


def main():
    torch.set_num_threads(1)
    model = sentence_transformers.SentenceTransformer(sys.argv[1], device="cpu")
    texts = [text(index) for index in range(TEXTS)]
    tokens = sum(len(model.tokenizer(text)["input_ids"]) for text in texts)
    for batch_size in (8, 32):
        rate(model, texts, tokens, batch_size)
        rates = sorted((rate(model, texts, tokens, batch_size) for _ in range(ROUNDS)), reverse=True)
        median = rates[ROUNDS // 2]
        print(f"batches of {batch_size}: {tokens} tokens, per CPU-second: best {rates[0]:.0f}, median {median:.0f}")


main()
