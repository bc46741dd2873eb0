"""Towers of the transformers library: names and sizes of the real models, tokens, folders, and what they lack."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vse.errors import InputError
from vse.nn.towers.tower import build_image_tower, build_text_tower, picture_input

transformers = pytest.importorskip("transformers")
save_file = pytest.importorskip("safetensors.torch").save_file

ModelFolder = Callable[..., Path]

CLIP_BASE_16 = {
    "vision_config": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "patch_size": 16},
    "text_config": {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8},
}


def size_of(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def config_folder(folder: Path, config: Any) -> Path:
    config.save_pretrained(folder)
    preprocessing = {"size": {"height": 224, "width": 224}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


def test_real_picture_models_have_their_published_sizes(tmp_path: Path) -> None:
    folders = {
        (85_798_656 + 768 * 769, 196): config_folder(tmp_path / "vit", transformers.ViTConfig()),
        (86_192_640 - 512 * 768, 196): config_folder(tmp_path / "clip", transformers.CLIPConfig(**CLIP_BASE_16)),
    }
    for (size, tokens), folder in folders.items():
        with torch.device("meta"):
            tower = build_image_tower(f"hf:{folder}", pretrained=False)
        assert tower.shape == (tokens, 768)
        assert size_of(tower) == size


def test_real_text_models_have_their_published_sizes(tmp_path: Path) -> None:
    with torch.device("meta"):
        bert = build_text_tower(f"hf:{config_folder(tmp_path / 'b', transformers.BertConfig())}", pretrained=False)
        clip = build_text_tower(
            f"hf:{config_folder(tmp_path / 'c', transformers.CLIPConfig(**CLIP_BASE_16))}", pretrained=False
        )
    assert size_of(bert) == 109_482_240
    assert "network.encoder.layer.11.attention.self.query.weight" in bert.state_dict()
    assert size_of(clip) == 63_165_952
    assert (bert.dimensions, clip.dimensions) == (768, 512)


RENAMED = {
    r"^layers\.": "encoder.layer.",
    r"attention\.q_proj\.": "attention.SELF.query.",
    r"attention\.k_proj\.": "attention.SELF.key.",
    r"attention\.v_proj\.": "attention.SELF.value.",
    r"attention\.o_proj\.": "attention.output.dense.",
    r"attention\.relative_position_bias\.": "attention.SELF.",
    r"mlp\.fc1\.": "intermediate.dense.",
    r"mlp\.fc2\.": "output.dense.",
}
"""Names of weights in transformers 5 -> names in the files on the hub, which are older."""


def published_name(kind: str, name: str) -> str:
    """Name a weight as the file of the published model does: google's ViT, Microsoft's Swin, OpenAI's CLIP, BERT."""
    if kind == "bert":
        return "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    if kind in ("vision_model", "text_model"):
        return f"{kind}.{name.removeprefix(f'{kind}.')}"
    for pattern, other in RENAMED.items():
        name = re.sub(pattern, other.replace("SELF", {"vit": "attention", "swin": "self"}[kind]), name)
    return f"swin.{name}" if kind == "swin" else name


NARROW = {"hidden_size": 12, "intermediate_size": 8, "num_attention_heads": 2}
AS_DEEP_AS_PUBLISHED = {
    "vit": lambda: transformers.ViTConfig(**NARROW, image_size=32),
    "swin": lambda: transformers.SwinConfig(
        image_size=32, patch_size=1, embed_dim=4, depths=[2, 2, 18, 2], num_heads=[2] * 4
    ),
    "bert": lambda: transformers.BertConfig(**NARROW, vocab_size=30),
    "clip": lambda: transformers.CLIPConfig(
        text_config={**NARROW, "vocab_size": 30}, vision_config={**NARROW, "image_size": 32, "patch_size": 8}
    ),
}


@pytest.mark.parametrize(
    ("kind", "part", "tensors"),
    [
        ("vit", "vit", 200),
        ("swin", "swin", 423),
        ("bert", "bert", 199),
        ("clip", "vision_model", 199),
        ("clip", "text_model", 196),
    ],
)
def test_files_with_the_names_on_the_hub_fill_every_weight(kind: str, part: str, tensors: int, tmp_path: Path) -> None:
    folder = config_folder(tmp_path / kind, AS_DEEP_AS_PUBLISHED[kind]())
    build = build_text_tower if part in ("bert", "text_model") else build_image_tower
    torch.manual_seed(1)
    drawn = {
        name: torch.randn_like(value)
        for name, value in build(f"hf:{folder}", pretrained=False).network.named_parameters()
    }
    assert len(drawn) == tensors
    published = {published_name(part, name): value for name, value in drawn.items()}
    extras = {"logit_scale": torch.ones(()), "classifier.bias": torch.ones(3), "cls.predictions.bias": torch.ones(3)}
    save_file({**published, **extras}, folder / "model.safetensors", metadata={"format": "pt"})
    found = build(f"hf:{folder}").network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in drawn.items())


