"""The page: its tabs, its endpoints, and how it is served."""

from __future__ import annotations

import contextlib
import html
import mimetypes
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr
import torch
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from scamo.body.smpl_files import given_file
from scamo.ui.api import add_endpoints
from scamo.ui.components.figure_choice import FigureChoice
from scamo.ui.components.stage import Stage
from scamo.ui.disk_limit import DiskLimit
from scamo.ui.jobs.batch_queue import BUSY, MAX_BATCH
from scamo.ui.limits import MAX_UPLOAD, RequestLimits
from scamo.ui.memory import return_freed_memory
from scamo.ui.model_pool import ModelPool
from scamo.ui.page_cache import PageCache
from scamo.ui.proxies import reach_this_machine
from scamo.ui.tabs.arena import ArenaTab
from scamo.ui.tabs.compare import CompareTab
from scamo.ui.tabs.scaling import ScalingTab
from scamo.ui.tabs.timeline import TimelineTab
from scamo.ui.tabs.tokenizers import TokenizersTab
from scamo.ui.tabs.tokens import TokensTab
from scamo.ui.theme import theme
from scamo.ui.zero_gpu import zero_gpu

MAX_WAITING = 20  # clicks
_ANSWERED = 10.0  # seconds after which nothing of a call that was answered is looked at any more
MAX_SESSIONS = 100  # visits whose motions are kept; Gradio keeps the page's whole configuration for each

STATIC = Path(__file__).parent / "static"
HEADER = "<header><h1>ScaMo</h1><p>Words become human motion: see what codebook and model size change.</p></header>"
TABS = {
    "Compare": CompareTab,
    "Continue": TimelineTab,
    "Tokens": TokensTab,
    "Tokenizer lab": TokenizersTab,
    "Scaling": ScalingTab,
    "Blind arena": ArenaTab,
}


def build(
    folders: Sequence[str | Path] = (),
    batch: int = MAX_BATCH,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    body_model: str | Path | None = None,
) -> gr.Blocks:
    """The whole page. `folders` hold models offered beside the bundled ones (and those SCAMO_MODELS names).

    body_model: the user's licensed SMPL file or folder, which is offered as a figure then; SCAMO_BODY_MODEL if None.
    Raises ValueError where it is not there.
    batch: how many endpoint requests for one model are computed in one pass; 1 computes them one after the other.
    device, dtype: where and in which type models compute; see ModelPool.
    """
    licensed = given_file(body_model)
    lent_gpu = zero_gpu()
    if lent_gpu:  # CUDA is for functions that were lent the GPU, not for this process
        pool = ModelPool(folders, lent_gpu.engine, device="cpu")
    else:
        pool = ModelPool(folders, device=device, dtype=dtype)
    with gr.Blocks(title="ScaMo", analytics_enabled=False, delete_cache=(3600, 21600)) as demo:
        with gr.Row(elem_id="top", equal_height=False):
            gr.HTML(HEADER, elem_id="title")
            figure = FigureChoice(licensed)
        stage = Stage(figure)
        with stage.tabs:
            for title, tab in TABS.items():
                with gr.Tab(title, id=title):
                    tab(pool, stage)
        gr.HTML(about(pool))
        add_endpoints(pool, batch)
        # While the user types the prompt, the text encoder is loaded. `launch` begins even before the first visit.
        demo.load(pool.preload, queue=False, api_visibility="private")
    _preloads[demo] = pool.preload
    return demo


def launch(demo: gr.Blocks) -> None:
    """Serve the page until Ctrl-C, on this machine only unless GRADIO_SERVER_NAME says otherwise.

    Gradio's own variables hold. Where its extra "mcp" is installed, the endpoints are MCP tools too.
    """
    reach_this_machine()
    return_freed_memory()
    if os.environ.get("SPACE_ID"):
        let_threads_import()
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "500")  # Gradio notes every event, 10,000 by itself
    mimetypes.add_type("text/javascript", ".js")  # some systems say otherwise, and browsers then load no player
    demo.queue(default_concurrency_limit=1)
    limit_queue(demo)
    demo.launch(
        theme=theme(),
        css_paths=sorted(STATIC.glob("*.css")),
        max_file_size=MAX_UPLOAD,
        max_threads=64,  # requests to the endpoints wait in them too
        show_error=False,
        run_history=False,
        footer_links=["api"],
        state_session_capacity=MAX_SESSIONS,
        enable_monitoring=False,
        mcp_server=find_spec("mcp") is not None and os.environ.get("GRADIO_MCP_SERVER", "true").lower() == "true",
        app_kwargs={
            "middleware": [Middleware(RequestLimits, disk=DiskLimit(Path(get_upload_folder()))), Middleware(PageCache)]
        },
        prevent_thread_lock=True,
    )
    threading.Thread(target=_preload, args=(demo,), daemon=True).start()
    demo.block_thread()


