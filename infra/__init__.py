"""Infrastructure: what the layers run on, never what they compute.

`operator` holds an operator's commands (topics, status, dead letters, replay of files), `devtools` what a developer
runs (embedded and local services, the demo), which production images do not hold. Docker, Kafka and Prometheus have
their files beside them. Nothing listens beyond loopback unless it is told to, nothing is left behind, and the other
layers are started as commands and never imported.
"""
