"""The cases of `TESTS.md`, a module for each kind of fault; importing this package registers them."""

from tests.faults.cases import bundles, kills, network, operations, outages, processing  # noqa: F401
