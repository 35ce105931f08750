"""The ComfyUI engine: pictures made by a ComfyUI server, here or elsewhere, over HTTP and a WebSocket. Nothing of ComfyUI is imported."""

from engines.comfyui.engine import Address, Comfy, GraphFor, Uploaded
from engines.comfyui.faults import MissingNode, NeedsSignIn, NotComfy, Unreachable
from engines.comfyui.hashes import Fingerprints
from engines.comfyui.managed import ManagedComfy
from engines.comfyui.progress import Progress
from engines.comfyui.server import (
    ComfyServer,
    Device,
    Entry,
    Graph,
    OutputFile,
    Queue,
    ServerModels,
    SystemStats,
    choices,
)
from engines.comfyui.watch import Patience, run, with_prefix
from engines.comfyui.wishes import Wishes

__all__ = [
    "Address",
    "Comfy",
    "ComfyServer",
    "Device",
    "Entry",
    "Fingerprints",
    "Graph",
    "GraphFor",
    "ManagedComfy",
    "MissingNode",
    "NeedsSignIn",
    "NotComfy",
    "OutputFile",
    "Patience",
    "Progress",
    "Queue",
    "ServerModels",
    "SystemStats",
    "Unreachable",
    "Uploaded",
    "Wishes",
    "choices",
    "run",
    "with_prefix",
]
