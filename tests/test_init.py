"""Models that start from pre-trained weights."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from edgebert.config import ArithmeticConfig, ModelConfig, load_config
from edgebert.errors import UserError
from edgebert.init import (
    LAYER_NAMES,
    chosen_layers,
    init_tokenizer,
    initialise,
    load_bert,
    principal_components,
)
from edgebert.model import BinaryBert
from edgebert.tokenizer import Tokenizer, minilm_folder
from tests.trained import FULL, small_config, small_model

SENTENCES = [
    ("A warm, funny and quietly moving film.", None),
    ("It never rains in the desert.", "Yesterday it rained there all day long."),
    ("No.", None),
]


@pytest.fixture(scope="module")
def minilm() -> dict[str, Tensor]:
    """MiniLM's parameters, read without edgebert."""
    from safetensors.torch import load_file

    return load_file(minilm_folder() / "model.safetensors")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small BERT as transformers saves it, with its tokenizer."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60,
        hidden_size=24,
        num_hidden_layers=4,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=16,
    )
    BertModel(config).save_pretrained(tmp_path)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(55))]
    Tokenizer(words).save(tmp_path)
    return tmp_path


def full_model(config: ModelConfig, seed: int = 0) -> BinaryBert:
    return small_model(config, FULL, seed=seed).eval()


def variance(rows: Tensor, basis: Tensor) -> float:
    centred = rows - rows.mean(0)
    return float((centred @ basis).square().sum() / centred.square().sum())


def test_principal_components_are_those_of_the_svd() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5, 0.1])
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=generator))[0]
    table = 4 + (torch.randn(500, 6, generator=generator) * spread) @ rotation
    basis = principal_components(table, 3)
    expected = torch.linalg.svd(table - table.mean(0), full_matrices=False)[2][:3].T
    expected = expected * torch.where(expected.sum(0) >= 0, 1.0, -1.0)
    torch.testing.assert_close(basis, expected, rtol=1e-4, atol=1e-4)


def test_a_narrow_model_takes_the_words_principal_components(minilm: dict[str, Tensor]) -> None:
    config = load_config("tiny").model
    model, before = full_model(config), full_model(config).state_dict()
    initialise(model, "minilm")
    words = minilm["embeddings.word_embeddings.weight"].float()
    basis = principal_components(words, config.hidden)
    assert basis.shape == (words.shape[1], config.hidden)
    torch.testing.assert_close(basis.T @ basis, torch.eye(config.hidden), rtol=0, atol=1e-5)
    random = torch.randn(basis.shape, generator=torch.Generator().manual_seed(0))
    random = torch.linalg.qr(random)[0]
    explained = variance(words, basis)
    assert explained > variance(words, random) + 0.1
    # the largest variance that any basis of that width has
    centred = words - words.mean(0)
    largest = torch.linalg.eigvalsh((centred.T @ centred).double()).flip(0)
    assert explained == pytest.approx(float(largest[: config.hidden].sum() / largest.sum()), 1e-4)
    torch.testing.assert_close(model.word.weight.detach(), (words - words.mean(0)) @ basis)
    for name, tensor in model.state_dict().items():  # nothing else changes
        assert torch.equal(tensor, before[name]) == (name != "word.weight"), name


def test_a_shallow_model_takes_evenly_spaced_layers(minilm: dict[str, Tensor]) -> None:
    config = ModelConfig(layers=2, hidden=384, heads=12, ffn=1536)
    model = full_model(config)
    initialise(model, "minilm")
    for layer, number in zip(model.layers, (2, 5), strict=True):  # the third and the sixth
        for part, name in LAYER_NAMES.items():
            module = getattr(layer, part)
            for kind in ("weight", "bias"):
                expected = minilm[f"encoder.layer.{number}.{name}.{kind}"]
                assert torch.equal(getattr(module, kind), expected), (part, kind)
    assert torch.equal(model.word.weight, minilm["embeddings.word_embeddings.weight"])
    positions = minilm["embeddings.position_embeddings.weight"]
    assert torch.equal(model.position.weight, positions[: config.max_tokens])
    assert torch.equal(model.token_type.weight, minilm["embeddings.token_type_embeddings.weight"])
    assert torch.equal(model.embedding_norm.weight, minilm["embeddings.LayerNorm.weight"])
    assert torch.equal(model.pooler.weight, minilm["pooler.dense.weight"])


