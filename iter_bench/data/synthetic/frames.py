"""What a relation is in this corpus: its argument types and the ways in which English states or denies it.

A clause is a string of words; punctuation stands apart. In it

- ``{h}`` and ``{t}`` are the relation's head and tail, with an article where the name takes one;
- ``{person}``, ``{organization}`` ... are bystanders, annotated as entities but in no relation;
- ``{year}``, ``{month}``, ``{day}``, ``{count}`` are words of that kind, not annotated;
- ``{h's}`` is a possessive, ``{t^}`` has no article, ``{t+}`` may become "A and B", each with the relation, and ``{h~}``
  never takes an apposition, as plain ``{h}`` may;
- ``a|b|c`` is a choice, in which ``_`` is a space; an empty choice leaves the words out.
"""

from __future__ import annotations

from dataclasses import dataclass

Clauses = tuple[str, ...]


@dataclass(frozen=True)
class Frame:
    """One relation type between two entity types.

    Attributes:
        relation: relation type.
        head: entity type of the head.
        tail: entity type of the tail.
        stated: clauses by falling frequency; used in every split.
        dev: paraphrases that occur in dev only.
        test: paraphrases that occur in test only.
        denied: clauses that mention such a pair and deny it, doubt it or only imagine it.
        apposed: appositions; one with ``{t}`` follows a head, one with ``{h}`` follows a tail.
        across: clauses about the only entity of its type in the sentence before: it is the head if they have ``{t}``, else
            the tail.
        symmetric: head and tail may change places.
    """

    relation: str
    head: str
    tail: str
    stated: Clauses
    dev: Clauses
    test: Clauses
    denied: Clauses
    apposed: Clauses = ()
    across: Clauses = ()
    symmetric: bool = False
