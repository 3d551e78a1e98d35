"""How what learning platforms send is read (`recsys.adapters`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from recsys.settings.section import OptionalFile, OptionalSecret, Section, Texts


def _home_pages(pages: dict[str, str]) -> dict[str, str]:
    """Home pages without a slash at their end, as they are compared."""
    return {page.rstrip("/"): prefix for page, prefix in pages.items()}


def _credentials(secret: SecretStr | None) -> SecretStr | None:
    """Two parts, both there; what is wrong is said without the value."""
    user, colon, password = (secret.get_secret_value() if secret else "u:p").partition(":")
    if not (user and colon and password):
        raise ValueError("expected user:password")
    return secret


class AdapterSettings(Section):
    """Statements and logs of learning platforms."""

    xapi_home_pages: Annotated[Texts, AfterValidator(_home_pages)] = Field(
        default_factory=dict,
        description="xAPI `actor.account.homePage` → what is put before the account's name, as JSON, so that learner 7 "
        "of one platform is not learner 7 of another; accounts of other home pages are then refused. Empty: any home "
        "page, and the name alone.",
    )
    xapi_staff_file: OptionalFile = Field(
        default=None,
        description="Staff whose statements `POST /xapi/statements` leaves out, as `recsys ingest --staff` takes them; "
        "read at start.",
    )
    xapi_credentials: Annotated[OptionalSecret, AfterValidator(_credentials)] = Field(
        default=None,
        description="`user:password` that `POST /xapi/statements` asks for (HTTP Basic); empty: it asks for none.",
    )
