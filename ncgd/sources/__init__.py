"""Where resources come from: a folder of files, later the Kubernetes API.

A source reads, has ``resources`` make an Intent of it, and posts that when it has changed. It decides nothing.
"""
