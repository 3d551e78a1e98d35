"""Whose state it is: which differences are certain, and what each is told with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recsys.errors import ForeignState
from recsys.owner import LogIdentity, StateOwner, check_deployment, check_owner

LOG = LogIdentity("interactions", "id-a", "cluster-1")
OWN = StateOwner("staging", "g", LOG)
KEY = "recsys:topology"


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (LOG, False),
        (replace(LOG, topic_id="id-b"), True),
        (LogIdentity("interactions", "id-b", "cluster-2"), True),
        (replace(LOG, cluster_id="cluster-2"), False),  # a cluster that was restored from its disks has its topics' ids
        (LogIdentity("interactions"), False),
        (LogIdentity("clicks"), True),
        (LogIdentity("interactions", None, "cluster-2"), True),
        (LogIdentity("interactions", None, "cluster-1"), False),
    ],
)
def test_ids_decide_where_they_are_known_and_names_where_not(other: LogIdentity, differs: bool) -> None:
    assert (LOG.differs_from(other), other.differs_from(LOG)) == (differs, differs)


def test_the_same_owner_and_an_earlier_release_that_names_none_pass() -> None:
    check_owner(KEY, OWN, OWN)
    check_owner(KEY, None, OWN)
    check_deployment(KEY, None, "staging")


def test_a_topic_made_anew_is_told_with_both_ids_and_the_way_out() -> None:
    with pytest.raises(ForeignState) as told:
        check_owner(KEY, OWN, replace(OWN, log=LogIdentity("interactions", "id-b", "cluster-1")))
    assert all(part in str(told.value) for part in ("id-a", "id-b", "recsys:topology", "`recsys rebuild` starts over"))
    assert (told.value.exit_status, "\n" in str(told.value)) == (4, False)


def test_a_second_group_and_another_deployment_are_told_with_their_settings() -> None:
    with pytest.raises(ForeignState, match=r"group 'h', and this process is of 'g'.*RECSYS_REDIS_KEY_PREFIX"):
        check_owner(KEY, replace(OWN, group="h"), OWN)
    with pytest.raises(ForeignState, match=r"deployment 'live', .* 'staging' \(RECSYS_DEPLOYMENT\).*--take-over"):
        check_owner(KEY, replace(OWN, deployment="live", group="h"), OWN)
