"""Public data sets into the neutral files' frames.

Comes in: a folder or file as its publisher ships it. Goes out: `(interactions, courses)` with the columns of
`recsys.files`, or None for interactions where the set has no learners. Holds: the same input gives the same rows and
event ids, nothing is sampled or invented, and a total over the whole period (such as view counts) is left behind,
because as a feature it would tell the future.
"""
