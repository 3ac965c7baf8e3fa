from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.exabgp.site import Site, site


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made
