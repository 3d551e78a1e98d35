"""Public data sets into the neutral files' frames.

Comes in: a folder or file as its publisher ships it. Goes out: an `Imported`, its frames with the columns of
`recsys.files`. Holds: the same input gives the same rows and event ids, nothing is sampled or invented, and a total
over the whole period (such as view counts) is left behind, because as a feature it would tell the future.

One rule for what is wrong with a file: a structural fault (a row of another width, a missing or doubled column, bytes
that are no text, dates that can be read in two ways) refuses the file; a single bad value refuses its row, which is
counted by reason and shown by an example; a file none of whose rows can be used is refused.
"""
