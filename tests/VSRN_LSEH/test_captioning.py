"""The caption-generation branch against a word-by-word calculation written out with library layers."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from VSRN_LSEH.captioning import END, PAD, START, Captioner, caption_labels

VOCABULARY = 9


def make_captioner(dropout: float = 0.0, max_len: int = 8, vocab_size: int = VOCABULARY) -> Captioner:
    torch.manual_seed(0)
    captioner = Captioner(vocab_size, embed_size=6, dim_hidden=5, dim_word=4, dropout=dropout, max_len=max_len).double()
    torch.nn.init.normal_(captioner.decoder.out.weight)
    return captioner


def make_regions(images: int = 3) -> Tensor:
    return torch.randn(images, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def step_by_step(captioner: Captioner, regions: Tensor, words: Tensor) -> Tensor:
    """Log-probabilities [B, T, V] after each of the words [B, T], one word at a time, layers called as they are."""
    encoder, decoder = captioner.encoder, captioner.decoder
    encoded, hidden = encoder.rnn(encoder.vid2hid(regions))
    written = []
    for word in words.T:
        repeated = hidden[0].unsqueeze(1).expand_as(encoded)
        scores = decoder.attention.linear2(
            torch.tanh(decoder.attention.linear1(torch.cat([encoded, repeated], dim=-1)))
        )
        context = (scores.softmax(dim=1) * encoded).sum(dim=1)
        _, hidden = decoder.rnn(torch.cat([decoder.embedding(word), context], dim=-1).unsqueeze(1), hidden)
        written.append(decoder.out(hidden[0]).log_softmax(dim=-1))
    return torch.stack(written, dim=1)


def test_loss_and_gradients_equal_the_word_by_word_calculation() -> None:
    captioner, regions = make_captioner(), make_regions().requires_grad_()
    captions = torch.tensor(
        [[START, 4, 5, 6, 7, 8, 4, 5, 6, END], [START, 3, 8, END, *[PAD] * 6], [START, END, *[PAD] * 8]]
    )
    lengths = torch.tensor([10, 4, 2])

    labels = torch.tensor([[START, 4, 5, 6, 7, 8, 4, END], [START, 3, 8, END, *[PAD] * 4], [START, END, *[PAD] * 6]])
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [1] * 2 + [0] * 5])
    log_probabilities = step_by_step(captioner, regions, labels[:, :-1])
    chosen = log_probabilities.gather(2, labels[:, 1:, None]).squeeze(2)
    wanted = -(chosen * mask).sum() / 3
    parameters = [regions, *captioner.parameters()]
    wanted_gradients = torch.autograd.grad(wanted, parameters)

    loss = captioner.loss(regions, captions, lengths)
    torch.testing.assert_close(loss, wanted)
    for ours, theirs in zip(torch.autograd.grad(loss, parameters), wanted_gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_loss_does_not_depend_on_the_order_of_the_batch() -> None:
    captioner, regions = make_captioner(), make_regions()
    captions = torch.tensor([[START, 4, 5, END], [START, 6, END, PAD], [START, END, PAD, PAD]])
    lengths = torch.tensor([4, 3, 2])
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        captioner.loss(regions[order], captions[order], lengths[order]), captioner.loss(regions, captions, lengths)
    )


def test_labels_stop_one_step_after_the_longest_caption() -> None:
    labels, counted = caption_labels(
        torch.tensor([[START, 4, END], [START, END, PAD]]), torch.tensor([3, 2]), max_len=60
    )
    assert labels.tolist() == [[START, 4, END, PAD], [START, END, PAD, PAD]]
    assert counted.tolist() == [[True, True, True], [True, True, False]]


@pytest.mark.parametrize("length", [5, 6, 7])
def test_a_caption_that_reaches_max_len_is_cut_and_ends_in_end(length: int) -> None:
    captions = torch.tensor([[START, *range(4, 2 + length), END]])
    labels, counted = caption_labels(captions, torch.tensor([length]), max_len=6)
    assert labels.tolist() == [[START, 4, 5, 6, END, PAD] if length == 5 else [START, 4, 5, 6, 7, END]]
    assert counted.all()
    assert captions[0, -1] == END
    assert captions[0, 1] == 4


def test_dropout_is_drawn_at_every_step_of_training_only() -> None:
    captioner, regions = make_captioner(dropout=0.5), make_regions(1)
    words = torch.full((1, 40), 4)
    # A constant state isolates what the steps draw: the word gates of equal words, and the contexts of equal states.
    gates = captioner.decoder.word_gates(words)
    assert len(gates[0].unique(dim=0)) > 10
    memory = captioner.decoder.remember(captioner.encoder(regions)[0])
    state = torch.zeros(1, 1, 5, dtype=torch.float64)
    drawn = {tuple(captioner.decoder.step(gates[:, :1], state, memory).flatten().tolist()) for _ in range(20)}
    assert len(drawn) > 5
    captioner.eval()
    assert len(captioner.decoder.word_gates(words)[0].unique(dim=0)) == 1
    memory = captioner.decoder.remember(captioner.encoder(regions)[0])
    drawn = {tuple(captioner.decoder.step(gates[:, :1], state, memory).flatten().tolist()) for _ in range(20)}
    assert len(drawn) == 1


def test_greedy_takes_the_likeliest_word_at_every_step() -> None:
    captioner, regions = make_captioner().eval(), make_regions(5)
    words, scores = captioner.generate(regions)
    read = torch.cat([torch.full((5, 1), START), words[:, :-1]], dim=1)
    log_probabilities = step_by_step(captioner, regions, read)
    ended = ((read[:, 1:] == END) | (read[:, 1:] == PAD)).cumsum(dim=1) > 0
    alive = torch.cat([torch.ones(5, 1, dtype=torch.bool), ~ended], dim=1)
    assert torch.equal(words[alive], log_probabilities.argmax(dim=2)[alive])
    torch.testing.assert_close(scores, (log_probabilities.amax(dim=2) * alive).sum(dim=1))


def test_a_wide_beam_finds_the_best_caption_of_all() -> None:
    captioner, regions = make_captioner(max_len=5, vocab_size=5).eval(), make_regions(2)
    words, scores = captioner.generate(regions, beam_size=5**3)

    def complete(caption: tuple[int, ...]) -> bool:
        stops = [place for place, word in enumerate(caption) if word in (END, PAD)]
        return not stops or all(word == PAD for word in caption[stops[0] + 1 :])

    captions = torch.tensor([caption for caption in product(range(5), repeat=3) if complete(caption)])
    for image in range(2):
        read = torch.cat([torch.full((len(captions), 1), START), captions[:, :-1]], dim=1)
        log_probabilities = step_by_step(captioner, regions[[image]].expand(len(captions), -1, -1), read)
        chosen = log_probabilities.gather(2, captions[:, :, None]).squeeze(2)
        before = (read[:, 1:] == END) | (read[:, 1:] == PAD)
        chosen[:, 1:][before.cumsum(dim=1) > 0] = 0.0
        total, length = chosen.sum(dim=1), (captions != PAD).sum(dim=1).clamp(min=1)
        best = (total / length).argmax()
        assert torch.equal(words[image], captions[best, : words.shape[1]])
        torch.testing.assert_close(scores[image], total[best])


def test_only_padding_follows_the_end_of_a_generated_caption() -> None:
    captioner = make_captioner(max_len=30).eval()
    for beam_size in (1, 3):
        words, _ = captioner.generate(make_regions(20), beam_size)
        assert (words == END).any(), "no caption ended: the test needs other weights"
        after_end = (words == END).cumsum(dim=1)[:, :-1] > 0
        assert (words[:, 1:][after_end] == PAD).all()


def test_generation_stops_as_soon_as_every_caption_has_ended() -> None:
    captioner = make_captioner(max_len=60).eval()
    captioner.decoder.out.bias.data[END] = 1e3
    words, scores = captioner.generate(make_regions(4), beam_size=1)
    assert words.tolist() == [[END]] * 4
    torch.testing.assert_close(scores, torch.zeros_like(scores))


def test_a_trained_captioner_repeats_its_captions() -> None:
    captioner, regions = make_captioner(), make_regions(2)
    captions = torch.tensor([[START, 4, 5, 6, END], [START, 7, 8, END, PAD]])
    lengths = torch.tensor([5, 4])
    optimizer = torch.optim.Adam(captioner.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        captioner.loss(regions, captions, lengths).backward()
        optimizer.step()
    for beam_size in (1, 4):
        words, _ = captioner.eval().generate(regions, beam_size)
        assert words[:, :4].tolist() == [[4, 5, 6, END], [7, 8, END, PAD]]
        assert (words[:, 4:] == PAD).all()


def test_cross_entropy_counts_a_caption_of_unknown_words_only() -> None:
    captioner, regions = make_captioner(), make_regions(1)
    loss = captioner.loss(regions, torch.tensor([[START, END]]), torch.tensor([2]))
    log_probabilities = step_by_step(captioner, regions, torch.tensor([[START, END]]))
    torch.testing.assert_close(loss, cross_entropy(log_probabilities[0], torch.tensor([END, PAD]), reduction="sum"))
