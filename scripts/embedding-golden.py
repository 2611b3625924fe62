#!/usr/bin/env python3
"""Writes fixtures/embedding/golden.json: texts and the vectors that sentence-transformers gives them.

    pip install -r benches/peers/requirements.txt
    HF_HUB_OFFLINE=1 python scripts/embedding-golden.py MODEL_FOLDER > fixtures/embedding/golden.json

The texts are written here or drawn by a seeded generator, so that a second run gives the same file up to the last
bits of the vectors. A vector is base64 of little-endian 32-bit floats.
"""

import base64
import json
import random
import sys

import numpy
import sentence_transformers
import torch

WORDS = (
    "the river report describes a small engine that turned water into light and every village along the coast kept a "
    "ledger of grain salt copper paper timber glass before winter closed mountain roads while engineers measured "
    "pressure temperature velocity current voltage frequency resistance capacity and lawyers argued about contracts "
    "liability warranty arbitration jurisdiction invoices payments deadlines penalties because doctors recorded "
    "symptoms dosage fever infection recovery therapy diagnosis unforeseeable circumstances notwithstanding"
).split()
PIECES = "tokenization hyperparameter electroencephalography zyxwv qqqq unbelievableness antidisestablishmentarianism".split()

WRITTEN = [
    "",
    " ",
    "\n\n\t \r\n",
    "a",
    "Z",
    "7",
    ".",
    "?",
    "é",
    "ß",
    "漢",
    "の",
    "한",
    "ñ",
    "🙂",
    "\u200b",
    "\u00a0",
    "\ufeffA byte order mark before the text.",
    "Where do we keep the invoices of last year?",
    "How many days of notice does the tenant have?",
    "WHAT IS THE WARRANTY PERIOD OF THE PUMP",
    "what is the warranty period of the pump",
    "The pump's warranty lasts twenty-four months from delivery.",
    "Payment is due within 30 days; after that, interest of 1.5 % a month is charged.",
    "She said: “It’s done — finally…” and left.",
    "e-mail, co-operation, state-of-the-art, don't, O'Neil, rock'n'roll",
    "Hello hello HELLO hElLo",
    "naïve café résumé coöperate façade jalapeño",
    "nai\u0308ve cafe\u0301 re\u0301sume\u0301",
    "Größe, Straße, Übermaß, Äpfel und Öl",
    "Le contrat prend effet à la date de signature et dure trois ans.",
    "El río creció después de la tormenta y cubrió el camino.",
    "Il motore si ferma quando la pressione scende sotto due bar.",
    "O relatório anual foi publicado em março.",
    "Zażółć gęślą jaźń",
    "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Договор вступает в силу с момента подписания.",
    "Η σύμβαση ισχύει για τρία χρόνια.",
    "العقد ساري المفعول لمدة ثلاث سنوات",
    "החוזה תקף לשלוש שנים",
    "यह अनुबंध तीन वर्षों के लिए वैध है",
    "สัญญานี้มีผลบังคับใช้สามปี",
    "合同自签字之日起生效，有效期三年。",
    "契約は署名の日から三年間有効です。",
    "계약은 서명일로부터 3년간 유효합니다.",
    "東京タワーの高さは333メートルです",
    "水",
    "人工智能 and machine learning are 不同的 concepts",
    "Die Temperatur in 東京 ist 25 °C, в Москве −3 °C.",
    "👩‍👩‍👧‍👦 family emoji with joiners",
    "🎉🎊🥳",
    "Great work 👍🏽! Ship it 🚀🚀🚀",
    "🇩🇪🇫🇷 flags",
    "i ♥ math: ∑ xᵢ² ≤ ∞, α → β, ½ + ¼",
    "E = mc²; ΔG = ΔH − TΔS",
    "fn main() { println!(\"{}\", 1 + 1); }",
    "def area(r):\n    return 3.14159 * r ** 2\n",
    "select customer_id, sum(amount) from orders where status <> 'void' group by 1 having count(*) > 3;",
    "<div class=\"note\"><p>Hello &amp; welcome</p></div>",
    "{\"id\": 17, \"tags\": [\"a\", \"b\"], \"ok\": true, \"none\": null}",
    "for (int i = 0; i < n; ++i) a[i] ^= b[n - 1 - i] << 3;",
    "git commit -m 'fix: off-by-one' && git push --force-with-lease",
    "C:\\Program Files\\Almanac\\almanac.exe /quiet",
    "https://example.com/path/to/page?query=a%20b&lang=en#part-2",
    "first.last+tag@example.org",
    "192.168.0.1 fe80::1%eth0 10.0.0.0/8",
    "0",
    "3.14159265358979323846264338327950288",
    "1,234,567.89 USD",
    "2024-02-29T23:59:59+01:00",
    "+49 (0)30 1234-5678",
    "0xDEADBEEF 0b1010 0o777 1e-9",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
    "123456789" * 11,
    "x" * 100,
    "x" * 101,
    "supercalifragilisticexpialidocious",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "!!!???...,,,;;;:::---___",
    "((((((((((()))))))))))",
    "a,b;c:d.e!f?g(h)i[j]k{l}m",
    "tab\tseparated\tvalues\nnext\tline\there",
    "   leading and trailing spaces   ",
    "many      spaces      between      words",
    "line one\nline two\r\nline three\rline four",
    "control \x01\x02\x03 characters \x7f inside",
    "replacement \ufffd character",
    "soft\u00adhyphen and zero\u200bwidth and non\u2011breaking",
    "ﬁne ﬂuid ﬃ ligatures, ｆｕｌｌｗｉｄｔｈ ｔｅｘｔ",
    "İstanbul ve Iğdır",
    "\U00020000\U0002a6d6 rare ideographs",
    "ｶﾀｶﾅ カタカナ かたかな",
    "Title: Maintenance\n\n# Safety\n\n- Switch the machine off.\n- Wait ten minutes.\n\n| part | torque |\n|---|---|\n| M6 | 9 Nm |",
    "Dear Sir or Madam,\n\nplease find attached the offer of 12 May. It is valid for four weeks.\n\nKind regards",
]


