"""From the difference to a safe order: what to write now, what to hold and why.

Pure. ``order`` is the dependency order; ``gates`` say what must have been seen before a table may be written.
"""
