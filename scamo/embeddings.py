"""Embeddings of prompts: kept on disk, so that a prompt that was encoded before needs no encoder; and checked."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from scamo.atomic import replacing_file


class EmbeddingCache:
    """One safetensors file per text in a folder, named by the hash of the encoder's identity and the text."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self.identity = identity

    def path(self, text: str) -> Path:
        """Where the embedding of `text` is or will be."""
        key = hashlib.sha256(f"{self.identity}\n{text}".encode())
        return self.folder / f"{key.hexdigest()}.safetensors"

    def read(self, text: str) -> Tensor | None:
        """The embedding [L, D], or None where there is none or its file is damaged."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path(text), framework="pt") as file:
                embedding = file.get_tensor("embedding")
                expected = (file.metadata() or {}).get("sha256")
        except (OSError, SafetensorError):
            return None
        return embedding if _tensor_sha256(embedding) == expected else None

    def write(self, text: str, embedding: Tensor) -> None:
        """Keep an embedding [L, D]. The file appears whole or not at all, also with several writers."""
        from safetensors.torch import save

        data = save({"embedding": embedding.contiguous()}, metadata={"sha256": _tensor_sha256(embedding)})
        with replacing_file(self.path(text)) as temporary:
            temporary.write_bytes(data)


def _tensor_sha256(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


def check_width(width: int, wanted: int, encoder: str | None) -> None:
    """Raise ValueError where embeddings are not as wide as a model reads them."""
    if width != wanted:
        raise ValueError(
            f"the text embedding is {width} wide and this model reads {wanted}; "
            f"use its own text encoder ({encoder or 'not recorded'})"
        )


def check_known(encoder: object | None, recorded: str | None, model: str, has_words: bool = True) -> None:
    """Raise ValueError where a model's text encoder is neither given nor recorded in its card."""
    if encoder is not None or recorded is not None:
        return
    if has_words:
        raise ValueError(
            f"the text encoder of {model} is not recorded in its card; convert it again with its name, or "
            "give load(text_encoder=) or embedding="
        )
    remedy = "give guidance=1, or load(text_encoder=)"
    raise ValueError(f"guidance reads the empty text and this model's text encoder is not known; {remedy}")
