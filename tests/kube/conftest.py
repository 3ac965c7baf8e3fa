"""Runs each contract test against the double, and against a real API server.

That is the one of NCGD_TEST_KUBECONFIG or KUBECONFIG, or one that is started here where its programs are found
(``control_plane.py``).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path

import pytest

from tests.kube.cluster import REAL, Place, double, real
from tests.kube.control_plane import VARIABLE, given, started

Places = Callable[[Path], AbstractAsyncContextManager[Place]]


@pytest.fixture(params=[double, *([real] if REAL else [])], ids=lambda place: place.__name__)
def places(request: pytest.FixtureRequest) -> Places:
    kind: Places = request.param
    return kind


@pytest.fixture(scope="session", autouse=True)
def _real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The real server of this session, started with the first test and ended after the last."""
    with ExitStack() as at_end:
        if REAL and not given():
            kubeconfig = at_end.enter_context(started(tmp_path_factory.mktemp("control-plane")))
            at_end.enter_context(pytest.MonkeyPatch.context()).setenv(VARIABLE, str(kubeconfig))
        yield
