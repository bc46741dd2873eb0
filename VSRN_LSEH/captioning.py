"""The caption-generation branch of VSRN: describe an image from its reasoned regions, as a second training signal.

Li et al., "Visual Semantic Reasoning for Image-Text Matching", ICCV 2019, section 3.4. A GRU reads the regions; a
second GRU with additive attention over the states of the first writes the caption word by word. H is the size of the
states.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, pad

from vse.nn.attention import word_mask
from vse.nn.recurrence import GRU, pack
from vse.nn.recurrence import pad as pad_states
from vse.nn.transfer import send
from VSRN_LSEH.teacher_forcing import DecoderMemory, read_true_words

PAD, START, END = 0, 1, 2
"""Token ids that all vocabularies of the field share."""


class RegionReader(nn.Module):
    """A GRU over the reasoned regions.

    H is `dim_hidden`, or twice that if `bidirectional`: the two directions are concatenated.
    """

    def __init__(self, embed_size: int, dim_hidden: int, dropout: float, bidirectional: bool) -> None:
        super().__init__()
        self.vid2hid = nn.Linear(embed_size, dim_hidden)
        self.dropout = nn.Dropout(dropout)
        self.rnn = GRU(dim_hidden, dim_hidden, batch_first=True, bidirectional=bidirectional)
        nn.init.xavier_normal_(self.vid2hid.weight)

    def forward(self, regions: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read regions [B, R, E], the first `lengths` [B] of each image -> states [B, R, H], last state [B, H]."""
        read = self.dropout(self.vid2hid(regions))
        if lengths is None:
            states, last = self.rnn(read)
        else:
            states, last = self.rnn(pack(read, lengths))
            states = pad_states(states, regions.shape[1])
        return states, torch.cat(tuple(last), dim=-1)


class Attention(nn.Module):
    """Additive attention: e_i = w2 . tanh(W1 [E_i ; h] + b1), weights softmax_i(e_i)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(2 * size, size)
        self.linear2 = nn.Linear(size, 1, bias=False)

    def forward(self, states: Tensor, memory: DecoderMemory) -> Tensor:
        """Attend from decoder states [B, beam, H] -> contexts [B, beam, H], weighted means of the regions."""
        queries = linear(states, memory.query_weight)
        hidden = (memory.keys.unsqueeze(1) + queries.unsqueeze(2)).tanh_()
        logits = self.linear2(hidden).squeeze(-1)
        if memory.padding is not None:
            logits = logits.masked_fill(memory.padding.unsqueeze(1), -torch.inf)
        return logits.softmax(dim=-1) @ memory.regions


class AttentionDecoder(nn.Module):
    """A GRU that writes captions. States are [B, beam, H]: several captions per image in beam search, one in training.

    The GRU's input is [word vector ; context]. Only the context depends on the previous state; the word vectors' share
    of the input product and the output layer are therefore computed for all steps at once.
    """

    def __init__(self, vocab_size: int, size: int, dim_word: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, dim_word)
        self.dropout = nn.Dropout(dropout)
        self.attention = Attention(size)
        self.rnn = nn.GRU(dim_word + size, size, batch_first=True)
        self.out = nn.Linear(size, vocab_size)
        nn.init.xavier_normal_(self.out.weight)

    def remember(self, regions: Tensor, lengths: Tensor | None = None) -> DecoderMemory:
        """Prepare the states of the region reader [B, R, H], the first `lengths` [B] of each image, for all steps."""
        region_weight, query_weight = self.attention.linear1.weight.chunk(2, dim=1)
        keys = linear(regions, region_weight, self.attention.linear1.bias)
        input_weight, state_weight, _, state_bias = self.rnn.all_weights[0]
        context_weight = input_weight[:, self.embedding.embedding_dim :]
        padding = None if lengths is None else ~word_mask(lengths, regions.shape[1], regions.device)
        return DecoderMemory(regions, keys, query_weight, context_weight, state_weight, state_bias, padding)

    def word_gates(self, words: Tensor) -> Tensor:
        """Compute the words' share of the GRU's input product: ids [...] -> [..., 3H]."""
        input_weight, _, input_bias, _ = self.rnn.all_weights[0]
        word_weight = input_weight[:, : self.embedding.embedding_dim]
        return linear(self.dropout(self.embedding(words)), word_weight, input_bias)

    def step(self, word_gates: Tensor, states: Tensor, memory: DecoderMemory) -> Tensor:
        """Read one word: its gates [B, beam, 3H] and the states before it [B, beam, H] -> the states after it.

        Dropout on word vectors and on contexts together equals the original dropout on their concatenation.
        """
        context = self.dropout(self.attention(states, memory))
        reset_input, update_input, new_input = (word_gates + linear(context, memory.context_weight)).chunk(3, dim=-1)
        recurrent = linear(states, memory.state_weight, memory.state_bias)
        reset_state, update_state, new_state = recurrent.chunk(3, dim=-1)
        update = torch.sigmoid(update_input + update_state)
        new = torch.tanh(new_input + torch.sigmoid(reset_input + reset_state) * new_state)
        return torch.lerp(new.to(states.dtype), states, update.to(states.dtype))  # float32 under autocast too

    def forward(self, words: Tensor, regions: Tensor, start: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Read the true words [B, T], given regions [B, R, H] and a first state [B, H] -> states [B, T, H]."""
        memory, word_gates = self.remember(regions, lengths), self.word_gates(words)
        if word_gates.device.type == "cuda":
            kept = self.dropout(start.new_ones(*words.shape, start.shape[1]))
            return read_true_words(word_gates, start, memory, self.attention.linear2.weight, kept)
        states = start.unsqueeze(1)
        written = []
        for gates in word_gates.split(1, dim=1):
            states = self.step(gates, states, memory)
            written.append(states)
        return torch.cat(written, dim=1)


