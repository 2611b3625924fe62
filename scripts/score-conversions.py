#!/usr/bin/env python3
"""Compares what Almanac reads of a document with what it reads of the same document in other formats.

    pip install markdown-it-py==4.3.0     # and LibreOffice
    scripts/score-conversions.py --to odt,rtf,doc,html FILE… [--almanac target/release/almanac] [--soffice soffice]

LibreOffice converts each file into each format. Words, headings, list items and cells are counted as in score-office.py, and
what is found in the file itself is the expectation: an F1 below 1 says that one of the two readings, or the conversion,
loses, doubles or adds something.
"""

import argparse
import importlib.util
import pathlib
import subprocess
import sys
import tempfile

import extract_worker

HERE = pathlib.Path(__file__).resolve().parent
OTHER_MIME = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "xls": "application/vnd.ms-excel",
    "doc": "application/msword",
    "ppt": "application/vnd.ms-powerpoint",
    "html": "text/html",
    "csv": "text/csv",
}


def office():
    spec = importlib.util.spec_from_file_location("score_office", HERE / "score-office.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.MIME.update(OTHER_MIME)
    return module


def converted(soffice, path, kind, folder):
    kept = folder / kind
    command = [soffice, f"-env:UserInstallation=file://{folder}/profile", "--headless", "--convert-to", kind,
               "--outdir", str(kept), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return kept / f"{path.stem}.{kind}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--to", required=True, help="endings, with commas between them")
    parser.add_argument("--almanac", default="target/release/almanac", help="the binary that reads the files")
    parser.add_argument("--soffice", default="soffice")
    arguments = parser.parse_args()
    score, worker = office(), extract_worker.Worker(arguments.almanac)
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.files:
            text, failure = score.extract(worker, path)
            expected = score.of_markdown(text or "")
            for kind in arguments.to.split(","):
                text, other_failure = score.extract(
                    worker, converted(arguments.soffice, path, kind, pathlib.Path(folder)))
                found = score.of_markdown(text or "")
                parts = {part: score.f1(getattr(found, part), getattr(expected, part)) for part in ("words",) + score.STRUCTURES}
                shown = "  ".join(f"{part} {value:.3f}" for part, value in parts.items() if value is not None)
                print(f"{path.name} as {kind:5} {failure or other_failure or shown}")


if __name__ == "__main__":
    sys.exit(main())
