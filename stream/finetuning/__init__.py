"""The fine-tuner: learns a small increment of the published model from the interactions topic, and publishes it.

Comes in: the topic, from the offsets in the fine-tuner's own checkpoint. Goes out: increments of the model bundle,
judged (`gate`) and published by compare-and-set. Holds: the state is a function of the parent bundle and of the blocks
learned, in their order (`order`), so a restart goes on bit for bit where the last one was. One process fetches (Faust)
and never waits for training; another trains, and alone imports TensorFlow.
"""
