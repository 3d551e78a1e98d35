"""What learning platforms write, turned into interactions before it reaches the topic (docs/platforms.md).

In come the bytes of one line (a log line, a statement, a row); out comes one of three outcomes: `Mapped`, an
interaction and the platform's name of what it was made from; `Skipped`, a name that maps to nothing; `Refused`, a
reason and an example. Invariants, each held by a test:

- No personal data leaves an adapter: no name, address, e-mail, host or referer is in an interaction, in a name or in
  an example. An example says what was expected and where; it never quotes a line.
- An adapter raises nothing for whatever bytes it is given.
- The same bytes give the same interaction, whenever they are read: an event id is made of what happened
  (`ids.semantic_id`), and no clock is read. So a log may be sent again.

`lines` reads any file or pipe as bounded lines, `summary` counts the outcomes. What sends them to Kafka is
`infra.ingest`; nothing here knows of it.
"""

from recsys.adapters.outcomes import Mapped, Outcome, Parse, Refused, Skipped, mapped

__all__ = ["Mapped", "Outcome", "Parse", "Refused", "Skipped", "mapped"]
