"""VSE-infinity computes what the published network computes (tests/golden/vseinfty: numbers that it produced)."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck
from transformers import BertConfig, BertModel

from tests.parity.golden import GOLDEN, GoldenFile, relative
from vse.checkpoints import load_weights
from vse.data.batches import CaptionBatch, ImageBatch
from vse.losses import Objective, ObjectiveOptions, Warmup, build_objective, resolve
from vse.losses.objective import Pairs
from vse.nn.network import Embeddings
from vse.published import checkpoints as published
from vse.text.augmented import AugmentedCaptions
from vse.text.word_pieces import WordPieces
from VSEinfty_LSEH import loss, model
from VSEinfty_LSEH.backbones import GridTower, body, caffe_layout
from VSEinfty_LSEH.model import BertEncoder, GridEncoder, RegionEncoder, VSEinfty, WordEncoder, keep
from VSEinfty_LSEH.pooling import GeneralisedPooling, rank_encoding
from VSEinfty_LSEH.schedule import fixed_blocks, make_optimizer

CLOSE = 1e-6  # the golden numbers are stored in float32


class Golden(GoldenFile):
    """Options, the network they describe in float64, batches of the file's inputs."""

    def __init__(self, name: str) -> None:
        super().__init__("vseinfty", name)
        self.options = SimpleNamespace(**self.settings.get("opt", {}), bert_lr_factor=None)

    def parameters(self, prefix: str) -> dict[str, Tensor]:
        """Expected values by our names."""
        sides = {"img/": "image_encoder.", "txt/": "caption_encoder."}
        return {sides[key[:4]] + key[4:]: tensor for key, tensor in self.under(prefix).items() if key[:4] in sides}

    def network(self) -> VSEinfty:
        o = self.options
        images: RegionEncoder | GridEncoder
        tower: GridTower | None = None
        if o.precomp_enc_type == "backbone":
            images = GridEncoder(o.img_dim, o.embed_size, not o.no_imgnorm)
            tower = GridTower(self._backbone())
        else:
            images = RegionEncoder(o.img_dim, o.embed_size, not o.no_imgnorm)
        captions: BertEncoder | WordEncoder
        if "bert_config" in self.settings:
            bert = {**self.settings["bert_config"], "hidden_act": "gelu"}
            captions = BertEncoder(
                BertModel(BertConfig(**bert, attn_implementation="sdpa")),
                bert["hidden_size"],
                o.embed_size,
                not o.no_txtnorm,
            )
        else:
            case = self.settings["case"]
            captions = WordEncoder(case["vocab"], case["word_dim"], o.embed_size, case["layers"], not o.no_txtnorm)
        network = VSEinfty(images, captions)
        network.image_tower = tower
        state = network.import_published([self.under("img/"), self.under("txt/")], {})
        unknown = network.load_state_dict(state, strict=False)
        missing = [
            name
            for name in unknown.missing_keys
            if not name.endswith("num_batches_tracked") and (self.under("txt/") or not name.startswith("caption_"))
        ]
        assert not missing
        assert not unknown.unexpected_keys
        return network.double()

    def _backbone(self) -> nn.Module:
        """A Caffe-style ResNet of a sixteenth of the width, one block a stage."""
        width = self.settings["width"]
        network = nn.Module()
        network.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        network.bn1, network.relu, network.maxpool = nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        before = width
        for stage, blocks in enumerate(self.settings["blocks"]):
            planes, stride = width * 2**stage, 1 if stage == 0 else 2
            down = nn.Sequential(nn.Conv2d(before, 4 * planes, 1, stride, bias=False), nn.BatchNorm2d(4 * planes))
            rest = [Bottleneck(4 * planes, planes) for _ in range(blocks - 1)]
            network.add_module(f"layer{stage + 1}", nn.Sequential(Bottleneck(before, planes, stride, down), *rest))
            before = 4 * planes
        layers = body(network)
        caffe_layout(layers)
        return layers

    def scores(self, network: VSEinfty, prefix: str = "in/") -> Tensor:
        """Scores of a batch whose regions are already dropped."""
        batch = self.under(prefix)
        images = network.image_encoder(batch["images"].double(), batch["image_lengths"].long())
        captions = network.caption_encoder(batch["captions"], batch["lengths"])
        return network.similarity(Embeddings(images), Embeddings(captions))


