#!/usr/bin/env python3
"""Compares the text that Almanac finds in web pages with what is known to be their main content.

    scripts/score-html.py FOLDER [--almanac target/release/almanac] [--each]

FOLDER holds a folder for each page, with `source.html` and `expected.html` (as the test suite of Mozilla's Readability
has them). Words are runs of letters and digits in lower case; those of the expectation are all its text, without scripts
and styles. Precision says how much of what is found belongs to the content (the rest are menus, footers, advertisements,
and the descriptions of pictures, which the expectation has as attributes), recall how much of the content is found; both
and F1 are of multisets, and means over pages.
"""

import argparse
import collections
import html.parser
import pathlib
import re
import sys

import extract_worker

HIDDEN = ("script", "style", "noscript", "template", "svg")


class Text(html.parser.HTMLParser):
    """All text that is shown."""

    def __init__(self):
        super().__init__()
        self.parts = []
        self.hidden = 0

    def handle_starttag(self, tag, attributes):
        self.hidden += tag in HIDDEN

    def handle_endtag(self, tag):
        self.hidden -= tag in HIDDEN and self.hidden > 0

    def handle_data(self, data):
        if not self.hidden:
            self.parts.append(data)


def words(text):
    return collections.Counter(re.findall(r"\w+", text.lower()))


def expected(path):
    text = Text()
    text.feed(path.read_text("utf-8"))
    # Browsers part words at every block; inside of a word elements are rare.
    return words(" ".join(text.parts))


def extract(worker, path):
    head, text = worker.read("text/html", path.read_bytes())
    return text if head else ""


def scores(found, content):
    common = (found & content).total()
    return common / max(found.total(), 1), common / max(content.total(), 1), 2 * common / max(found.total() + content.total(), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--almanac", default="target/release/almanac", help="the binary that reads the pages")
    parser.add_argument("--each", action="store_true", help="print the scores of each page")
    arguments = parser.parse_args()
    rows, worker = [], extract_worker.Worker(arguments.almanac)
    for page in sorted(path for path in arguments.folder.iterdir() if path.is_dir()):
        row = scores(words(extract(worker, page / "source.html")), expected(page / "expected.html"))
        rows.append(row)
        if arguments.each:
            print(f"  {page.name:40} precision {row[0]:.3f}  recall {row[1]:.3f}  F1 {row[2]:.3f}")
    means = [sum(row[at] for row in rows) / len(rows) for at in range(3)]
    print(f"{len(rows)} pages: precision {means[0]:.3f}, recall {means[1]:.3f}, F1 {means[2]:.3f}")


if __name__ == "__main__":
    sys.exit(main())
