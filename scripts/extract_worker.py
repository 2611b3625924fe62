"""Speaks to `almanac extract-worker` as the server does: a process that reads one file after another."""

import json
import os
import subprocess

CPU_SECONDS = 30
MEMORY_BYTES = 2 << 30


class Worker:
    """Starts a process when there is none; one that failed on a file is not used again."""

    def __init__(self, executable):
        self.executable = executable
        self.child = None

    def read(self, content_type, data, options=None):
        """The head of the answer ({"Ok": …}, {"Err": …}, or None when the process ended without one) and the text."""
        request = {
            "content_type": content_type,
            "options": options or {},
            "memory_bytes": MEMORY_BYTES,
            "cpu_seconds": CPU_SECONDS,
            "file_bytes": len(data),
        }
        if self.child is None:
            self.child = subprocess.Popen(
                [self.executable, "extract-worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"MALLOC_ARENA_MAX": "2"},
            )
        try:
            # The pipe stays open until the answer is read: its end tells the reader that nobody waits any more.
            self.child.stdin.write(json.dumps(request).encode() + b"\n" + data)
            self.child.stdin.flush()
            line = self.child.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            return None, ""
        head = json.loads(line)
        text = self.child.stdout.read(head["Ok"]["text_bytes"]) if "Ok" in head else b""
        # It is ready for the next file when it says so.
        self.child.stdout.read(1)
        return head, text.decode()

    def end(self):
        """Ends the process: its exit status (128 and a signal's number: a file ended its reader) and what it used with
        all its readers (see os.wait4); None when there is no process."""
        if self.child is None:
            return None
        child, self.child = self.child, None
        for pipe in (child.stdin, child.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        return child.returncode, usage
