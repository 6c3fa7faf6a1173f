"""What a trader does in a day: preview, place, modify, close, lose the connection in the middle of an
order, come back, stop everything, trade again. Ends with 0, or says what was not as documented.
"""

import argparse, asyncio, pathlib, secrets, sys
from decimal import Decimal as D
from client import Client, Deviation, demand

VOLUME = "0.10"
# How long after its order the connection is cut: at once, while the gateway works, when it is done.
# None: in the middle of it.
CUTS_MS = [None, 0, 1, 3, 10, 50]


class Life:
    def __init__(self, options):
        read = lambda file: pathlib.Path(file).read_text().strip()
        self.client = Client(options.url, read(options.token_file))
        self.viewer = Client(options.url, read(options.viewer_token_file))
        self.account, self.symbol = options.account, options.symbol
        self.run = secrets.token_hex(4)  # client order ids are unique for ever

    async def live(self):
        for step in (
            self.is_strict_at_the_door,
            self.tells_what_it_has,
            self.answers_what_is_wrong,
            self.lets_a_viewer_look_only,
            self.previews,
            self.places_modifies_closes,
            self.survives_cuts,
            self.stops_and_resumes,
            self.has_a_log_without_holes,
            self.says_goodbye,
        ):
            await step()
            print("ok", step.__name__.replace("_", " "), flush=True)

    # ---- the door

    async def is_strict_at_the_door(self):
        client = self.client
        await client.open()
        await client.refused("gateway.ping", "AUTH_REQUIRED")
        await client.close()
        for close, code, wrong in (
            (4401, "AUTH_INVALID", {"token": "gw_wrong"}),
            (4409, "CONFLICT", {"protocol": (7, 9)}),
        ):
            await client.open()
            await client.refused("gateway.connect", code, **client.introduction(**wrong))
            await client.ended(close)

    async def tells_what_it_has(self):
        client = self.client
        await client.open()
        hello = await client.connect()
        demand(hello["session"]["role"] == "operator", f"the role is {hello['session']['role']}")
        for method in (
            "risk.preview",
            "trades.place",
            "trades.modify",
            "trades.closePosition",
            "events.fetch",
            "risk.emergencyStop",
            "risk.resume",
        ):
            demand(method in hello["features"]["methods"], f"{method} is missing in features.methods")
        for _ in range(300):
            status = await client.call("accounts.status", accountId=self.account)
            if status["status"] == "connected":
                break
            await asyncio.sleep(0.05)
        demand(status["status"] == "connected", f"the account does not connect: {status}")
        await self.subscribe()
        found = await self.pages("accounts.instruments", accountId=self.account)
        self.tick = D(next(row["tick"] for row in found if row["symbol"] == self.symbol))

    async def subscribe(self):
        client = self.client
        await client.call(
            "feeds.subscribe",
            topics=["market.price.tick", "account.*", "trade.executed"],
            symbols=[self.symbol],
        )
        await client.until(lambda: client.ticks, "a tick")

    async def answers_what_is_wrong(self):
        client = self.client
        bad = await client.raw("{")
        demand(bad["error"]["details"].get("reason") == "BAD_JSON", f"no JSON is answered {bad}")
        bad = await client.raw('{"type":"request"}')
        demand(bad["error"]["details"].get("reason") == "BAD_FRAME", f"no frame is answered {bad}")
        await client.refused("agent.run", "NOT_FOUND", "UNKNOWN_METHOD")
        await client.refused("gateway.connect", "CONFLICT", **client.introduction())
        await client.refused("accounts.get", "NOT_FOUND", accountId="nobody")
        error = await client.refused("trades.place", "INVALID_PARAMS", **self.order("wrong", volume="much"))
        demand("volume" in error["details"]["path"], f"the place of the error is {error['details']}")
        (await client.send("gateway.ping", {}, id="twice"))
        await client.until(lambda: "twice" not in client.waiting, "an answer")
        again = await client.send("gateway.ping", {}, id="twice")
        await client.until(again.done, "an answer")
        demand(
            not again.result()["ok"] and again.result()["error"]["code"] == "CONFLICT",
            "an id was taken twice",
        )

    async def lets_a_viewer_look_only(self):
        await self.viewer.open()
        hello = await self.viewer.connect()
        demand(hello["session"]["role"] == "viewer", f"the role is {hello['session']['role']}")
        await self.viewer.call("accounts.get", accountId=self.account)
        await self.viewer.refused("trades.place", "AUTH_FORBIDDEN", **self.order("viewer"))
        await self.viewer.close()

    # ---- trading

    def order(self, name, **other):
        return {
            "accountId": self.account,
            "symbol": self.symbol,
            "side": "buy",
            "type": "market",
            "volume": VOLUME,
            "clientOrderId": f"{name}-{self.run}",
            "idempotencyKey": f"{name}-{self.run}",
            **other,
        }

    def below(self, part):
        """A price below the market, on the grid."""
        return str(D(self.client.ticks[-1]["bid"]) * D(part) // self.tick * self.tick)

    def state(self):
        return self.client.call("accounts.get", accountId=self.account)

    async def placed(self, order):
        """Places an order and waits for its event: answers and events come each in its own time."""
        answer = await self.client.call("trades.place", **order)
        demand(
            answer["status"] == ("filled" if order["type"] == "market" else "accepted"),
            f"the order is {answer}",
        )
        await self.client.event(
            "event.order.updated",
            lambda p: p["order"]["orderId"] == answer["orderId"] and p["order"]["status"] == answer["status"],
        )
        return answer

    async def previews(self):
        client = self.client
        order = self.order("preview")
        del order["idempotencyKey"]
        good = await client.call("risk.preview", **order)
        demand(
            good["allowed"] is True and good["violations"] == [] and good["checks"], f"the preview is {good}"
        )
        demand(D(good["computed"]["marginRequired"]) > 0, f"it needs no margin: {good['computed']}")
        bad = await client.call("risk.preview", **{**order, "volume": "0.001"})
        demand(
            bad["allowed"] is False and bad["violations"][0]["code"] == "VOLUME_STEP", f"the preview is {bad}"
        )
        small = self.order("small", volume="0.001")
        error = await client.refused("trades.place", "RISK_BLOCKED", "VOLUME_STEP", **small)
        demand(
            error["details"]["violations"] == bad["violations"], f"preview and refusal differ: {bad} {error}"
        )
        await client.event("event.trade.rejected", lambda p: p.get("clientOrderId") == small["clientOrderId"])
        await client.event("event.risk.alert", lambda p: p["code"] == "VOLUME_STEP")

    async def places_modifies_closes(self):
        client = self.client
        order = self.order("market")
        bought = await self.placed(order)
        executed = await client.event("event.trade.executed", lambda p: p["orderId"] == bought["orderId"])
        demand(
            D(executed["price"]) == D(bought["avgPrice"]) and D(executed["volume"]) == D(VOLUME),
            f"{executed} of {bought}",
        )
        again = await client.call("trades.place", **order)
        demand(again == bought, f"the same key brought {again}, not {bought}")
        await client.refused(
            "trades.place", "CONFLICT", "IDEMPOTENCY_MISMATCH", **{**order, "volume": "0.20"}
        )
        twice = {**order, "idempotencyKey": f"again-{self.run}"}
        await client.refused("trades.place", "RISK_BLOCKED", "DUPLICATE_ORDER", **twice)

        position = {"accountId": self.account, "positionId": bought["positionId"]}
        stop = self.below("0.9")
        protected = await client.call("trades.modify", **position, stopLoss=stop)
        demand(D(protected["position"]["stopLoss"]) == D(stop), f"the stop loss is {protected}")
        await client.event("event.trade.modified", lambda p: p.get("position", {}).get("stopLoss"))

        resting = await self.placed(self.order("resting", type="limit", price=self.below("0.8")))
        target = {"accountId": self.account, "orderId": resting["orderId"]}
        await client.refused(
            "trades.modify", "CONFLICT", **target, price=self.below("0.7"), expectedVersion=9999
        )
        moved = await client.call("trades.modify", **target, price=self.below("0.7"))
        demand(
            D(moved["order"]["price"]) < D(client.ticks[-1]["bid"]) * D("0.75"), f"it was not moved: {moved}"
        )
        await client.call("trades.cancel", **target, idempotencyKey=f"cancel-{self.run}")
        await client.event("event.trade.canceled", lambda p: p["order"]["orderId"] == resting["orderId"])

        part = await client.call("trades.closePosition", **position, volume="0.04")
        demand(D(part["position"]["volume"]) == D("0.06"), f"after a part: {part}")
        await client.call("trades.closePosition", **position)
        await client.event(
            "event.trade.closed",
            lambda p: p["position"]["positionId"] == bought["positionId"] and D(p["position"]["volume"]) == 0,
        )
        await self.is_empty()

    async def is_empty(self):
        now = await self.state()
        demand((now["orders"], now["positions"]) == ([], []), f"something is left: {now}")

    # ---- losing the connection

    async def survives_cuts(self):
        client = self.client
        for number, cut_ms in enumerate(CUTS_MS):
            kind = {"type": "limit", "price": self.below("0.8")} if number % 2 else {}
            order = self.order(f"cut{number}", **kind)
            if cut_ms is None:
                await client.send_half("trades.place", order)
            else:
                await client.send("trades.place", order)
                await asyncio.sleep(cut_ms / 1000)
                await client.cut()
            await self.come_back()
            name = order["clientOrderId"]
            intents = lambda: client.events(
                "event.trade.intent", lambda p: p["params"].get("clientOrderId") == name
            )
            demand(cut_ms is not None or intents() == [], f"half a request had an effect: {intents()}")
            answer = await self.placed(order)  # with the same key
            new = lambda p: p.get("placed") and p["order"].get("clientOrderId") == name
            orders = client.events("event.order.updated", new)
            demand((len(intents()), len(orders)) == (1, 1), f"not one order {name}: {intents()} {orders}")
            fills = client.events("event.trade.executed", lambda p: p["orderId"] == answer["orderId"])
            demand(
                sum(D(fill["volume"]) for fill in fills) == D(answer["filledVolume"]),
                f"fills of {answer}: {fills}",
            )
        now = await self.state()
        demand((len(now["orders"]), len(now["positions"])) == (3, 3), f"six orders made {now}")
        stranger = {"epoch": "0" * 16, "offset": 1}
        other = Client(client.url, client.token)
        await other.open()
        hello = await other.connect(resume=stranger)
        demand(hello["recovered"] is False, f"a stranger's cursor was taken: {hello}")
        await other.close()

    async def come_back(self):
        """Goes on after the last event that was applied. None is missing or comes twice: see client.py."""
        client, last = self.client, self.client.cursor
        await client.open()
        hello = await client.connect(resume=last)
        demand(hello["recovered"] is True, f"not recovered from {last}: {hello}")
        head = hello["head"]["offset"]
        await client.until(lambda: client.cursor["offset"] >= head, f"the events up to {head}")
        await self.subscribe()

    # ---- stopping

    async def stops_and_resumes(self):
        client = self.client
        stop = {
            "scope": "global",
            "reason": "drill",
            "actions": ["pause", "cancel_all", "close_all"],
            "idempotencyKey": f"stop-{self.run}",
        }
        stopped = await client.call("risk.emergencyStop", **stop)
        demand(stopped["latched"] is True and len(stopped["outcomes"]) == 6, f"six things to end: {stopped}")
        phase = lambda name: client.event(
            "event.emergency_stop", lambda p: p["stopId"] == stopped["stopId"] and p["phase"] == name
        )
        await phase("latched")
        await phase("completed")
        await self.is_empty()
        blocked = self.order("halted")
        await client.refused("trades.place", "RISK_BLOCKED", "TRADING_HALTED", **blocked)

        await client.close()
        await self.come_back()  # the latch outlives the connection
        halted = await client.call("risk.status", accountId=self.account)
        demand(halted["tradingState"] == "halted", f"not halted: {halted}")
        demand(await client.call("risk.emergencyStop", **stop) == stopped, "the same stop was another one")
        resumed = await client.call("risk.resume", stopId=stopped["stopId"], reason="drill is over")
        demand(resumed["cleared"] == [stopped["stopId"]], f"resumed {resumed}")
        await phase("resumed")
        active = await client.call("risk.status", accountId=self.account)
        demand(active["tradingState"] == "active", f"not active: {active}")
        again = await self.placed(self.order("afterwards", side="sell"))
        await client.call("trades.closePosition", accountId=self.account, positionId=again["positionId"])
        await self.is_empty()

    # ---- the books

    async def pages(self, method, **params):
        """A list, in small pages."""
        items, cursor = [], {}
        for _ in range(1000):
            page = await self.client.call(method, **params, limit=3, **cursor)
            items += page["items"]
            if page.get("nextCursor") is None:
                return items
            cursor = {"cursor": page["nextCursor"]}
        raise Deviation(f"{method} has no last page")

    async def has_a_log_without_holes(self):
        client, after, fetched = self.client, self.client.begin, []
        while True:
            page = await client.call("events.fetch", after=after, limit=7)
            demand(len(page["events"]) <= 7, f"asked for 7, got {len(page['events'])}")
            fetched += page["events"]
            after = page["next"]
            if after == page["head"]:
                break
        await client.until(lambda: client.cursor["offset"] >= after["offset"], "the events that were fetched")
        told = client.log[: len(fetched)]
        for event, was in zip(fetched, told):
            demand(event == was, f"fetched {event}, but was told {was}")
        demand(len(told) == len(fetched), f"fetched {len(fetched)} events, but was told {len(client.log)}")
        demand(
            client.left_out <= client.announced, f"{client.left_out} left out, {client.announced} announced"
        )

        ledger = await self.pages("accounts.history", accountId=self.account, kind="ledger")
        demand(ledger, "the ledger is empty")
        for before, entry in zip(ledger, ledger[1:]):
            demand(
                D(before["balanceAfter"]) + D(entry["amount"]) == D(entry["balanceAfter"]),
                f"{before} {entry}",
            )
        now = await self.state()
        demand(D(ledger[-1]["balanceAfter"]) == D(now["balance"]), f"{ledger[-1]} is not {now['balance']}")

    async def says_goodbye(self):
        """Whoever started the gateway stops it now."""
        print("stop the gateway", flush=True)
        await self.client.event("event.gateway.status", lambda p: p["state"] == "draining")
        await self.client.ended(1001)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("url", "token_file", "viewer_token_file", "account", "symbol"):
        parser.add_argument(name)
    try:
        asyncio.run(Life(parser.parse_args()).live())
    except Exception as failure:
        sys.exit(f"{type(failure).__name__}: {failure}")


if __name__ == "__main__":
    main()