def hinge(name: str, margin: float) -> Objective:
    return build_objective(resolve(ObjectiveOptions(loss=name, margin=margin)))


def pairs_of(scores: Tensor) -> Pairs:
    rows = torch.arange(len(scores))
    return Pairs(rows, rows)


def update(network: VSEinfty, optimizer: torch.optim.Optimizer, loss_: Tensor, clip: float) -> None:
    optimizer.zero_grad()
    loss_.backward()
    if clip > 0:
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], clip)
    optimizer.step()


@pytest.mark.parametrize("case", ["c0_varlen", "c1_crop", "c4_ties_relu"])
def test_pooling(case: str) -> None:
    golden = Golden("gpo")
    sizes = next(entry for entry in golden.settings["cases"] if entry["name"] == case)
    pooling = GeneralisedPooling(sizes["d_pe"], sizes["d_hidden"])
    pooling.load_state_dict(golden.under(f"{case}/param/"))
    pooling.double()
    inputs, wanted, gradients = (golden.under(f"{case}/{part}/") for part in ("in", "out", "grad"))
    features, lengths = inputs["features"].double().requires_grad_(), inputs["lengths"].long()

    assert torch.equal(rank_encoding(int(lengths.max()), sizes["d_pe"]), wanted["pe"])
    assert relative(pooling.weights(lengths), wanted["weights"].squeeze(-1)) < CLOSE
    pooled = pooling(features, lengths)
    assert relative(pooled, wanted["pooled"]) < CLOSE
    (pooled * inputs["upstream"]).sum().backward()
    assert gradients
    for name, gradient in gradients.items():
        ours = features.grad if name == "features" else pooling.get_parameter(name).grad
        assert ours is not None
        assert relative(ours, gradient) < CLOSE, name


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_regions_and_bert_embeddings_scores_and_losses(mode: str) -> None:
    golden = Golden("region_bert")
    network = golden.network().train(mode == "train")
    batch, wanted = golden.under("in/"), golden.under(f"out_{mode}/")
    images, lengths = batch["images"].double(), batch["image_lengths"].long()
    encoder = network.image_encoder
    assert isinstance(encoder, RegionEncoder)
    assert encoder.mlp is not None
    assert relative(encoder.gpool.weights(lengths), wanted["img_pool_weights"].squeeze(-1)) < CLOSE
    if mode == "eval":
        assert relative(encoder.fc(images) + encoder.mlp(images, lengths), wanted["img_features"]) < CLOSE
    assert relative(encoder(images, lengths), wanted["img_emb"]) < CLOSE
    assert relative(network.caption_encoder(batch["captions"], batch["lengths"]), wanted["txt_emb"]) < CLOSE
    scores = golden.scores(network)
    assert relative(scores, wanted["scores"]) < CLOSE
    for kind in ("sum", "max"):
        value = hinge(f"{kind}_hinge", golden.options.margin)(scores, pairs_of(scores))
        assert value.item() == pytest.approx(float(wanted[f"loss_{kind}"]), rel=CLOSE)


def test_regions_and_bert_in_float32() -> None:
    golden = Golden("region_bert")
    network = golden.network().float().train()
    batch = golden.under("in/")
    images = Embeddings(network.image_encoder(batch["images"], batch["image_lengths"].long()))
    captions = Embeddings(network.caption_encoder(batch["captions"], batch["lengths"]))
    assert relative(network.similarity(images, captions), golden["out_train/scores"]) < 2e-6


