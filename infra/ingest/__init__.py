"""`recsys ingest`: what a learning platform writes, through its adapter, into the interactions topic.

In come a file, a pipe or another Kafka's topics; out go events keyed by learner, each acknowledged by all replicas,
and a summary. An adapter (`recsys.adapters`) decides what a line is; nothing here looks into one. Sending the same
input again changes nothing downstream, so a run that failed is simply repeated.
"""
