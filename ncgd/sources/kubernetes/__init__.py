"""The Kubernetes API as the source of resources, and the place where their status goes. Imported only when used."""
