"""Numbers that the published VSE-infinity produced (tests/golden/vseinfty), and the networks that must repeat them."""

from __future__ import annotations

from types import SimpleNamespace

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck
from transformers import BertConfig, BertModel

from tests.parity.golden import GoldenFile
from vse.losses import Objective, ObjectiveOptions, build_objective, resolve
from vse.nn.network import Embeddings
from VSEinfty_LSEH.backbones import GridTower, body, caffe_layout
from VSEinfty_LSEH.model import BertEncoder, GridEncoder, RegionEncoder, VSEinfty, WordEncoder

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
