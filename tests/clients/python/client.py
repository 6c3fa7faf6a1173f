"""A client of the gateway on the package `websockets`, written from docs/PROTOCOL.md alone.

It trusts nothing: every frame is held against what the document promises, and the first that deviates
ends it. What is traded is the matter of life.py.
"""

import asyncio, itertools, json, re
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

PATIENCE_S = 15
DECIMAL = re.compile(r"-?\d+(\.\d+)?")
DECIMALS = {
    "price",
    "volume",
    "bid",
    "ask",
    "balance",
    "credit",
    "equity",
    "margin",
    "freeMargin",
    "openPrice",
    "currentPrice",
    "stopLoss",
    "takeProfit",
    "floating",
    "swap",
    "commission",
    "realizedPnl",
    "slippage",
    "filledVolume",
    "leavesVolume",
    "avgPrice",
    "amount",
    "balanceAfter",
    "limit",
    "actual",
    "marginLevel",
    "marginRequired",
    "notional",
    "freeMarginAfter",
    "tick",
    "volumeMin",
    "volumeMax",
    "volumeStep",
}
CODES = {
    "AUTH_REQUIRED",
    "AUTH_INVALID",
    "AUTH_FORBIDDEN",
    "INVALID_PARAMS",
    "NOT_FOUND",
    "CONFLICT",
    "RATE_LIMITED",
    "CONNECTOR_UNAVAILABLE",
    "CONNECTOR_ERROR",
    "RISK_BLOCKED",
    "MARKET_CLOSED",
    "TIMEOUT",
    "INTERNAL_ERROR",
}
NOT_CRITICAL = {"event.feed.event", "event.gateway.gap", "event.gateway.tick"}


class Deviation(Exception):
    """The gateway did something else than what is written."""


def demand(condition, message):
    if not condition:
        raise Deviation(message)


def no_float(text):
    raise Deviation(f"{text} is a number with a fraction: decimals are strings")


def check_decimals(value, place):
    """Every field that is a decimal by its name is a string of digits."""
    if isinstance(value, list):
        for item in value:
            check_decimals(item, place)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in DECIMALS and not isinstance(inner, (dict, list)):
                demand(isinstance(inner, str) and DECIMAL.fullmatch(inner), f"{place}: {name} is {inner!r}")
            check_decimals(inner, f"{place}.{name}")