def test_clips_towers_are_those_of_the_whole_model(model_folder: ModelFolder) -> None:
    folder = model_folder("clip")
    whole = transformers.CLIPModel.from_pretrained(folder).eval()
    pixels = torch.randn(2, 3, 32, 32)
    ids = torch.tensor([[2, 7, 8, 9, 3], [2, 6, 3, 1, 1]])
    image = build_image_tower(f"hf:{folder}", pooled=True).eval()(pixels)
    text = build_text_tower(f"hf:{folder}", pooled=True).eval()(ids, torch.tensor([5, 3]))
    torch.testing.assert_close(image, whole.vision_model(pixels).pooler_output)
    torch.testing.assert_close(text, whole.text_model(ids).pooler_output)
    tokens = build_image_tower(f"hf:{folder}").eval()(pixels)
    states = whole.vision_model(pixels).last_hidden_state
    torch.testing.assert_close(tokens, whole.vision_model.post_layernorm(states)[:, 1:])


def test_siglips_captions_are_padded_to_the_full_length(model_folder: ModelFolder) -> None:
    folder = model_folder("siglip")
    whole = transformers.SiglipModel.from_pretrained(folder).eval()
    ids = torch.tensor([[7, 8, 9, 3]])
    full = torch.nn.functional.pad(ids, (0, 8), value=1)
    expected = whole.text_model(full)
    tower = build_text_tower(f"hf:{folder}").eval()
    torch.testing.assert_close(tower(ids, torch.tensor([4])), expected.last_hidden_state[:, :4])


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [("vit", 1), ("deit", 2), ("swin", 0), ("dinov2", 1), ("dinov2_with_registers", 5), ("siglip", 0)],
)
def test_tokens_are_the_last_states_of_the_patches(kind: str, prefix: int, model_folder: ModelFolder) -> None:
    folder = model_folder(kind)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    model = model.vision_model if kind == "siglip" else model
    pixels = torch.randn(2, 3, 32, 32)
    tower = build_image_tower(f"hf:{folder}").eval()
    torch.testing.assert_close(tower(pixels), model(pixels).last_hidden_state[:, prefix:])


def test_a_folder_that_lacks_weights_is_refused(model_folder: ModelFolder) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    folder = model_folder("vit")
    state = safetensors.load_file(folder / "model.safetensors")
    lost = next(key for key in state if "layernorm" in key)
    del state[lost]
    safetensors.save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"lacks .*layernorm"):
        build_image_tower(f"hf:{folder}")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors"):
        build_image_tower(f"hf:{folder}")


def test_weights_come_from_a_file_too(model_folder: ModelFolder) -> None:
    folder = model_folder("vit")
    moved = folder.parent / "weights.safetensors"
    expected = build_image_tower(f"hf:{folder}").state_dict()
    (folder / "model.safetensors").rename(moved)
    found = build_image_tower(f"hf:{folder}", weights=moved).state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


@pytest.mark.parametrize("kind", ["bert", "clip", "siglip"])
def test_a_checkpoint_needs_no_folder_of_a_text_tower(kind: str, model_folder: ModelFolder) -> None:
    folder = model_folder(kind)
    config = transformers.AutoConfig.from_pretrained(folder)
    values = json.loads(getattr(config, "text_config", config).to_json_string(use_diff=False))
    expected = build_text_tower(f"hf:{folder}").state_dict()
    bare = build_text_tower("hf:gone", pretrained=False, config=values).state_dict()
    assert {name: value.shape for name, value in bare.items()} == {
        name: value.shape for name, value in expected.items()
    }


def test_another_size_resamples_the_positions(model_folder: ModelFolder) -> None:
    for kind in ("vit", "clip", "siglip", "dinov2"):
        assert build_image_tower(f"hf:{model_folder(kind)}", 64).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 64, 16)


def test_an_unreachable_model_names_what_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", no_network)
    with pytest.raises(InputError, match=r"owner/model: no such folder.*download its config\.json.*give their folder"):
        build_image_tower("hf:owner/model")


def test_other_types_and_missing_preprocessing_are_refused(model_folder: ModelFolder) -> None:
    with pytest.raises(InputError, match="a model of type bert; expected one of vit"):
        build_image_tower(f"hf:{model_folder('bert')}")
    with pytest.raises(InputError, match="a model of type vit; expected one of bert"):
        build_text_tower(f"hf:{model_folder('vit')}")
    folder = model_folder("clip")
    (folder / "preprocessor_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"preprocessor_config\.json is missing or lacks size"):
        picture_input(f"hf:{folder}")
