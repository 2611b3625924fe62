#!/usr/bin/env python3
"""Compares the text that Almanac extracts from office documents with what pandoc's test suite says is in them.

    pip install markdown-it-py==4.3.0
    scripts/score-office.py FOLDER [--almanac target/release/almanac] [--each] [--except NAME.docx] [--pandoc pandoc]
    scripts/score-office.py --self-test

FOLDER holds documents and, beside a document, its structure in pandoc's native form under the same name
(`lists.docx`, `lists.native`). Every document is given to `almanac extract-worker`, the process that the server uses;
its text is parsed as CommonMark with tables by a parser that is not ours, with inline markup off, as Almanac does not
escape it. Four scores, each an F1 (2 · common / (found + expected)) of multisets:

    text      words of the whole document, lower case; the mean over documents
    headings  (level, text)
    lists     (depth, bullet or number) of every item outside tables
    tables    texts of cells that have one

What pandoc takes from title paragraphs into a docx document's metadata counts as text, the title as a heading of level 1.

The latter three are over all documents of a format together, as most documents have none of them. A document without a
.native is only counted: read, without text, failed.

With --pandoc the installed pandoc reads each document, too. Where its words have little to do with those of the .native
(an F1 below 0.5), that is of another document of the same name, and is not compared with; documents without a .native are
compared with what pandoc reads, and scored apart. What pandoc leaves out counts against us there: text boxes, titles.
"""

import argparse
import collections
import pathlib
import re
import subprocess
import sys

import extract_worker

# What pandoc calls the formats that it reads.
PANDOC = {"docx": "docx", "odt": "odt", "rtf": "rtf", "epub": "epub"}
MIME = {
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "odt": "application/vnd.oasis.opendocument.text",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "rtf": "application/rtf",
    "epub": "application/epub+zip",
}
STRUCTURES = ("headings", "lists", "tables")
NOTE_MARK = re.compile(r"\[\^\d+\]")


class Content:
    """What is compared of a document."""

    def __init__(self):
        self.words = []
        self.headings = []
        self.lists = []
        self.tables = []


# ---- pandoc's native form: values as Haskell shows them

TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|(-?\d+(?:\.\d+)?(?:e-?\d+)?)|([A-Za-z_][\w\']*)|([\[\](){},=]))', re.S)
NAMED = {"n": "\n", "t": "\t", "DEL": "\x7f", "ESC": "\x1b"}


def haskell_string(shown):
    def char(match):
        code = match.group(1)
        if code == "&":
            return ""
        if code.isdigit():
            return chr(int(code))
        if code[0] == "x":
            return chr(int(code[1:], 16))
        return NAMED.get(code, code)
    return re.sub(r"\\(&|\d+|x[0-9a-fA-F]+|DEL|ESC|.)", char, shown[1:-1], flags=re.S)


class Native:
    """Reads constructors as (name, arguments), lists and tuples as lists, records as dictionaries."""

    def __init__(self, text):
        self.tokens = [match for match in TOKEN.finditer(text)]
        self.at = 0

    def peek(self):
        return self.tokens[self.at].group().strip() if self.at < len(self.tokens) else ""

    def value(self):
        name = self.tokens[self.at].group(3)
        if not name:
            return self.atom()
        self.at += 1
        arguments = []
        while self.peek() and self.peek() not in "])},=":
            arguments.append(self.atom())
        return (name, arguments)

    def atom(self):
        token = self.tokens[self.at]
        self.at += 1
        string, number, name, sign = token.groups()
        if string:
            return haskell_string(string)
        if number:
            return float(number)
        if name:
            return (name, [])
        if sign == "{":
            return self.record()
        return self.sequence({"[": "]", "(": ")"}[sign])

    def sequence(self, close):
        values = []
        while self.peek() != close:
            values.append(self.value())
            if self.peek() == ",":
                self.at += 1
        self.at += 1
        return values[0] if close == ")" and len(values) == 1 else values

    def record(self):
        fields = {}
        while self.peek() != "}":
            name = self.peek()
            self.at += 2
            fields[name] = self.value()
            if self.peek() == ",":
                self.at += 1
        self.at += 1
        return fields


def of_native(text, with_metadata=False):
    value = Native(text).value()
    content = Content()
    blocks = value
    if isinstance(value, tuple) and value[0] == "Pandoc":
        blocks = value[1][-1]
        if with_metadata:
            metadata(value[1], content)
    native_blocks(blocks, content, 0, False)
    return content


def metadata(arguments, content):
    """`arguments` of Pandoc are Meta and its record, or the two as one value, and the blocks."""
    record = next(part for part in flat(arguments[:-1]) if isinstance(part, dict))
    for key, (_, value) in record["unMeta"][1][0]:
        if key == "title":
            content.headings.append((1, normal(inline_text(value[0]))))
        if key in ("title", "subtitle", "author", "date", "abstract"):
            content.words += meta_words(value[0])


def flat(value):
    parts = value if isinstance(value, list) else [*value[1]] if isinstance(value, tuple) else []
    return [value] + [inner for part in parts for inner in flat(part)]


def meta_words(value):
    """Of MetaInlines, MetaBlocks or a MetaList of either."""
    inner = Content()
    for name, arguments in value:
        if name in ("MetaInlines", "MetaBlocks", "MetaList"):
            inner.words += meta_words(arguments[0])
        elif name in ("Para", "Plain"):
            inner.words += words(inline_text(arguments[0]))
        else:
            return words(inline_text(value))
    return inner.words


def native_blocks(blocks, content, depth, in_table):
    for name, arguments in blocks:
        if name == "Header":
            text = inline_text(arguments[2])
            content.headings.append((int(arguments[0]), normal(text)))
            content.words += words(text)
        elif name in ("Para", "Plain"):
            content.words += words(inline_text(arguments[0]))
        elif name == "LineBlock":
            content.words += [word for line in arguments[0] for word in words(inline_text(line))]
        elif name == "CodeBlock":
            content.words += words(arguments[1])
        elif name in ("BulletList", "OrderedList"):
            for item in arguments[-1]:
                if not in_table:
                    content.lists.append((depth, name == "OrderedList"))
                native_blocks(item, content, depth + 1, in_table)
        elif name == "DefinitionList":
            for term, definitions in arguments[0]:
                content.words += words(inline_text(term))
                for definition in definitions:
                    native_blocks(definition, content, depth, in_table)
        elif name in ("BlockQuote", "Div", "Figure"):
            native_blocks(arguments[-1], content, depth, in_table)
        elif name == "Table":
            native_table(arguments, content, depth)
        elif name not in ("HorizontalRule", "RawBlock", "Null"):
            raise ValueError(f"a block of an unknown kind: {name}")


def native_table(arguments, content, depth):
    for name, values in cells_of(arguments):
        inner = Content()
        native_blocks(values, inner, depth, True)
        content.words += inner.words
        if name == "Cell" and inner.words:
            content.tables.append(" ".join(inner.words))
            content.tables += inner.tables


def cells_of(value):
    """Captions and cells, wherever they are; not those of tables inside cells."""
    if isinstance(value, tuple):
        name, arguments = value
        if name in ("Cell", "Caption"):
            yield name, arguments[-1]
        else:
            yield from cells_of(arguments)
    elif isinstance(value, list):
        for part in value:
            yield from cells_of(part)


def inline_text(value):
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(inline_text(part) for part in value)
    name, arguments = value
    if name in ("Space", "SoftBreak", "LineBreak"):
        return " "
    if name == "Note":
        inner = Content()
        native_blocks(arguments[0], inner, 0, False)
        return " " + " ".join(inner.words) + " "
    if name == "Quoted":
        marks = "‘’" if arguments[0][0] == "SingleQuote" else "“”"
        return marks[0] + inline_text(arguments[1]) + marks[1]
    if name in ("Link", "Image", "Span"):
        return inline_text(arguments[1])
    if name in ("Code", "Math", "Cite"):
        return inline_text(arguments[1])
    if name == "RawInline":
        return ""
    return inline_text(arguments[-1]) if arguments else ""


# ---- Almanac's text

def of_markdown(text):
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    parser.disable(["emphasis", "link", "image", "autolink", "html_inline", "html_block", "entity", "backticks",
                    "reference"])
    content = Content()
    lists, heading, cell = [], None, None
    for token in parser.parse(text):
        if token.type in ("bullet_list_open", "ordered_list_open"):
            lists.append(token.type == "ordered_list_open")
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            lists.pop()
        elif token.type == "list_item_open":
            content.lists.append((len(lists) - 1, lists[-1]))
        elif token.type == "heading_open":
            heading = int(token.tag[1:])
        elif token.type == "heading_close":
            heading = None
        elif token.type in ("th_open", "td_open"):
            cell = True
        elif token.type in ("th_close", "td_close"):
            cell = None
        elif token.type in ("inline", "fence", "code_block"):
            plain = inline_content(token)
            content.words += words(plain)
            if heading:
                content.headings.append((heading, normal(plain)))
            if cell and words(plain):
                content.tables.append(" ".join(words(plain)))
    return content


def inline_content(token):
    if token.type != "inline":
        return token.content
    return "".join("\n" if child.type in ("softbreak", "hardbreak") else child.content for child in token.children)


def words(text):
    return re.findall(r"\w+", NOTE_MARK.sub("", text).lower())


def normal(text):
    return " ".join(words(text))


def extract(worker, path):
    head, text = worker.read(MIME[path.suffix[1:]], path.read_bytes())
    if head is None:
        return None, f"ended with {worker.end()[0]}"
    return (text, None) if "Ok" in head else (None, head["Err"]["code"])


def read_by_pandoc(pandoc, path):
    """The structure as this pandoc reads it, or nothing."""
    if not pandoc or path.suffix[1:] not in PANDOC:
        return None
    command = [pandoc, "--standalone", "--from", PANDOC[path.suffix[1:]], "--to", "native", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    return of_native(done.stdout, path.suffix == ".docx") if done.returncode == 0 else None


def expectation(path, pandoc):
    """What a document holds, and whether its .native says so."""
    native = path.with_suffix(".native")
    read = read_by_pandoc(pandoc, path)
    if native.exists():
        stated = of_native(native.read_text("utf-8"), path.suffix == ".docx")
        likeness = f1(read.words, stated.words) if read and read.words else None
        if likeness is None or likeness >= 0.5:
            return stated, True
    return read, False


def f1(found, expected):
    common = sum((collections.Counter(found) & collections.Counter(expected)).values())
    total = len(found) + len(expected)
    return 2 * common / total if total else None


def score(folder, almanac, each, left_out, pandoc):
    formats, worker = {}, extract_worker.Worker(almanac)
    for path in sorted(folder.iterdir()):
        kind = path.suffix[1:]
        if kind not in MIME or path.name in left_out:
            continue
        result = formats.setdefault(kind, {"files": 0, "failures": [], "scored": [], "compared": []})
        result["files"] += 1
        text, failure = extract(worker, path)
        if failure:
            result["failures"].append(f"{path.name} ({failure})")
        expected, is_stated = expectation(path, pandoc)
        if expected:
            scored = (path.name, of_markdown(text or ""), expected)
            result["scored" if is_stated else "compared"].append(scored)
    for kind, result in formats.items():
        print(f"{kind}: {result['files']} files" + (f"; failed: {', '.join(result['failures'])}" if result["failures"] else ""))
        report("with a .native", result["scored"], each)
        report("against the installed pandoc", result["compared"], each)


def report(name, documents, each):
    if not documents:
        return
    print(f" {name}, {len(documents)} documents")
    if each:
        for name, found, expected in documents:
            shown = {part: f1(getattr(found, part), getattr(expected, part)) for part in ("words",) + STRUCTURES}
            print(f"  {name:45}" + "".join(f"{part} {value:.3f}  " for part, value in shown.items() if value is not None))
    texts = [f1(found.words, expected.words) for _, found, expected in documents]
    texts = [value for value in texts if value is not None]
    if texts:
        print(f"  text      {sum(texts) / len(texts):.3f}  ({len(texts)} documents)")
    for part in STRUCTURES:
        found = [(name, value) for name, content, _ in documents for value in getattr(content, part)]
        expected = [(name, value) for name, _, content in documents for value in getattr(content, part)]
        value = f1(found, expected)
        if value is not None:
            print(f"  {part:9} {value:.3f}  ({len(expected)} expected, {len(found)} found)")


def self_test():
    native = of_native("""Pandoc Meta { unMeta = fromList [ ( "title" , MetaInlines [ Str "T" ] ) ] }
        [ Header 2 ( "a" , [] , [] ) [ Str "Caf\\233\\&1" , Space , Emph [ Str "b" ] , Note [ Para [ Str "note" ] ] ]
        , BulletList [ [ Plain [ Str "one" ] , OrderedList ( 1 , Decimal , Period ) [ [ Plain [ Str "two" ] ] ] ] ]
        , Table ( "" , [] , [] ) (Caption Nothing [ Plain [ Str "Cap" ] ]) [ ( AlignLeft , ColWidthDefault ) ]
            (TableHead ( "" , [] , [] ) [ Row ( "" , [] , [] )
                [ Cell ( "" , [] , [] ) AlignDefault (RowSpan 1) (ColSpan 1) [ Plain [ Str "x" , Space , Str "y" ] ] ] ])
            [] (TableFoot ( "" , [] , [] ) []) ]""")
    markdown = of_markdown("## Café1 b note\n\n- one\n  1. two\n\nCap\n\n| x y |\n| --- |\n")
    assert native.words == ["café1", "b", "note", "one", "two", "cap", "x", "y"], native.words
    assert native.headings == markdown.headings == [(2, "café1 b note")]
    assert native.lists == markdown.lists == [(0, False), (1, True)]
    assert native.tables == markdown.tables == ["x y"]
    assert sorted(native.words) == sorted(markdown.words)
    assert f1([1, 1, 2], [1, 2, 3]) == 2 / 3 and f1([], []) is None
    titled = of_native("""Pandoc (Meta {unMeta = fromList [("title",MetaInlines [Str "A",Space,Str "B"]),("author",
        MetaList [MetaInlines [Str "C"]]),("x",MetaInlines [Str "D"])]}) [Para [Str "E"]]""", True)
    assert titled.headings == [(1, "a b")] and titled.words == ["a", "b", "c", "e"], titled.words
    print("ok")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path)
    parser.add_argument("--almanac", default="target/release/almanac", help="the binary that reads the files")
    parser.add_argument("--each", action="store_true", help="print the scores of each document")
    parser.add_argument("--except", dest="left_out", action="append", default=[], metavar="NAME",
                        help="leave a document out")
    parser.add_argument("--pandoc", help="a pandoc, to compare with and to know a .native of another document by")
    parser.add_argument("--self-test", action="store_true", help="test the parsers and the score, read no document")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    if arguments.folder is None:
        parser.error("the folder of documents is missing")
    score(arguments.folder, arguments.almanac, arguments.each, arguments.left_out, arguments.pandoc)


if __name__ == "__main__":
    sys.exit(main())