def test_regions_and_bert_gradients() -> None:
    golden = Golden("region_bert")
    network = golden.network().train()
    scores = golden.scores(network)
    hinge("max_hinge", golden.options.margin)(scores, pairs_of(scores)).backward()
    wanted = golden.parameters("grad_max/")
    assert len(wanted) > 30
    for name, gradient in wanted.items():
        ours = network.get_parameter(name).grad
        assert ours is not None
        assert relative(ours, gradient) < CLOSE, name
    norm = nn.utils.clip_grad_norm_(network.parameters(), 2.0)
    assert norm.item() == pytest.approx(float(golden["out_train/grad_norm_max"]), rel=CLOSE)


def test_four_steps_end_at_the_original_weights() -> None:
    golden = Golden("region_bert")
    network = golden.network().train()
    # Each step is an epoch here.
    objective = Warmup(hinge("max_hinge", golden.options.margin), epochs=2, form="sum")
    optimizer = make_optimizer(network, objective, golden.options)
    rates = [group["lr"] for group in optimizer.param_groups]
    for step, wanted in enumerate(golden["traj/losses"].tolist()):
        objective.begin(step, 0, 1)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (0.1 if step == 3 else 1.0)
        scores = golden.scores(network, ("in/", "in_b/")[step % 2])
        value = objective(scores, pairs_of(scores))
        assert value.item() == pytest.approx(wanted, rel=CLOSE)
        update(network, optimizer, value, golden.options.grad_clip)
    state = network.state_dict()
    wanted_state = golden.parameters("after_step4/")
    assert len(wanted_state) > 20
    for name, tensor in wanted_state.items():
        assert relative(state[name], tensor) < CLOSE, name


def test_lseh_step() -> None:
    golden = Golden("region_bert")
    golden.options = SimpleNamespace(**golden.settings["lseh_opt"], bert_lr_factor=None)
    network = golden.network().train()
    objective = build_objective(resolve(ObjectiveOptions(same_image_key="legacy_div5"), loss.DEFAULTS))
    batch = golden.under("lseh/in/")
    scores = golden.scores(network)
    pairs = Pairs(batch["img_ids"], batch["ids"], batch["svd"].double())
    image_to_text, text_to_image = objective.directions(scores, pairs)
    wanted = golden.under("lseh/out_train/")
    assert image_to_text.item() == pytest.approx(float(wanted["Le_S"]), rel=CLOSE)
    assert text_to_image.item() == pytest.approx(float(wanted["Le_Im"]), rel=CLOSE)
    value = image_to_text + text_to_image
    assert value.item() == pytest.approx(float(wanted["loss"]), rel=CLOSE)
    update(network, make_optimizer(network, objective, golden.options), value, golden.options.grad_clip)
    state = network.state_dict()
    for name, tensor in golden.parameters("lseh/after_step1/").items():
        assert relative(state[name], tensor) < CLOSE, name


def test_bigru_embeddings_gradients_and_step() -> None:
    golden = Golden("bigru")
    network = golden.network().eval()
    batch = golden.under("in/")
    assert relative(network.caption_encoder(batch["captions"], batch["lengths"]), golden["out_eval/txt_emb"]) < CLOSE
    assert relative(golden.scores(network), golden["out_eval/scores"]) < CLOSE

    scores = golden.scores(network.train())
    value = hinge("sum_hinge", golden.options.margin)(scores, pairs_of(scores))
    assert value.item() == pytest.approx(float(golden["out_train/loss_sum"]), rel=CLOSE)
    value.backward()
    for name, gradient in golden.parameters("grad_sum/").items():
        ours = network.get_parameter(name).grad
        assert ours is not None
        assert relative(ours, gradient) < CLOSE, name

    network = golden.network().train()
    objective = hinge("max_hinge", golden.options.margin)
    scores = golden.scores(network)
    value = objective(scores, pairs_of(scores))
    assert value.item() == pytest.approx(float(golden["step/loss_max"]), rel=CLOSE)
    optimizer = make_optimizer(network, objective, golden.options)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.01}
    update(network, optimizer, value, golden.options.grad_clip)
    state = network.state_dict()
    for name, tensor in golden.parameters("after_step1/").items():
        assert relative(state[name], tensor) < CLOSE, name


