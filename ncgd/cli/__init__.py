"""``ncgctl``: fetch, shape, print. It decides nothing.

``status``, ``get`` and ``explain`` ask the daemon on this host. ``verify`` collects ``facts`` and has
``decision.preflight`` judge them. ``install`` and ``uninstall`` talk to the API server (``installation``, ``removal``),
with the manifests of ``config``, which travel in the package.
"""
