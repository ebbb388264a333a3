"""Cuts a process's output into lines."""

from __future__ import annotations

#: A line longer than this many bytes is shown in pieces, so that memory stays flat.
MAX_LINE = 64 << 10
#: While a tool draws one line over and over (a progress bar), its state is shown this often, in seconds.
BAR_INTERVAL = 5.0


class LineSplitter:
    """Collects one stream's bytes until its lines are complete.

    A line that is drawn over by means of carriage returns counts once, as it looked in the end; while it is still
    being drawn its state is given every `BAR_INTERVAL` seconds. Bytes that are not UTF-8 become U+FFFD; escape
    sequences stay.
    """

    def __init__(self) -> None:
        self._partial = b""
        self._shown_at: float | None = None
        self._shown_partly = False  # the line's beginning, or an earlier state of it, has been given already

    def feed(self, data: bytes, now: float) -> list[str]:
        """The lines that `data` completes, without line ends; `now` in seconds by any steady clock."""
        if self._shown_at is None:
            self._shown_at = now
        if self._partial:
            data = self._partial + data
        whole, newline, partial = data.rpartition(b"\n")
        lines = []
        if newline:
            lines = _decode(whole)
            if self._shown_partly and not lines[0]:
                del lines[0]
            self._shown_partly = False
            self._shown_at = now
        if b"\r" in partial:
            partial = _last_states(partial)
        if len(partial) > MAX_LINE or (b"\r" in partial and now - self._shown_at >= BAR_INTERVAL):
            lines += _decode(partial)
            partial = b""
            self._shown_partly = True
            self._shown_at = now
        self._partial = partial
        return lines

    def flush(self) -> list[str]:
        """The unfinished last line, if there is one."""
        partial, self._partial = self._partial, b""
        return _decode(partial) if partial.strip(b"\r") else []


def _last_states(partial: bytes) -> bytes:
    """Of a line being drawn over, the last state that is complete for certain and what follows it."""
    states = [state for state in partial.split(b"\r") if state]
    return b"\r".join(states[-2:]) + (b"\r" if states and partial.endswith(b"\r") else b"")


def _decode(data: bytes) -> list[str]:
    lines = data.decode("utf-8", "replace").split("\n")
    if b"\r" not in data:
        return lines
    return [next((state for state in reversed(line.split("\r")) if state), "") for line in lines]
