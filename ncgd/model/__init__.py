"""Frozen nouns: what tunnels, sessions, paths and routes are.

Belongs here: values, and behaviour that needs nothing but the value. Does not belong here:
choices (``decision``), API versions (``resources``), anything that talks to another program.
"""
