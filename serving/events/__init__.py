"""Events that come in over HTTP: validated, then produced to Kafka."""