def test_chosen_layers_are_even_and_end_with_the_last() -> None:
    assert chosen_layers(2, 6) == [2, 5]
    assert chosen_layers(6, 6) == [0, 1, 2, 3, 4, 5]
    assert chosen_layers(1, 6) == [5]
    assert chosen_layers(4, 6) == [0, 2, 3, 5]
    assert chosen_layers(5, 12) == [1, 3, 6, 8, 11]


def hidden_states(folder: Path, model: BinaryBert, tokenizer: Tokenizer) -> float:
    """Largest difference of any hidden state of real sentences from transformers'."""
    from transformers import AutoModel

    bert = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    largest = 0.0
    for text, text_b in SENTENCES:
        encoding = tokenizer.encode(text, text_b)
        ids, types = torch.tensor([encoding.input_ids]), torch.tensor([encoding.token_type_ids])
        mask = torch.ones_like(ids)
        with torch.no_grad():
            ours = model(ids, types, mask).hidden
            theirs = bert(
                input_ids=ids,
                token_type_ids=types,
                attention_mask=mask,
                output_hidden_states=True,
            ).hidden_states
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            largest = max(largest, float((a - b).abs().max()))
    return largest


def test_all_of_minilm_computes_what_transformers_does() -> None:
    model = full_model(load_config("minilm").model)
    tokenizer = init_tokenizer("minilm", 128)
    assert hidden_states(minilm_folder(), model, tokenizer) > 0.1
    initialise(model, "minilm")
    assert hidden_states(minilm_folder(), model, tokenizer) < 1e-4


def test_a_folder_is_a_source_with_its_own_tokenizer(source: Path) -> None:
    tokenizer = init_tokenizer(str(source), 12)
    assert tokenizer.vocab[5] == "w0" and len(tokenizer.vocab) == 60 and tokenizer.max_tokens == 12
    model = full_model(small_config(layers=4))
    initialise(model, str(source))
    assert hidden_states(source, model, tokenizer) < 1e-4


def failure(config: ModelConfig, source: str) -> str:
    """The one line of the UserError."""
    with pytest.raises(UserError) as caught:
        initialise(full_model(config), source)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"--init {source}: expected")
    return message


def test_another_vocabulary_is_an_error(source: Path) -> None:
    message = failure(small_config(vocab=61), str(source))
    assert "model.vocab = 61, got 60" in message


@pytest.mark.parametrize("sizes", [{"layers": 5}, {"hidden": 48}])
def test_a_model_larger_than_its_source_is_an_error(source: Path, sizes: dict[str, int]) -> None:
    message = failure(small_config(**sizes), str(source))
    assert "got 4 of 24; choose a smaller --config" in message


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"max_tokens": 17}, "model.max_tokens of at most 16, got 17"),
        ({"token_types": 3}, "model.token_types of at most 2, got 3"),
        ({"heads": 4}, "model.heads = 3, got 4"),
    ],
)
def test_a_model_of_other_tables_or_heads_is_an_error(
    source: Path, sizes: dict[str, int], expected: str
) -> None:
    assert expected in failure(small_config(**sizes), str(source))


def test_another_kind_of_model_is_an_error(tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(vocab_size=60, dim=24, hidden_dim=40, n_layers=1, n_heads=3)
    DistilBertModel(config).save_pretrained(tmp_path)
    assert "expected a BERT model, got distilbert" in failure(small_config(), str(tmp_path))


@pytest.mark.parametrize("name", ["no-such/model", "a/b/c", "no-such-model"])
def test_an_unknown_source_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "a folder, or a hub id" in failure(small_config(), name)
    with pytest.raises(UserError, match=f"--init {name}: expected minilm"):
        init_tokenizer(name, 128)


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    assert "a folder, or a hub id" in failure(small_config(), str(tmp_path))


def test_without_a_source_the_tokenizer_is_minilms() -> None:
    tokenizer = init_tokenizer(None, 64)
    assert tokenizer.vocab == init_tokenizer("minilm", 64).vocab
    assert len(tokenizer.vocab) == ModelConfig(1, 8, 1, 8).vocab and tokenizer.max_tokens == 64


def test_loaded_parameters_are_float32(source: Path) -> None:
    state, config = load_bert(str(source))
    assert all(tensor.dtype == torch.float32 for tensor in state.values())
    assert (config.num_hidden_layers, config.hidden_size) == (4, 24)
    assert BinaryBert(small_config(), ArithmeticConfig(), 2, FULL).word.weight.shape == (60, 24)
