"""Devices by name, their memory, and turns; by a stand-in, since no GPU is needed."""

from __future__ import annotations

import threading

import pytest
import torch

from scamo import device as devices
from scamo.device import DEVICES, DeviceFull, Place, Turn, find_device, is_out_of_memory
from tests.devices import GB, stand_in


def test_auto_is_cuda_then_mps_then_the_cpu(monkeypatch):
    for gpus, best in ((["cuda:0", "cuda:1", "mps"], "cuda:0"), (["mps"], "mps"), ([], "cpu")):
        stand_in(monkeypatch, gpus)
        assert str(find_device("auto")) == best
        assert str(find_device("cpu")) == "cpu"


@pytest.mark.parametrize(("name", "found"), [("cuda", "cuda:0"), ("CUDA:1", "cuda:1"), ("mps", "mps")])
def test_devices_are_found_by_name(monkeypatch, name, found):
    stand_in(monkeypatch, ["cuda:0", "cuda:1", "mps"])
    assert str(find_device(name)) == found


@pytest.mark.parametrize("name", ["gpu", "cuda1", "cuda:x", "", "meta", "cpu:0:1", "mps cuda"])
def test_what_is_no_device_is_refused_in_a_sentence(name):
    with pytest.raises(ValueError, match=f'there is no device "{name}" on this machine; give auto, cpu, cuda'):
        find_device(name)


def test_a_device_that_is_missing_is_refused_with_the_remedy(monkeypatch):
    stand_in(monkeypatch, ["cuda:0"])
    with pytest.raises(ValueError, match=r'"cuda:1" on this machine \(there are: cuda:0\); or use "cpu"'):
        find_device("cuda:1")
    with pytest.raises(ValueError, match=r"Apple"):
        find_device("mps")
    stand_in(monkeypatch, [])
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(ValueError, match=r"install its CUDA build from pytorch\.org"):
        find_device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    with pytest.raises(ValueError, match="nvidia-smi"):
        find_device("cuda")


def test_the_variable_names_the_default(monkeypatch):
    monkeypatch.setenv(devices.VARIABLE, " cuda:1 ")
    assert devices.default_device() == "cuda:1"
    monkeypatch.delenv(devices.VARIABLE)
    assert devices.default_device() == "auto"


def test_the_types_of_gpus(monkeypatch):
    for capability, dtype in (((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        assert DEVICES.dtype(torch.device("cuda:0")) == dtype
    assert DEVICES.dtype(torch.device("mps")) == torch.float16
    assert DEVICES.dtype(torch.device("cpu")) == torch.float32


def test_what_torch_keeps_counts_as_free(monkeypatch):
    numbers = {"mem_get_info": (3 * GB, 10 * GB), "memory_reserved": 2 * GB, "memory_allocated": GB}
    for name, number in numbers.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, number=number: number)
    assert DEVICES.memory(torch.device("cuda:0")) == devices.Memory(4 * GB, 10 * GB)
    assert DEVICES.memory(torch.device("cpu")) is None


def test_lack_of_memory_is_known_in_all_its_forms():
    for error in (
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError(),
        RuntimeError("MPS backend out of memory"), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling ..."),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ):  # fmt: skip
        assert is_out_of_memory(error)
    for other in (RuntimeError("shapes do not match"), ValueError("out of memory"), KeyError("memory")):
        assert not is_out_of_memory(other)


def test_a_place_in_words():
    assert str(Place("cuda:0", "bfloat16", "measured")) == "cuda:0 in bfloat16"


def count_to(last, log=None, error=None):
    for count in range(1, last + 1):
        yield count
        if log is not None:
            log.append(count)
    if error is not None:
        raise error
    return "done"


def finish(steps):
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return seen, end.value


def test_two_on_one_gpu_follow_each_other(monkeypatch):
    stand_in(monkeypatch)
    monkeypatch.setattr(devices, "_WAIT", 0.01)
    turn = Turn(torch.device("cpu"))
    first, second = turn.around(count_to(2), "float32"), turn.around(count_to(2), "float32")
    assert next(first) == 1
    assert [next(second) for _ in range(3)] == [0, 0, 0]  # it waits, and could be stopped
    assert finish(first) == ([2], "done")
    assert finish(second) == ([1, 2], "done")
    third, fourth = turn.around(count_to(2), "float32"), turn.around(count_to(2), "float32")
    next(third)
    assert next(fourth) == 0
    fourth.close()  # stopped while it waited: it has no turn to give back
    third.close()
    with turn.taken():
        pass
    # A page may go on with a generation in another thread than it began in.
    fifth = turn.around(count_to(2), "float32")
    thread = threading.Thread(target=lambda: next(fifth))
    thread.start()
    thread.join()
    assert finish(fifth) == ([2], "done")
    with turn.taken():
        pass


def test_the_cpu_has_no_turns():
    turn = Turn(torch.device("cpu"))
    first, second = turn.around(count_to(1), "float32"), turn.around(count_to(1), "float32")
    assert next(first) == next(second) == 1


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_lack_of_memory_becomes_a_sentence_and_frees(monkeypatch, error):
    facts = stand_in(monkeypatch, free=GB)
    turn, told = Turn(torch.device("cpu")), []
    with pytest.raises(
        DeviceFull, match=r"memory of cpu ran out \(1\.0 of 16\.0 GB .*smaller size.*bfloat16"
    ) as raised:
        finish(turn.around(count_to(1, error=error), "float32", lambda: told.append(1)))
    assert told == [1] and facts.emptied == 1
    assert raised.value.__context__ is None  # whose traceback would hold the tensors
    with pytest.raises(ZeroDivisionError):
        finish(turn.around(count_to(1, error=ZeroDivisionError()), "float32"))
    with turn.taken():
        pass


def test_remedies_fit_the_place(monkeypatch):
    assert "bfloat16" not in devices.remedy(torch.device("cpu"), "float32")
    assert "int8" in devices.remedy(torch.device("cpu"), "float32")
    assert "int8" not in devices.remedy(torch.device("cpu"), "int8")
    stand_in(monkeypatch, ["cuda:0"])
    assert "--device cpu --dtype int8" in devices.remedy(torch.device("cuda:0"), "bfloat16")
    assert "--dtype bfloat16" not in devices.remedy(torch.device("cuda:0"), "bfloat16")


def test_a_text_encoder_goes_where_there_is_room(monkeypatch):
    gpu = torch.device("cuda:0")
    facts = stand_in(monkeypatch, ["cuda:0"], free=3 * GB)
    assert devices.text_device(gpu, 2 * GB) == gpu and not devices.is_short(gpu)
    assert devices.text_device(gpu, 4 * GB) == torch.device("cpu")
    facts.free = GB
    assert devices.is_short(gpu) and not devices.is_short(torch.device("cpu"))
