"""The program ``nft``: JSON in, JSON out."""

import asyncio
import json
import os
from typing import Any

from ncgd.errors import Rejected, TimedOut, Unavailable

_TIMEOUT_SECONDS = 10.0


async def nft(*arguments: str, document: object = None) -> dict[str, Any]:
    """Run ``nft -j ARGUMENTS`` with a document on its standard input and return what it prints.

    Raises Unavailable when nft is not installed, Rejected with nft's own words, TimedOut after 10 s.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            "nft", "-j", *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, "LC_ALL": "C"}
        )
    except OSError as error:
        raise Unavailable(f"cannot run nft: {error.strerror}; install the package nftables") from error
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            output, complaint = await process.communicate(json.dumps(document).encode() if document else None)
    except TimeoutError as error:
        raise TimedOut(f"nft {' '.join(arguments)}: no answer within {_TIMEOUT_SECONDS:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        words = complaint.decode(errors="replace").strip().partition("\n")[0]
        raise Rejected(f"nft {' '.join(arguments)}: {words or f'exit status {process.returncode}'}")
    listing: dict[str, Any] = json.loads(output) if output.strip() else {"nftables": []}
    return listing