_preloads: WeakKeyDictionary[gr.Blocks, Callable[[], None]] = WeakKeyDictionary()  # of each page


def _preload(demo: gr.Blocks) -> None:
    with contextlib.suppress(Exception):  # the first visit tries again, and whoever clicks is told
        _preloads[demo]()


def let_threads_import() -> None:
    """On a Space: leave Gradio's hot reload without the look it takes at every import.

    Up to Python 3.11 all finders of modules run within one lock. That of the package spaces waits there for modules
    of other threads, so two threads that import at once, such as a click and the preloading, hang for ever.
    Files edited in a running Space are then seen at its next start.
    """
    with contextlib.suppress(ImportError):
        import spaces.reloading.server  # adds the finder; the page's server would do so in a thread  # noqa: F401
    sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("spaces.")]


def limit_queue(demo: gr.Blocks, most: int = MAX_WAITING) -> None:
    """Refuse what would wait behind `most` clicks, in the page's own words. What takes no time is never refused.

    A program's call counts as no visit: Gradio keeps a configuration for each, and would drop visitors' motions for it.
    """
    queue: Any = vars(demo)["_queue"]  # Gradio's own limit has other words, and refuses /models too
    push = queue.push

    calls: dict[str, float] = {}  # since when

    def forget_calls() -> None:
        now = time.monotonic()
        done = [call for call, since in calls.items()
                if now - since > _ANSWERED and not queue.pending_event_ids_session.get(call)]  # fmt: skip
        for call in done:
            del calls[call]
            queue.pending_event_ids_session.pop(call, None)
            queue.pending_messages_per_session.pop(call, None)
            with demo.state_holder.lock:
                demo.state_holder.session_data.pop(call, None)
                demo.state_holder.time_last_used.pop(call, None)

    async def push_unless_full(body: Any, *args: Any, **options: Any) -> Any:
        forget_calls()
        is_call = body.session_hash is None
        waits = demo.fns[body.fn_index].queue if body.fn_index in demo.fns else True
        if waits and len(queue) >= most:
            return False, BUSY, "queue_full"
        answer = await push(body, *args, **options)
        if is_call and body.session_hash is not None:
            calls[body.session_hash] = time.monotonic()
        return answer

    queue.push = push_unless_full


def _knowledge(pool: ModelPool) -> list[str]:
    """What the models know, a paragraph for those that know the same; the largest group needs no names."""
    groups: dict[str, list[str]] = {}
    for codebook, row in pool.by_codebook.items():
        for label, card in row.items():
            groups.setdefault(card.knows, []).append(f"{codebook} · {label}")
    most = max(map(len, groups.values()), default=0)
    named = {knows: labels for knows, labels in groups.items() if knows}
    few = [f"{', '.join(labels)}: {knows}" for knows, labels in named.items() if len(labels) < most]
    return few + [f"The others: {knows}" if few else knows for knows, labels in named.items() if len(labels) == most]


def about(pool: ModelPool) -> str:
    """What the models on this page know, what they do not, and under which licence they are, as HTML."""
    knows = _knowledge(pool)
    rights = list(dict.fromkeys(f"{card.licence}. {card.attribution}".strip() for card in pool.cards))
    paragraphs = [*knows, *(f"Weights: {text}" for text in rights)]
    if not pool.cards:
        paragraphs = ["No model was found. Start the page with --models and a folder that holds some."]
    return f"<div id='about'>{''.join(f'<p>{html.escape(text)}</p>' for text in paragraphs)}</div>"
