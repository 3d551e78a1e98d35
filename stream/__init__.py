"""The speed layer: engagement workers.

Comes in: the `interactions` topic, one chunk of records per fetched partition. Goes out: state and fence in Redis,
dead letters, misrouted records under their right key, cached top-N lists.
Holds: every accepted event changes Redis exactly once. Faust fetches and schedules; it is not trusted for delivery
(`commit.py`). Nothing here imports TensorFlow.
"""
