"""Whether an encoder's weights can be had, and its architecture, without loading either: asked before a matrix starts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers import AutoConfig, PreTrainedModel

from iter_bench import hub
from iter_bench.encoders.architectures import HUB_NAMES, RANDOM, hyper_parameters
from iter_bench.encoders.families import encoder_from_config
from iter_bench.encoders.loading import encoder_config, source_of
from iter_bench.errors import SettingsError, UserError
from iter_bench.settings import TRAINED

TIMEOUT = 10
"""Seconds that the hub has for an answer; one that doesn't come is not waited for again."""


@cache
def problem(name: str) -> str | None:
    """Why the encoder can't be had, in a sentence; None where it can. Asks the hub only for what isn't on this machine."""
    random = name.startswith(RANDOM)
    try:
        source = source_of(name.removeprefix(RANDOM))
    except SettingsError as error:
        return str(error)
    if source.local:
        there = Path(source.location, "config.json").is_file()
        return None if there else f"encoder {name!r}: {source.location} lacks config.json"
    try:
        if (random and name.removeprefix(RANDOM) in HUB_NAMES) or hub.is_here(source.location, weights=not random):
            return None
    except HFValidationError:
        return f"encoder {name!r}: there is no such folder, and no repository of the hub can be called that"
    if constants.HF_HUB_OFFLINE:
        return f"encoder {name!r}: {source.location} is not on this machine, and HF_HUB_OFFLINE forbids to fetch it"
    if (answer := _ask_hub(source.location, weights=not random)) is None:
        return None
    return f"encoder {name!r}: {source.location} is not on this machine, and {answer}; or name a folder that holds it"


_unreachable = False


def _ask_hub(name: str, *, weights: bool) -> str | None:
    global _unreachable
    repository, revision = hub.split(name)
    if _unreachable:
        return "the hub can't be reached"
    try:
        files = {file.rfilename for file in HfApi().model_info(repository, revision=revision, timeout=TIMEOUT).siblings or ()}
    except GatedRepoError:
        return "the hub gives it only to those who accepted its terms"
    except RepositoryNotFoundError:
        return "the hub has no repository of that name"
    except RevisionNotFoundError:
        return f"the hub has no revision {revision} of it"
    except HfHubHTTPError as error:
        return f"the hub answers {error.response.status_code if error.response is not None else 'nothing'}"
    except Exception:  # no name, no route, no answer in time: each HTTP client has its own errors
        _unreachable = True
        return "the hub can't be reached"
    if weights and not files & {hub.ONE_FILE, hub.INDEX}:
        return "it holds no model.safetensors (docs/encoders.md says how to convert it)"
    return None


@cache
def architecture(name: str) -> PreTrainedModel | None:
    """The encoder without memory for its weights, to count from; None where its configuration isn't on this machine."""
    if name.startswith(TRAINED):  # known only with the runs beside it
        return None
    base = name.removeprefix(RANDOM)
    short = {repository: short for short, repository in HUB_NAMES.items()}.get(base, base)
    try:
        if short in HUB_NAMES:
            config = AutoConfig.for_model(**hyper_parameters(short))
        elif (source := source_of(base)).local or hub.is_here(source.location, weights=False):
            config = encoder_config(base)
        else:
            return None
        with torch.device("meta"):
            return encoder_from_config(config)
    except UserError:
        return None
