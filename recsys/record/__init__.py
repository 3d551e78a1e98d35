"""The learner–course record: what one learner did with one course, as a state that repetition cannot harm.

Folding an event is the join of a semilattice: commutative, associative, idempotent. Repeated events, events in another
order, a log of any age replayed, two folds of parts of a history joined: the same record. So no ledger of event ids is
kept (docs/decisions/0018-learner-course-records.md). Standard library and msgspec only; pure.

| module | holds |
|---|---|
| `value` | `Record`, `EMPTY`, `join`, `join_flow`, `without` |
| `rules` | `RecordRules`: an event's record, and the scores that are functions of a record |
| `packing` | the bytes that the online store keeps |
"""

from recsys.record.packing import engagement_of, pack, unpack
from recsys.record.rules import FLOW_NUMBER, FOREVER_MS, RecordRules, flow_of, record_of
from recsys.record.value import EMPTY, FLOW_TYPES, MAX_FLOWS, Record, State, join, join_flow, without

__all__ = [
    "EMPTY",
    "FLOW_NUMBER",
    "FLOW_TYPES",
    "FOREVER_MS",
    "MAX_FLOWS",
    "Record",
    "RecordRules",
    "State",
    "engagement_of",
    "flow_of",
    "join",
    "join_flow",
    "pack",
    "record_of",
    "unpack",
    "without",
]