def test_grid_features_and_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = Golden("grid")
    network = golden.network()
    pictures = golden["in/images"].double()
    batch = ImageBatch(images=pictures, image_ids=torch.arange(len(pictures)))
    tower = network.eval().image_tower
    assert isinstance(tower, GridTower)
    assert relative(tower(pictures), golden["out_eval/base_features"]) < CLOSE
    assert relative(network.encode_images(batch).vectors, golden["out_eval/img_emb"]) < CLOSE

    draws = [golden["in/rand_list_2"].double()[:, None], golden["in/rand_list_1"].double()]
    monkeypatch.setattr(model.torch, "rand", lambda *_shape, **_where: draws.pop(0))
    seen = []
    network.image_encoder.gpool.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1]))
    running = tower.backbone.bn1.running_mean.clone()
    assert relative(network.train().encode_images(batch).vectors, golden["out_train/img_emb"]) < CLOSE
    assert seen[0].tolist() == golden["out_train/feat_lengths"].long().tolist()
    assert torch.equal(tower.backbone.bn1.running_mean, running)


def test_a_stage_of_unfreezing_trains_the_published_parameters() -> None:
    golden = Golden("grid")
    network = golden.network()
    tower = network.image_tower
    assert isinstance(tower, GridTower)
    for stage, names in golden.settings["trainable"].items():
        tower.fix(4 if stage == "frozen" else int(stage[-1]))
        published = {name.replace("backbone.resnet.", "backbone.") for name in names}
        sides = (("", tower), ("image_encoder.", network.image_encoder))
        named = {prefix + name: value for prefix, side in sides for name, value in side.named_parameters()}
        ours = {name for name, parameter in named.items() if parameter.requires_grad}
        assert ours == {name for name in published if not name.startswith("backbone.fc.")}, stage