def drawn(seed, count):
    """Sentences of `count` words, some of them rare."""
    draw = random.Random(seed)
    words = [draw.choice(PIECES) if draw.random() < 0.05 else draw.choice(WORDS) for _ in range(count)]
    return " ".join(word + draw.choice(["", "", "", "", ",", "."]) for word in words)


def of_exactly(count, tokenizer):
    """`count` words that are one token each."""
    whole = [word for word in WORDS if len(tokenizer.tokenize(word)) == 1]
    draw = random.Random(count)
    return " ".join(draw.choice(whole) for _ in range(count))


def texts(tokenizer):
    yield from WRITTEN
    for seed, count in enumerate([2, 3, 5, 8, 13, 21, 34, 55, 89, 120, 144, 160, 180, 200, 233, 300, 377, 610]):
        yield drawn(seed, count)
    for count in [1, 15, 16, 17, 47, 48, 49, 127, 128, 129, 253, 254, 255, 256, 257, 512, 600]:
        yield of_exactly(count, tokenizer)
    yield "数据" * 200
    yield "🙂 " * 300
    yield "1 " * 254
    yield "и снова дождь " * 60


def main():
    torch.set_num_threads(1)
    model = sentence_transformers.SentenceTransformer(sys.argv[1], device="cpu")
    entries = []
    for text in texts(model.tokenizer):
        vector = model.encode([text], normalize_embeddings=True, show_progress_bar=False)[0].astype("<f4")
        assert abs(float(numpy.linalg.norm(vector)) - 1) < 1e-5
        entries.append({"text": text, "vector": base64.b64encode(vector.tobytes()).decode()})
    versions = {"sentence-transformers": sentence_transformers.__version__, "torch": torch.__version__}
    head = {"made_with": versions, "window": model.max_seq_length}
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    print(json.dumps(head)[:-1] + ', "texts": [\n' + lines + "\n]}")


main()