class Captioner(nn.Module):
    """Generate captions from reasoned regions, or compute the loss of true ones.

    Args:
        vocab_size: token ids.
        embed_size: E, the size of a reasoned region.
        dim_hidden: size of both GRUs.
        dim_word: size of the decoder's word vectors.
        dropout: probability on the projected regions and on each step's input (`input_dropout_p` of the original code).
        bidirectional: read the regions in both directions; the decoder is then twice as wide.
        max_len: longer captions are cut to this many tokens, the last of them <end>; generated captions have at most
            `max_len` - 2 words.
    """

    def __init__(
        self,
        vocab_size: int,
        embed_size: int,
        dim_hidden: int = 512,
        dim_word: int = 300,
        dropout: float = 0.2,
        bidirectional: bool = False,
        max_len: int = 60,
    ) -> None:
        super().__init__()
        self.max_len = max_len
        self.encoder = RegionReader(embed_size, dim_hidden, dropout, bidirectional)
        self.decoder = AttentionDecoder(vocab_size, dim_hidden * (1 + bidirectional), dim_word, dropout)

    def loss(self, regions: Tensor, captions: Tensor, lengths: Tensor, region_lengths: Tensor | None = None) -> Tensor:
        """Compute the negative log-likelihood of captions [B, T] of `lengths` [B]: words summed, captions averaged.

        Of regions [B, R, E] the first `region_lengths` [B] of each image count, on the host; without them all do.
        """
        labels, counted = caption_labels(captions, lengths, self.max_len)
        states = self.decoder(labels[:, :-1], *self.encoder(regions, region_lengths), region_lengths)
        places = send(counted.flatten().nonzero().squeeze(1), states.device)
        logits = self.decoder.out(states.flatten(0, 1)[places])
        return cross_entropy(logits, labels[:, 1:].flatten()[places], reduction="sum") / len(labels)

    @torch.no_grad()
    def generate(
        self, regions: Tensor, beam_size: int = 1, region_lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Write one caption per image by beam search; a beam of 1 takes the most probable word at every step.

        The beam's caption with the highest mean log-probability per word is taken, so that long captions are not at a
        disadvantage.

        Returns:
            Token ids [B, T], T <= max_len - 2, without <start>, with <pad> after the end; log-probabilities of the
            captions [B], the end included.
        """
        encoded, start = self.encoder(regions, region_lengths)
        memory = self.decoder.remember(encoded, region_lengths)
        states = start.unsqueeze(1)
        words = regions.new_full((len(regions), 1, 1), START, dtype=torch.long)
        ended = torch.zeros_like(words[..., 0], dtype=torch.bool)
        scores = regions.new_zeros(len(regions), 1)
        for _ in range(self.max_len - 2):
            states = self.decoder.step(self.decoder.word_gates(words[..., -1]), states, memory)
            log_probabilities = self.decoder.out(states).log_softmax(dim=-1)
            log_probabilities.masked_fill_(ended.unsqueeze(-1), -torch.inf)[..., PAD].masked_fill_(ended, 0.0)
            vocab_size = log_probabilities.shape[-1]
            candidates = (scores.unsqueeze(-1) + log_probabilities).flatten(1)
            scores, best = candidates.topk(min(beam_size, candidates.shape[1]), dim=1)
            parent = (best // vocab_size).unsqueeze(-1)
            states = states.take_along_dim(parent, dim=1)
            words = torch.cat([words.take_along_dim(parent, dim=1), (best % vocab_size).unsqueeze(-1)], dim=-1)
            ended = (words[..., -1] == END) | (words[..., -1] == PAD)
            if ended.all():
                break
        written = words[..., 1:]
        length = (written != PAD).sum(dim=-1).clamp(min=1)
        chosen = (scores / length).argmax(dim=1, keepdim=True)
        best_caption = written.take_along_dim(chosen.unsqueeze(-1), dim=1)
        return best_caption.squeeze(1), scores.take_along_dim(chosen, dim=1).squeeze(1)


def caption_labels(captions: Tensor, lengths: Tensor, max_len: int) -> tuple[Tensor, Tensor]:
    """Make the decoder's labels of captions [B, T] of `lengths` [B].

    Step s reads label s and predicts label s + 1. The <pad> after <end> is predicted too, as in the original code; a
    caption that is cut to `max_len` tokens ends in <end>.

    Returns:
        Labels [B, steps + 1], and which steps count [B, steps] bool, on the host; as many steps as the longest caption
        needs, at most `max_len` - 1.
    """
    steps = min(int(lengths.max()), max_len - 1)
    labels = pad(captions, (0, 1))[:, : steps + 1].clone()
    cut = labels[:, max_len - 1 :]
    cut.masked_fill_(cut != PAD, END)
    return labels, torch.arange(1, steps + 1) <= lengths.cpu().unsqueeze(1)
