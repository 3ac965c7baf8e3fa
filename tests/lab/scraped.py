"""What Prometheus would be told by the lab's gateway."""

import socket

from prometheus_client.parser import text_string_to_metric_families

from ncgd.lab import gateway


def text() -> str:
    """The answer of ``/metrics``."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(gateway.SOCKET))
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head, head
    return body.decode()


def value(name: str, **labels: str) -> float:
    """One sample's value."""
    families = text_string_to_metric_families(text())
    (found,) = [
        each.value for family in families for each in family.samples if (each.name, each.labels) == (name, labels)
    ]
    return found
