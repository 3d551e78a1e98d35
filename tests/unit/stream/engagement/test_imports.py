"""The core of the engagement worker and of the rebuild runs without a Kafka client in the process."""

from __future__ import annotations

import subprocess
import sys

CORE = (
    "stream.engagement.commit",
    "stream.engagement.fold",
    "stream.engagement.gaps",
    "stream.engagement.isolation",
    "stream.engagement.partitions",
    "stream.engagement.patient_fold",
    "stream.rebuild.fold_log",
    "stream.rebuild.write_shard",
)
CLIENTS = ("faust", "mode", "aiokafka", "kafka", "confluent_kafka")

LOADED_BY = """
import importlib, sys
for module in sys.argv[1].split():
    importlib.import_module(module)
    print(module, *[client for client in sys.argv[2].split() if client in sys.modules])
"""


def test_the_core_loads_no_kafka_client() -> None:
    """One process imports one after the other, and says after each what is loaded."""
    asked = [sys.executable, "-c", LOADED_BY, " ".join(CORE), " ".join(CLIENTS)]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == list(CORE)
