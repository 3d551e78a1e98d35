"""The serving layer: recommendations over HTTP, and the way events come in.

Comes in: HTTP requests; cached lists, learners' state, trending and the model pointer from the online store; model
bundles. Goes out: answers, and validated events to Kafka. Holds: no room but `recsys` is imported and TensorFlow never;
one answer is made from one model version; a learner's done courses and the caller's filters hold whichever rung of the
ladder answers; Redis or Kafka missing is degradation, not an error, and the only 5xx is a 503 with Retry-After.
"""
