"""One local cluster for the tests of a file, and a table of its own for each."""

import itertools

import pytest

import paramo

_numbers = itertools.count()


@pytest.fixture(scope="session")
def local():
    with paramo.LocalCluster(servers=2) as local:
        yield local


@pytest.fixture(scope="session")
def address(local):
    return local.address


@pytest.fixture(scope="session")
def cluster(address):
    with paramo.connect(address) as cluster:
        yield cluster


@pytest.fixture
def name():
    return f"t{next(_numbers)}"


@pytest.fixture
def table(cluster, name):
    """Rows of 4 floats from zeros; a push of gradient g makes them -g."""
    return cluster.table(name, dim=4, rule=paramo.SGD(lr=1))
