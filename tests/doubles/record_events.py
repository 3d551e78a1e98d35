"""Events for property tests of the record: few courses, times and values, so that they meet each other often."""

from __future__ import annotations

from hypothesis import strategies as st

from recsys.engagement import LANDMARK_MS, MS_PER_DAY
from recsys.events import Interaction
from recsys.vocabulary import CONTROL, VOCABULARY

KINDS = [kind for kind in VOCABULARY if kind not in CONTROL]
VALUES = {
    "progress": st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.89, 0.9, 1.0]) | st.floats(0, 1),
    "rate": st.sampled_from([1.0, 2.0, 3.0, 4.5, 5.0]) | st.floats(1, 5),
}

TIMES = st.one_of(
    st.integers(0, 40).map(lambda days: LANDMARK_MS + days * MS_PER_DAY),
    st.integers(-20, 20).map(lambda hours: LANDMARK_MS + 3 * MS_PER_DAY + hours * 3_600_000),
    st.integers(946_684_800_000, 2_208_988_800_000),
)


@st.composite
def events(draw: st.DrawFn, kinds: list[str] | None = None) -> Interaction:
    """An event of one learner with one course; its id says nothing."""
    kind = draw(st.sampled_from(kinds or KINDS))
    value = draw(VALUES[kind]) if kind in VALUES else draw(st.none() | st.floats(0, 5))
    return Interaction("e", "u", "c", kind, draw(TIMES), value)  # type: ignore[arg-type]
