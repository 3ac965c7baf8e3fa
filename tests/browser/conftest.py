"""Chromium as Debian has it, and status pages for it to look at."""

import asyncio
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from microdot import Request, Response
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from ncgd.api.page.routes import assets, page_of
from ncgd.api.port import StatusPort
from ncgd.api.server import Api
from tests.unit.api.scenes import SCENES, Moment, moment, nobody_looks
from tests.unit.api.test_port import free_port


@dataclass
class Served:
    """A status port in a thread of its own; its gateway can be exchanged for another."""

    scene: Moment
    number: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.number}/"

    def become(self, name: str) -> None:
        """From the next answer on it is the gateway of another scene."""
        self.scene = moment(SCENES[name]())

    @contextmanager
    def running(self) -> Iterator["Served"]:
        listening = threading.Event()
        running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

        async def serve() -> None:
            api = Api(Path("/nowhere"), lambda: self.scene.state, nobody_looks)

            async def page(request: Request) -> Response:
                self.scene.state.ended = time.monotonic()
                return await page_of(lambda: self.scene.state, self.scene.history)(request)

            shown = {**api.shown, "/": page}
            address = ip_address("127.0.0.1")
            port = StatusPort(address, self.number, shown, lambda _: listening.set(), fixed=assets())
            task = asyncio.create_task(port.run())
            running.append((asyncio.get_running_loop(), task))
            with suppress(asyncio.CancelledError):
                await task

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        assert listening.wait(10)
        try:
            yield self
        finally:
            loop, task = running[0]
            loop.call_soon_threadsafe(task.cancel)
            thread.join()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "the Debian package chromium is not installed: tests/run browser installs it"
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    launched = playwright.chromium.launch(executable_path=program, args=sandbox)
    yield launched
    launched.close()


@pytest.fixture
def gateway() -> Iterator[Served]:
    """A healthy gateway."""
    with Served(moment(SCENES["healthy"]())).running() as served:
        yield served


Look = Callable[..., Page]


@pytest.fixture
def look(browser: Browser) -> Iterator[Look]:
    """Open a page; a message on the console, an error, or a request to another host fails the test."""
    contexts, wrong = [], list[str]()

    def opened(url: str, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(url) else wrong.append(request.url))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    gone = "net::ERR_(CONNECTION|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED|CONTENT_LENGTH_MISMATCH)"  # also while it answers
    away = re.compile(f"{gone}|status of 503")  # ... or one that starts
    assert [each for each in wrong if not away.search(each)] == []
