"""The status page: HTML made here from what the last pass left behind; without JavaScript it is complete, only still.

``document`` puts the parts together; ``page.css`` and ``page.js`` are the whole of its assets.
"""
