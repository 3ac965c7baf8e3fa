"""Where the facts of ``ncgctl verify`` come from: this machine, the Kubernetes API, a folder. Nothing here judges."""