def test_stages_follow_the_published_epochs() -> None:
    defaults = SimpleNamespace(embedding_warmup_epochs=2, backbone_warmup_epochs=5)
    assert [fixed_blocks(epoch, defaults) for epoch in range(19)] == [4] * 2 + [3] * 5 + [2] * 5 + [1] * 5 + [0] * 2
    script = SimpleNamespace(embedding_warmup_epochs=1, backbone_warmup_epochs=0)
    assert [fixed_blocks(epoch, script) for epoch in range(3)] == [4, 0, 0]


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_grid_parameter_groups_are_the_published_ones(kind: str) -> None:
    golden = Golden("grid")
    network = golden.network()
    optimizer = make_optimizer(
        network, hinge("sum_hinge", 0.2), SimpleNamespace(**{**vars(golden.options), "optim": kind})
    )
    ours = {
        id(parameter): {name: group[name] for name in ("lr", "weight_decay", "momentum", "nesterov") if name in group}
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    parameters = dict(network.named_parameters())
    prefixes = {"txt/": "caption_encoder.", "img/": "image_encoder."}
    groups = zip(golden.settings["groups"][kind], golden.settings["group_options"][kind], strict=True)
    for first, wanted in groups:
        name = prefixes[first[:4]] + first[4:]
        for original, layers in (
            ("backbone.base.", "conv1 bn1 - - layer1 layer2 layer3"),
            ("backbone.top.", "layer4"),
        ):
            if original in name:
                number = name.split(original)[1].split(".")[0]
                name = name.replace(f"{original}{number}", f"backbone.{layers.split()[int(number)]}")
        name = name.replace("backbone.resnet.", "backbone.").replace("image_encoder.backbone.", "image_tower.backbone.")
        name = name.replace("image_encoder.image_encoder.", "image_encoder.")
        assert ours[id(parameters[name])] == pytest.approx(wanted), name
    assert len(ours) == len(parameters)


def test_a_published_checkpoint_gives_the_published_similarities() -> None:
    golden = Golden("checkpoint")
    checkpoint = published.load(GOLDEN / "vseinfty" / "published.pth")
    options, state = checkpoint.options, checkpoint.parts
    hidden = state[1]["module.bert.pooler.dense.bias"].shape[0]
    layers = 1 + max(int(name.split(".")[4]) for name in state[1] if ".layer." in name)
    bert = BertConfig(
        vocab_size=len(golden.settings["vocab"]),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=golden.settings["bert_heads"],
        intermediate_size=state[1]["module.bert.encoder.layer.0.intermediate.dense.bias"].shape[0],
        max_position_embeddings=state[1]["module.bert.embeddings.position_embeddings.weight"].shape[0],
        attn_implementation="sdpa",
    )
    network = VSEinfty(
        RegionEncoder(options["img_dim"], options["embed_size"]),
        BertEncoder(BertModel(bert), hidden, options["embed_size"]),
    ).eval()
    load_weights(network, checkpoint)
    rows = torch.arange(len(golden["captions"]))
    with torch.no_grad():
        images = network.encode_images(ImageBatch(images=golden["test_ims"], image_ids=rows))
        captions = network.encode_captions(
            CaptionBatch(captions=golden["captions"], lengths=golden["lengths"], image_ids=rows, caption_ids=rows)
        )
    assert (network.similarity(images, captions) - golden["sims"]).abs().max() < 2e-6


def pieces_of(vocabulary: list[str]) -> WordPieces:
    """Word pieces as a BERT's uncased tokenizer makes them."""
    import tokenizers

    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({piece: number for number, piece in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return WordPieces(tokenizer.to_str(), {"max_position_embeddings": 512})


class Recorded:
    """Answers like a generator, with numbers that Python's generator gave in the published order."""

    def __init__(self, words: list[list[list[str]]], vocabulary: int) -> None:
        self.draws: list[float] = []
        self.choices: list[int] = []
        for caption in words:
            self.draws.append(1.0)  # [CLS], for which the original code draws nothing
            for pieces in caption:
                draw = random.random()
                self.draws.append(draw)
                if 0.1 <= draw < 0.12:
                    self.choices += [random.choice(range(vocabulary)) for _ in pieces]
            self.draws.append(1.0)  # [SEP]

    def random(self, size: int) -> np.ndarray:
        assert size == len(self.draws)
        return np.array(self.draws)

    def integers(self, high: int, size: int) -> np.ndarray:
        assert size == len(self.choices)
        return np.array(self.choices, dtype=np.int64)


def test_word_pieces_and_their_augmentation() -> None:
    config = Golden("text").settings
    pieces = pieces_of(config["vocab"])
    tokens, begins = pieces.encode(config["captions"])
    assert [tokens[caption].tolist() for caption in range(len(tokens))] == config["eval_ids"]
    captions = AugmentedCaptions(tokens, begins, pieces.mask, len(pieces), keep_ends=True)
    everything = np.arange(len(tokens))
    for seed, wanted in config["train_ids_by_python_seed"].items():
        random.seed(int(seed))
        ids, lengths = captions.batch(everything, Recorded(config["wordpieces"], len(pieces)))
        assert [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)] == wanted, seed
        assert not ids[torch.arange(ids.shape[1]) >= lengths[:, None]].any()


def test_region_dropping_of_a_published_batch() -> None:
    golden = Golden("text")
    ds = golden.settings["ds"]
    images = golden["ds/in/ims"][torch.tensor(ds["indices"]) // ds["im_div"]]
    np.random.seed(ds["numpy_seed"])  # noqa: NPY002
    draws = torch.from_numpy(np.stack([np.random.rand(images.shape[1]) for _ in images]))  # noqa: NPY002
    regions, lengths = keep(images, draws > 0.2)
    assert torch.equal(regions, golden["ds/train_batch/images"])
    assert torch.equal(lengths, golden["ds/train_batch/image_lengths"].long())
