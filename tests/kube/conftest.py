"""Runs each contract test against the double, and against a real API server where one is given."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.kube.cluster import REAL, Place, double, real

Places = Callable[[Path], AbstractAsyncContextManager[Place]]


@pytest.fixture(params=[double, *([real] if REAL else [])], ids=lambda place: place.__name__)
def places(request: pytest.FixtureRequest) -> Places:
    kind: Places = request.param
    return kind
