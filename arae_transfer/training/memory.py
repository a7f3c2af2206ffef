"""Memory of the process between steps."""

from __future__ import annotations

import ctypes
import sys

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory for the next step.

    A step on the CPU allocates and frees the same large arrays as the step before. By default the system returns each
    array page by page, filled with zeros, which takes a tenth of a step; results do not depend on it.

    Returns:
        Whether this C library has the setting (glibc).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    # No mappings of their own for large arrays, and nothing returned from the end of the heap.
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))
