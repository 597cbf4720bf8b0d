"""What the ``config.json`` of a released ITER (``fleonce/iter-*``) says, in the settings of ``IterConfig``.

What it leaves unsaid, the released code decides; those choices are spelled out in ``settings_of``.
"""

from __future__ import annotations

from typing import Any

from iter_bench.errors import SettingsError

# Bits of `features` that decide something here; bit 21, no is_link head, says nothing that the weights don't.
CONTEXT, NO_SPAN_CLASS, BATCH_MEAN, NESTED, NER_ONLY, SYMMETRIC_BOTH = 3, 5, 8, 9, 11, 16
UNSUPPORTED = {
    0: "NER from an earlier layer",
    1: "summed representations",
    4: "log-sum-exp link loss",
    6: "T5 decoder layers",
    7: "a 'no link' class",
    12: "T5 decoder layers",
    15: "cross-entropy over relations",
    18: "inverse relations as negatives",
}


def settings_of(released: dict[str, Any]) -> dict[str, Any]:
    """The settings of ``IterConfig`` that a released configuration stands for.

    Raises:
        SettingsError: it asks for one of the experimental features that no published checkpoint uses.
        KeyError, TypeError, ValueError, AttributeError, OverflowError: it is damaged.
    """
    features = int(released.get("features", 0))
    if asked := [what for bit, what in UNSUPPORTED.items() if features >> bit & 1]:
        raise SettingsError(f"this released checkpoint uses {', '.join(asked)}, which the reference ITER doesn't have")
    nested = bool(features >> NESTED & 1)
    if nested != bool(features >> NO_SPAN_CLASS & 1):
        raise SettingsError("this released checkpoint has only one of the features 5 (no-span class) and 9 (nested)")
    encoder = released["transformer_config"]
    return {
        "encoder": encoder,
        "tokenizer": encoder.get("_name_or_path", ""),
        "entity_types": released["entity_types"],
        "relation_types": [] if features >> NER_ONLY & 1 else released["link_types"],
        "omega": released["max_nest_depth"] if nested else 1,
        "d_ff": released["d_ff"],
        "two_vector_scale": 2 if released.get("use_scale") else 1,
        "activation": released["activation_fn"],
        "gate": released.get("use_gate", True),
        "dropout": released["dropout"],
        "link_threshold": released.get("threshold", 0.5),
        "context_markers": bool(features >> CONTEXT & 1),
        "bracket_positions": "subtokens",
        "span_decision": "argmax",
        "no_span": "class",
        "link_span": "sum" if nested else "right",
        "link_loss": "all",
        "symmetric_targets": "both" if features >> SYMMETRIC_BOTH & 1 else "once",
        "loss_reduction": "mean" if features >> BATCH_MEAN & 1 else "sum",
        "self_links": True,
    }
