"""How the studio is, and what can be chosen in it: presets, models, LoRAs."""

from __future__ import annotations

from fastapi import APIRouter, Query, Response

from studio.api.refusals import RESPONSES, with_errors
from studio.api.views import Id, Loras, Models, Presets, Ready
from studio.contracts import Health, PresetChoice, Sampling
from studio.meters import System
from studio.studio import Studio


def routes(studio: Studio) -> APIRouter:
    """health, ready, system, presets, models, loras."""
    router = APIRouter(responses=RESPONSES)

    @router.get("/health", tags=["studio"], summary="How the studio is")
    def health() -> Health:
        """Version, database, worker, engines, whether there is a GPU, and how many jobs wait. Always 200 while the page answers."""
        return studio.health()

    @router.get("/ready", tags=["studio"], summary="Would a job start now?", responses={503: {"model": Ready, "description": "Not yet"}})
    def ready(response: Response) -> Ready:
        """200 when the database answers and a worker runs, 503 until then."""
        yes = studio.ready()
        response.status_code = 200 if yes else 503
        return Ready(ok=yes)

    @router.get("/system", tags=["studio"], summary="How busy the computer is")
    def system() -> System:
        """Processor, memory, and NVIDIA's graphics cards, as read within the last seconds.

        The first answer after a pause may lack some of it (null, no cards): it is being read then. Nothing is read while nobody asks.
        """
        return studio.system()

    @router.get("/presets", tags=["choices"], summary="List presets")
    def presets(
        category: str | None = Query(None, description="Only this category"),
        engine: str | None = Query(None, description="Only those that this engine can run"),
        model: str | None = Query(None, description="Say of each whether it runs with this model: `runs`, `why_not`, `remedy`"),
    ) -> Presets:
        """Named defaults for a request. Those of the category “style” can also be given as `style`, beside another preset."""
        return Presets(items=studio.presets(category=category, engine=engine, model=model))

    @router.get("/presets/{id}", tags=["choices"], summary="One preset", responses=with_errors(404))
    def preset(
        id: Id, model: str | None = Query(None, description="Say whether it runs with this model: `runs`, `why_not`, `remedy`")
    ) -> PresetChoice:
        """Its defaults, what they are on each family of models, and the sentence that explains it."""
        return studio.preset(id, model=model)

    @router.get("/models", tags=["choices"], summary="List models")
    def models() -> Models:
        """Models on this computer, with the sizes and settings they want; the first is the default."""
        return Models(items=studio.models())

    @router.get("/samplers", tags=["choices"], summary="Samplers and schedulers of a model")
    def samplers(
        model: str | None = Query(None, description="A model by its id; the default one where nothing is said"),
        workflow: str | None = Query(None, description="A workflow by its id, which goes before the model"),
    ) -> Sampling:
        """The embedded engine's, or for a model on ComfyUI what its servers have; each by the name that `generate` takes."""
        return studio.sampling(model, workflow)

    @router.get("/loras", tags=["choices"], summary="List LoRAs")
    def loras() -> Loras:
        """LoRAs on this computer; `path` is what `generate` takes."""
        return Loras(items=studio.loras())

    return router
