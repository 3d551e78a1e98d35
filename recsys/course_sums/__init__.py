"""What happened to courses lately, as sums: one form for the fold, the online store and training.

Comes in: liking contributions to learners' records. Goes out: the activity of each course as of an instant, from which
`recsys.model.course_features` makes the inputs of the ranker. NumPy and msgspec only; pure.

| module | holds |
|---|---|
| `activity` | a course's vector of decayed sums, its bytes, and `CourseActivity` as of an instant |
| `blocks` | trending and activity of a shard: values, and the terms that wait to be added to them |
"""
