"""ASP's settings, and what a saved system consists of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from iter_bench.document import Schema
from iter_bench.errors import UserError
from iter_bench.settings import Settings

CONFIG_FILE = "asp.json"
# of what the weights mean: with 1 all layers of a warm-started decoder read the encoder's output, with 2 the last; with 3 a
# bracket before the text stood where the start does
VERSION = 4


class AspSettings(Settings):
    """ASP's own settings of a run; defaults are those the authors ship for CoNLL04 where they ship one."""

    hidden: int = Field(1500, ge=1, description="inner width of the three feed-forward heads (150 for ACE05)")
    dropout: float = Field(0.3, ge=0, lt=1, description="in the heads, and on the states that the two pair scorers read")
    activation: Literal["gelu", "relu", "tanh"] = "relu"
    init_std: float = Field(0.02, gt=0, description="of the heads' new weights")
    task_prefix: str | None = Field(
        None, description="words before the text; none: 'relation extraction:' for T5, nothing for encoders that know no tasks"
    )
    bracket_positions: Literal["words", "subtokens"] = Field(
        "words", description="where decoding may put brackets: at word borders, or at every sub-token as released"
    )
    competing: Literal["released", "valid"] = Field(
        "released",
        description="actions in the loss's softmax: all, with </m> from the first <m> on, or those that decoding may choose",
    )
    max_steps: int | None = Field(None, ge=1, description="decoding stops after so many actions (released: 195); none: never")
    decoding: Literal["stepwise", "speculative"] = Field(
        "speculative", description="one output a pass of the decoder, or as many copies as come out right; same outputs"
    )
    lookahead: int | None = Field(
        None, ge=2, description="outputs that a pass of speculative decoding tries; none: as many as suit the rows of its batch"
    )


@dataclass(frozen=True)
class AspConfig:
    """What an ``AspModel`` is made of.

    Attributes:
        encoder: the encoder's own configuration, as a dictionary with ``model_type``.
        entity_types, relation_types, symmetric: the schema, in the order of the classes.
        prefix: sub-tokens of the task prefix.
        start: sub-token that the decoder is started with.
        opening, closing: ids of ``<m>`` and ``</m>``.
        context_opening, context_closing: ids of the markers around the sentence where there is context.
        settings: as ``AspSettings`` names them.
    """

    encoder: dict[str, Any]
    entity_types: tuple[str, ...]
    relation_types: tuple[str, ...]
    symmetric: tuple[str, ...]
    prefix: tuple[int, ...]
    start: int
    opening: int
    closing: int
    context_opening: int
    context_closing: int
    settings: AspSettings

    @property
    def schema(self) -> Schema:
        """The types as the rest of the suite knows them."""
        return Schema(self.entity_types, self.relation_types, frozenset(self.symmetric))

    @property
    def link_classes(self) -> int:
        """None, and each relation in both directions: 1 + 2·|T_R|."""
        return 1 + 2 * len(self.relation_types)

    def write(self, folder: Path) -> None:
        """Stores it in ``folder``."""
        content = {"version": VERSION, **asdict(self), "settings": self.settings.model_dump()}
        (folder / CONFIG_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> AspConfig:
        """What ``write`` stored.

        Raises:
            UserError: the file is missing, damaged, or of an iter-bench whose decoder was another.
        """
        path = folder / CONFIG_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if (version := content.pop("version", 1)) != VERSION:
                raise ValueError(f"its version is {version}, this iter-bench has {VERSION}; train the system anew")
            settings = AspSettings(**content.pop("settings"))
            lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
            return cls(**{**content, **lists}, settings=settings)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(f"{path}: not the configuration of a saved ASP system ({error})") from None
