"""What a log shows of an executor's stdout or stderr: its head and its tail (acceptance: tes, 7)."""

import os

EDGE = 10_000
"""Bytes shown of each end."""


def excerpt(fd: int) -> str:
    """The text of an open file; of one longer than twice `EDGE`, both ends with a line between that tells the gap."""
    size = os.fstat(fd).st_size
    if size <= 2 * EDGE:
        return os.pread(fd, size, 0).decode(errors="replace")
    head, tail = os.pread(fd, EDGE, 0), os.pread(fd, EDGE, size - EDGE)
    gap = f"\n[... {size - 2 * EDGE} bytes left out ...]\n"
    return _without_cut_letter(head) + gap + tail.lstrip(CONTINUATION).decode(errors="replace")


CONTINUATION = bytes(range(0x80, 0xC0))
"""Bytes that only follow others in UTF-8: at the start of the tail they are the rest of a letter."""


def _without_cut_letter(head: bytes) -> str:
    """Leaves out a letter at the end that was cut in two."""
    text = head.decode(errors="replace")
    return text.removesuffix("\ufffd")
