"""The batch layer: from history to a published model.

Comes in: interactions and catalogue, from files or from the Kafka topics. Goes out: a verified model bundle, a
report, a moved pointer and filled caches. Holds: what is evaluated never saw the test side; what is published passed
the gate.
"""
