"""What objectives remember from step to step."""

from __future__ import annotations

import torch

from vse.losses.memory import CaptionMemory, Memory, Queue


def test_tensors_are_saved_and_loaded_at_any_size():
    queue, other = Queue(5), Queue(5)
    queue.push(torch.ones(3, 2), torch.zeros(3, 2))
    other.load_state_dict(queue.state_dict())
    assert torch.equal(other.images, queue.images)
    other.push(torch.ones(1, 2), torch.ones(1, 2))
    assert len(queue) == 3


def test_tensors_move_with_their_module():
    memory = CaptionMemory()
    memory.resize(3)
    assert memory.double().values.dtype == torch.float64
    assert isinstance(memory, Memory)


def test_nothing_is_a_buffer_that_processes_would_exchange():
    assert not list(Queue(3).buffers())


def test_captions_keep_their_numbers_when_room_is_made():
    memory = CaptionMemory(1.0)
    memory.resize(2)
    memory[torch.tensor([1])] = torch.tensor([0.25])
    memory.resize(4)
    memory.resize(3)
    assert memory.values.tolist() == [1.0, 0.25, 1.0, 1.0]
    assert memory[torch.tensor([1, 2])].tolist() == [0.25, 1.0]


def test_queue_forgets_the_oldest():
    queue = Queue(3)
    for value in range(3):
        queue.push(torch.full((2, 1), float(value)), torch.zeros(2, 1))
    assert queue.images[:, 0].tolist() == [2.0, 2.0, 1.0]
