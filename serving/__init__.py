"""The serving layer: recommendations over HTTP, and the way events come in.

It reads cached lists, learners' state, trending and the model pointer from the online store, and model bundles from
disk; it answers HTTP requests and produces validated events to Kafka. It imports no other layer, and never TensorFlow.

An answer is made from one model version. A learner's done courses and the caller's filters hold whichever rung of the
ladder answers. Redis or Kafka missing is degradation and no error; the only 5xx is a 503 with Retry-After.

`recommend` and `events` know nothing of HTTP and raise the errors of `serving.errors`; `http` gives each its status;
`service` puts the parts together, and `commands` starts them.
"""
