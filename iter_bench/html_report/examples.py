"""Example predictions as HTML: each document with gold and every system's brackets, right and wrong ones marked."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from iter_bench.document import Document, Entity, Extraction, Relation, Schema
from iter_bench.examples import Examples
from iter_bench.plots.style import SYSTEMS, look

SHOWN = 20
"""Documents on the page, about."""

ABOUT = (
    "Test documents of the embedded corpus, evenly chosen; nothing was selected by how it came out. Brackets mark entities "
    "with their type. ✓: in gold, with the same borders and types; ✗: not in gold; ○: in gold, and not found."
)


def examples_html(examples: Examples, schema: Schema) -> str:
    """One block a document, for `SHOWN` of them: a row for gold and for each system."""
    order = list(SYSTEMS)
    found = sorted(examples.found, key=lambda of: order.index(of[0].system) if of[0].system in order else len(order))
    runs = "; ".join(f"{look(record.system).label}: {record.file_name}" for record, _ in found)
    parts = [f"<p>{escape(ABOUT)}</p><p>Runs: {escape(runs)}.</p>"]
    for i, document in list(enumerate(examples.documents))[:: max(1, len(examples.documents) // SHOWN)]:
        gold = Extraction(document.id, document.entities, document.relations)
        rows = [_row("gold", document, gold, None, schema)]
        rows += [_row(look(record.system).label, document, of[i], gold, schema) for record, of in found]
        parts.append(f'<h3>{escape(document.id)}</h3><table class="examples"><tbody>{"".join(rows)}</tbody></table>')
    return "".join(parts)


def _row(name: str, document: Document, of: Extraction, gold: Extraction | None, schema: Schema) -> str:
    """The words with brackets, the relations, and what of gold is missing."""
    lines = [_words(document, of.entities, None if gold is None else set(gold.entities))]
    right = None if gold is None else {schema.ordered(relation) for relation in gold.relations}
    found = {schema.ordered(relation) for relation in of.relations}
    lines += [_item(_relation(document, r), None if right is None else r in right) for r in sorted(found)]
    if gold is not None:
        missed = [f"{_text(document, e)} ({e.type})" for e in gold.entities if e not in set(of.entities)]
        missed += [_relation(document, r) for r in sorted(right - found)]
        lines += [f'<div class="missed">○ {escape(item)}</div>' for item in missed]
    return f"<tr><th>{escape(name)}</th><td>{''.join(lines)}</td></tr>"


def _words(document: Document, entities: Iterable[Entity], right: set[Entity] | None) -> str:
    """Brackets stand for themselves, so that crossing spans can be shown too."""
    before: dict[int, list[str]] = {}
    after: dict[int, list[str]] = {}
    for entity in sorted(entities, key=lambda e: (e.start, -e.end)):
        before.setdefault(entity.start, []).append(_bracket("[", entity, right))
        after.setdefault(entity.end - 1, []).insert(0, _bracket(f"]{entity.type}", entity, right))
    return (
        "<div>"
        + " ".join("".join([*before.get(i, ()), escape(word), *after.get(i, ())]) for i, word in enumerate(document.words))
        + "</div>"
    )


def _bracket(text: str, entity: Entity, right: set[Entity] | None) -> str:
    kind = "gold" if right is None else "right" if entity in right else "wrong"
    sign = {"gold": "", "right": "✓", "wrong": "✗"}[kind] if text.startswith("]") else ""
    return f'<span class="{kind}">{escape(text)}{sign}</span>'


def _item(text: str, right: bool | None) -> str:
    kind, sign = ("gold", "") if right is None else ("right", "✓ ") if right else ("wrong", "✗ ")
    return f'<div class="{kind}">{sign}{escape(text)}</div>'


def _relation(document: Document, relation: Relation) -> str:
    return f"{_text(document, relation.head)} — {relation.type} → {_text(document, relation.tail)}"


def _text(document: Document, entity: Entity) -> str:
    return " ".join(document.words[entity.start : entity.end])
