"""The tab "Training run" on the page of every task: see `run_page`.

Every part of Airflow loads its plugins, so this module is light: the page is made when the API server is first asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.plugins_manager import AirflowPlugin

_ROOM = "truss-train"
_TASK = "dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}"

Message = MutableMapping[str, Any]


class RunPage:
    """The ASGI application of the page, loaded on first use."""

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        from airflow_provider_truss_train.run_page.app import application

        await application()(scope, receive, send)


class TrussTrainPlugin(AirflowPlugin):
    """What this package adds to Airflow's user interface."""

    name = "truss_train"
    fastapi_apps = [{"name": "Training run", "app": RunPage(), "url_prefix": f"/{_ROOM}"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Training run",
            # Relative to where the user interface is, which need not be the root of its host.
            "href": f"{_ROOM}/run?{_TASK}",
            "destination": "task_instance",
            "url_route": "training-run",
            "icon": f"{_ROOM}/static/icon.svg",
            "icon_dark_mode": f"{_ROOM}/static/icon-dark.svg",
        }
    ]
