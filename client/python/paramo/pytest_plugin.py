"""The fixture `paramo_cluster`: a cluster of one server for a test session."""

from __future__ import annotations

from typing import Iterator

import pytest

import paramo


@pytest.fixture(scope="session")
def paramo_cluster() -> Iterator[paramo.Cluster]:
    with paramo.connect(paramo.LocalCluster(servers=1)) as cluster:
        yield cluster
