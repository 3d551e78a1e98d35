"""The core of the engagement worker and of the rebuild runs without a Kafka client in the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

CORE = (
    "stream.engagement.commit",
    "stream.engagement.fold",
    "stream.engagement.gaps",
    "stream.engagement.isolation",
    "stream.engagement.partitions",
    "stream.engagement.patient_fold",
    "stream.rebuild.fold_log",
)
CLIENTS = ("faust", "mode", "aiokafka", "kafka", "confluent_kafka")

LOADED_BY = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*[client for client in sys.argv[2:] if client in sys.modules])
"""


@pytest.mark.parametrize("module", CORE)
def test_the_core_loads_no_kafka_client(module: str) -> None:
    asked = [sys.executable, "-c", LOADED_BY, module, *CLIENTS]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
