"""The fault suite: real Kafka, real Redis, real workers, faults on purpose, and an oracle that judges what is left.

`python -m tests.faults T1 T5` runs cases (`make faults`), `python -m tests.faults.mutants` shows that the suite can
fail (`make faults-mutants`). docs/faults.md describes both.
"""
