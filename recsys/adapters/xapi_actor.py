"""Who a statement is about: an id, and never an address or a name.

The learner is `actor.account.name`, or `actor.mbox_sha1sum`; a statement that names its actor by a raw e-mail address
is refused, and neither an address nor the actor's name goes any further.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from recsys.adapters.outcomes import Skipped, safe_name
from recsys.adapters.xapi_statement import NoEvent, inner, refused
from recsys.errors import RefusalReason

_SHA1: Final = re.compile(r"[0-9a-fA-F]{40}")
_MAY_BE_PERSONAL: Final = re.compile(r"[@\s]")
"""In an account's name: an e-mail address has the one, a person's name the other."""


def learner_of(statement: Mapping[str, Any], verb: str, home_pages: Mapping[str, str]) -> str:
    """The learner's id.

    Args:
        statement: As it came.
        verb: Its verb, to name what is skipped.
        home_pages: Of `recsys.adapters.xapi_fields.XapiRules`.

    Raises:
        NoEvent: The actor is missing, a group, or named by nothing but personal data.
    """
    actor = inner(statement, "actor")
    if actor.get("objectType", "Agent") == "Group":
        raise NoEvent(Skipped(safe_name(verb), "a group of learners"))
    if account := inner(actor, "account"):
        return _account(account, home_pages)
    digest = actor.get("mbox_sha1sum")
    if isinstance(digest, str) and _SHA1.fullmatch(digest):
        return digest.lower()
    received = "mbox, which is an e-mail address" if "mbox" in actor else "neither" if actor else "no actor"
    raise refused(RefusalReason.BAD_ID, f"expected actor.account or actor.mbox_sha1sum, received {received}")


def _account(account: Mapping[str, Any], home_pages: Mapping[str, str]) -> str:
    name = account.get("name")
    if not isinstance(name, str) or not name.strip():
        raise refused(RefusalReason.BAD_ID, "expected actor.account.name as text that is not empty")
    if _MAY_BE_PERSONAL.search(name.strip()):
        raise refused(RefusalReason.BAD_ID, "expected actor.account.name as an id without @ and blanks")
    if not home_pages:
        return name.strip()
    prefix = home_pages.get(str(account.get("homePage")).rstrip("/"))
    if prefix is None:
        raise refused(RefusalReason.BAD_ID, "expected an actor.account.homePage of RECSYS_XAPI_HOME_PAGES")
    return prefix + name.strip()
