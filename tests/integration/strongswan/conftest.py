from collections.abc import Iterator
from pathlib import Path

import pytest

from ncgd.model.ike import DataplaneMode
from tests.integration.strongswan.site import Site, site


@pytest.fixture(params=["userspace", pytest.param("kernel", marks=pytest.mark.kernel_esp)])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A gateway and two peers over the dataplane that the parameter names."""
    with site(DataplaneMode(request.param), tmp_path) as made:
        yield made