class Client:
    """One principal. Its log of critical events outlives its connections."""

    def __init__(self, url, token):
        self.url, self.token = url, token
        self.log, self.cursor, self.begin, self.ticks = [], None, None, []
        self.socket = self.reader = None

    # ---- the life of a connection

    async def open(self):
        """Opens a socket on which nothing was said yet."""
        # the gateway's frames have at most 1 MiB
        self.socket = await connect(self.url, max_size=1 << 20, open_timeout=PATIENCE_S)
        self.ids, self.waiting, self.seq, self.known_events = itertools.count(1), {}, 0, None
        self.sequences, self.left_out, self.announced = {}, 0, 0
        self.failure, self.close_code, self.happened = None, None, asyncio.Event()
        self.reader = asyncio.ensure_future(self.read())

    def introduction(self, resume=None, protocol=(1, 1), token=None):
        """The parameters of gateway.connect."""
        least, most = protocol
        return {
            "client": {"name": "python", "kind": "cli"},
            "protocol": {"min": least, "max": most},
            "auth": {"mode": "token", "token": token or self.token},
            **({"resume": {"cursor": resume}} if resume else {}),
        }

    async def connect(self, resume=None):
        """Introduces itself; with a cursor it goes on from there."""
        begin = lambda payload: self.begin_session(payload, resume)
        return await self.call("gateway.connect", on_answer=begin, **self.introduction(resume))

    def begin_session(self, payload, resume):
        """Before any further frame is read: events follow this answer closely."""
        demand(payload["protocol"] == {"selected": 1}, f"protocol is {payload['protocol']}")
        self.known_events = set(payload["features"]["events"])
        if resume and payload["recovered"]:
            demand(payload["cursor"] == resume, f"resumed from {payload['cursor']}, asked for {resume}")
        elif resume is None:
            demand(payload.get("recovered") is None, "recovered without resume")
            self.log = []
        self.cursor = payload["cursor"]
        if not self.log:
            self.begin = self.cursor

    async def close(self):
        """Takes leave as RFC 6455 has it."""
        await self.socket.close()
        await self.ended(1000)

    async def cut(self):
        """Breaks the connection without a word; what was not read yet is lost."""
        self.reader.cancel()
        self.socket.transport.abort()
        await asyncio.gather(self.reader, return_exceptions=True)

    async def ended(self, code):
        """Waits until the connection is closed, with this code."""
        await self.until(lambda: self.close_code is not None, f"a close with {code}")
        demand(self.close_code == code, f"closed with {self.close_code}, not {code}")

    # ---- what comes in

    async def read(self):
        try:
            async for text in self.socket:
                demand(isinstance(text, str), "a binary frame")
                self.take(json.loads(text, parse_float=no_float))
                self.happened.set()
            self.close_code = self.socket.close_code
        except ConnectionClosed:
            self.close_code = self.socket.close_code
        except Exception as failure:  # told to whoever waits
            self.failure = failure
        self.happened.set()

    def take(self, frame):
        kind = frame.get("type")
        demand(kind in ("res", "event"), f"a frame of no known type: {frame}")
        (self.take_answer if kind == "res" else self.take_event)(frame)

    def take_answer(self, frame):
        demand(frame["id"] in self.waiting, f"an answer to no question: {frame}")
        answer, on_answer = self.waiting.pop(frame["id"])
        if frame["ok"] is True:
            demand(set(frame) == {"type", "id", "ok", "payload"}, f"the answer's shape: {frame}")
            check_decimals(frame["payload"], "payload")
            if on_answer:
                on_answer(frame["payload"])
        else:
            error = frame["error"]
            demand(
                set(frame) == {"type", "id", "ok", "error"}
                and frame["ok"] is False
                and set(error) == {"code", "message", "retryable", "details"}
                and error["code"] in CODES
                and isinstance(error["message"], str)
                and isinstance(error["retryable"], bool)
                and isinstance(error["details"], dict),
                f"the error's shape: {frame}",
            )
        if not answer.done():
            answer.set_result(frame)

    def take_event(self, frame):
        name, payload = frame["event"], frame["payload"]
        demand(self.known_events is not None, f"an event before the session: {frame}")
        demand(name in self.known_events, f"{name} is not among features.events")
        demand(frame["seq"] == self.seq + 1, f"seq {frame['seq']} after {self.seq}")
        self.seq = frame["seq"]
        check_decimals(payload, name)
        demand(("cursor" in frame) == (name not in NOT_CRITICAL), f"a cursor or none: {frame}")
        if "cursor" in frame:
            # an operator with all accounts sees every event: no offset may be left out
            demand(
                frame["cursor"]["epoch"] == self.cursor["epoch"]
                and frame["cursor"]["offset"] == self.cursor["offset"] + 1,
                f"{name} at {frame['cursor']} after {self.cursor}",
            )
            self.cursor = frame["cursor"]
            self.log.append({key: frame[key] for key in ("event", "ts", "cursor", "payload")})
        elif name == "event.feed.event":
            self.take_feed(payload)
        elif name == "event.gateway.gap":
            self.announced += payload["dropped"]

    def take_feed(self, payload):
        partition = (payload["subscriptionId"], payload["partitionKey"])
        last = self.sequences.get(partition, 0)
        demand(payload["sequence"] > last, f"sequence {payload['sequence']} after {last} of {partition}")
        self.left_out += payload["sequence"] - last - 1
        self.sequences[partition] = payload["sequence"]
        if payload["topic"] == "market.price.tick":
            self.ticks.append(payload["payload"])

    # ---- what goes out

    async def send(self, method, params, id=None, on_answer=None):
        """Sends a request; returns what will be its answer."""
        id = id or f"py-{next(self.ids)}"
        answer = asyncio.get_running_loop().create_future()
        self.waiting[id] = (answer, on_answer)
        await self.socket.send(json.dumps({"type": "req", "id": id, "method": method, "params": params}))
        return answer

    async def send_half(self, method, params):
        """Sends the first fragment of a request, and breaks the connection."""
        text = json.dumps({"type": "req", "id": "half", "method": method, "params": params})
        sent = asyncio.Event()

        async def fragments():
            yield text[: len(text) // 2]
            sent.set()
            yield await asyncio.get_running_loop().create_future()

        sending = asyncio.ensure_future(self.socket.send(fragments()))
        await asyncio.wait_for(sent.wait(), PATIENCE_S)
        await self.cut()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    async def ask(self, method, params, on_answer=None):
        """The answer to a request, which is sent again when there is room if it was one too many."""
        while True:
            answer = await self.send(method, params, on_answer=on_answer)
            await self.until(answer.done, f"the answer to {method}")
            frame = answer.result()
            if frame["ok"] or frame["error"]["code"] != "RATE_LIMITED":
                return frame
            error = frame["error"]
            demand(
                error["retryable"] and error["details"]["outcome"] == "not_started", f"limited with {error}"
            )
            await asyncio.sleep(error["details"]["retryAfterMs"] / 1000)

    async def call(self, method, on_answer=None, **params):
        """The payload of an answer that must be good."""
        frame = await self.ask(method, params, on_answer)
        demand(frame["ok"], f"{method} was refused: {frame.get('error')}")
        return frame["payload"]

    async def refused(self, method, code, reason=None, **params):
        """The error of an answer that must be this one."""
        frame = await self.ask(method, params)
        demand(not frame["ok"], f"{method} was not refused: {frame}")
        error = frame["error"]
        demand(
            error["code"] == code and reason in (None, error["details"].get("reason")),
            f"{method} was refused with {error}, not {code} {reason or ''}",
        )
        return error

    async def raw(self, text):
        """Sends what is no request; returns the answer to `id: null`."""
        answer = asyncio.get_running_loop().create_future()
        self.waiting[None] = (answer, None)
        await self.socket.send(text)
        await self.until(answer.done, f"the answer to {text}")
        return answer.result()

    # ---- waiting

    async def until(self, condition, what):
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not condition():
            if self.failure:
                raise self.failure
            demand(self.close_code is None, f"closed with {self.close_code} while waiting for {what}")
            self.happened.clear()
            left = deadline - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self.happened.wait(), max(left, 0))
            except asyncio.TimeoutError:
                raise Deviation(f"{what} did not come in {PATIENCE_S} s") from None
        if self.failure:
            raise self.failure

    def events(self, name, matches=lambda payload: True):
        return [
            event["payload"] for event in self.log if event["event"] == name and matches(event["payload"])
        ]

    async def event(self, name, matches):
        await self.until(lambda: self.events(name, matches), f"an {name} that fits")
        return self.events(name, matches)[-1]
