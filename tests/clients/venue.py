"""A venue for the venue link, written from docs/VENUE_LINK.md alone. Standard library only.

In memory, one account. Market orders fill at once at a price that walks at random; limit orders rest until they
are modified, cancelled or crossed. Prints its port on a line of its own when it is up.
"""
import argparse, asyncio, datetime, json, random, secrets
from decimal import Decimal as D

CONTRACT = {"BTCUSD": D(1), "ETHUSD": D(1), "EURUSD": D(100000)}
TICK = {"BTCUSD": D("0.01"), "ETHUSD": D("0.01"), "EURUSD": D("0.00001")}


class Venue:
    def __init__(self, options):
        self.options, self.walk = options, random.Random(options.seed)
        self.log, self.reports, self.fills = "py-" + secrets.token_hex(4), [], []
        self.orders, self.positions, self.balance, self.session = {}, {}, D("10000.00"), None
        self.bid = {"BTCUSD": D("60000.00"), "ETHUSD": D("3000.00"), "EURUSD": D("1.10000")}

    # ---- the market

    def price(self, symbol, side):
        return self.bid[symbol] + (10 * TICK[symbol] if side == "buy" else 0)

    async def market(self):
        while True:
            await asyncio.sleep(0.1)
            for symbol in self.bid:
                self.bid[symbol] += self.walk.randint(-5, 5) * TICK[symbol]
            if self.session and self.options.away:
                continue
            for order in [o for o in self.orders.values() if o["status"] == "working"]:
                price = self.price(order["symbol"], order["side"])
                if price <= order["price"] if order["side"] == "buy" else price >= order["price"]:
                    self.fill(order, order["price"])

    # ---- the log

    def report(self, numbered=True, **report):
        if numbered:
            number = len(self.reports) + 1
            self.reports.append({"type": "report", "seq": number, "prev": number - 1, "report": report})
        if self.session and self.session.synced:
            self.session.say(self.reports[-1] if numbered else {"type": "report", "seq": 0, "prev": 0, "report": report})

    def fill(self, order, price):
        position, volume, pnl = self.positions.get(order["position"]), order["volume"], D(0)
        if order["position"]:
            volume = min(volume, position["volume"])
            sign = 1 if position["side"] == "buy" else -1
            pnl = (sign * (price - position["open"]) * volume * CONTRACT[order["symbol"]]).quantize(D("0.01"))
            position["volume"] -= volume
        else:
            order["position"] = "t%d" % (len(self.fills) + 1)
            position = {"side": order["side"], "symbol": order["symbol"], "volume": volume, "open": price,
                        "order": order["order"], "levels": levels_at(order, price)}
            self.positions[order["position"]] = position
        closes = position["order"] != order["order"]
        self.balance += pnl
        order.update(status="filled", filled=volume, average=price)
        fill = {"fill": "x%d" % (len(self.fills) + 1), "order": order["order"], "position": order["position"],
                "symbol": order["symbol"], "side": order["side"], "volume": str(volume), "price": str(price),
                "commission": "0", "realizedPnl": str(pnl), "closes": closes, "positionVolume": str(position["volume"]),
                "reason": "order", "ts": now(), **text(position["levels"])}
        if position["volume"] == 0:
            del self.positions[order["position"]]
        self.fills.append(fill)
        self.report(kind="fill", **fill)

    # ---- requests

    def submit(self, frame):
        name, side = frame["order"], frame["side"]
        if name in self.orders:
            return self.session.say({"type": "status", "orders": [self.state(name)]})
        order = {"order": name, "symbol": frame["symbol"], "side": side, "volume": D(frame["volume"]), "filled": D(0),
                 "position": frame.get("position"), "status": "working", "average": None, "terms": frame,
                 "price": D(frame["price"]) if "price" in frame else None}
        self.orders[name] = order
        known = order["symbol"] in self.bid and (not order["position"] or order["position"] in self.positions)
        if not known:
            order["status"] = "rejected"
            return self.report(kind="rejected", order=name, reason="UNKNOWN_SYMBOL_OR_POSITION")
        price = self.price(order["symbol"], side)
        if frame["orderType"] == "market":
            return self.fill(order, price)
        self.report(kind="accepted", order=name)

    def cancel(self, frame):
        order = self.orders.get(frame["order"])
        if order is None:
            return self.session.say({"type": "status", "orders": [self.state(frame["order"])]})
        if order["status"] == "working":
            order["status"] = "canceled"
            self.report(kind="canceled", order=order["order"])

    def modify(self, frame):
        if "position" in frame:
            position = self.positions.get(frame["position"])
            if position is None:
                return self.report(False, kind="modify_rejected", position=frame["position"], reason="UNKNOWN")
            position["levels"] = levels_at({"terms": frame, "side": position["side"]}, position["open"])
            return self.report(kind="position", position=frame["position"], **text(position["levels"]))
        order = self.orders.get(frame["order"])
        if order is None or order["status"] != "working":
            return self.report(False, kind="modify_rejected", order=frame["order"], reason="NOT_WORKING")
        order.update(volume=D(frame["volume"]), price=D(frame["price"]), terms=frame)
        self.report(kind="modified", order=order["order"], volume=frame["volume"], price=frame["price"], **levels(frame))

    def state(self, name):
        order = self.orders.get(name)
        if order is None:
            return {"order": name, "status": "unknown"}
        state = {"order": name, "status": order["status"], "volume": str(order["volume"]), "filled": str(order["filled"])}
        state.update({key: str(order[value]) for key, value in (("price", "price"), ("avgPrice", "average")) if order[value]})
        return {**state, **levels(order["terms"])}

    def sync(self, frame):
        if frame.get("log") == self.log and self.options.resend:
            self.repeat(frame["after"])
        self.session.synced = True
        asked = dict.fromkeys([n for n, o in self.orders.items() if o["status"] == "working"] + frame["orders"])
        names, missed = [fill["fill"] for fill in self.fills], [f for f in self.fills if f["order"] in frame["orders"]]
        if frame.get("fillsAfter") in names:
            missed = self.fills[names.index(frame["fillsAfter"]) + 1:]
        self.session.say({"type": "snapshot", "snapshot": {
            "seq": len(self.reports), "balance": str(self.balance), "currency": "USD",
            "orders": [self.state(name) for name in asked], "fills": missed,
            "positions": [{"position": name, "order": p["order"], "symbol": p["symbol"], "side": p["side"],
                           "volume": str(p["volume"]), "openPrice": str(p["open"]), **text(p["levels"])}
                          for name, p in self.positions.items()]}})

    def repeat(self, after):
        for report in self.reports[after:]:
            self.session.say(report)

    def take(self, frame):
        kind = frame["type"]
        if kind == "status":
            self.session.say({"type": "status", "orders": [self.state(name) for name in frame["orders"]]})
        elif kind in ("sync", "submit", "cancel", "modify"):
            getattr(self, kind)(frame)
        return kind != "logoff"


def levels(terms):
    """Levels that are prices; a distance is none before the fill."""
    return {key: terms[key]["price"] for key in ("stopLoss", "takeProfit") if "price" in terms.get(key, {})}


def levels_at(order, price):
    found = {}
    for key, away in (("stopLoss", -1), ("takeProfit", 1)):
        term = order["terms"].get(key)
        if term:
            by = D(term["distance"]) if "distance" in term else D(0)
            sign = away if order["side"] == "buy" else -away
            found[key] = D(term["price"]) if "price" in term else price + sign * by
    return found


def text(found):
    return {key: str(value) for key, value in found.items()}


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")


class Session:
    def __init__(self, venue, reader, writer):
        self.venue, self.reader, self.writer, self.synced, self.last = venue, reader, writer, False, 0

    def say(self, frame):
        self.writer.write((json.dumps(frame) + "\n").encode())

    async def line(self, seconds):
        line = await asyncio.wait_for(self.reader.readuntil(b"\n"), seconds)
        return json.loads(line)

    async def run(self):
        venue = self.venue
        logon = await self.line(5)
        if logon.get("type") != "logon" or logon.get("protocol") != 1:
            return self.say({"type": "reject", "reason": "BAD_LOGON", "message": "protocol 1 begins with a logon"})
        if not secrets.compare_digest(logon.get("token", ""), venue.options.token):
            return self.say({"type": "reject", "reason": "TOKEN_UNKNOWN", "message": "there is no such token"})
        quotes = logon.get("marketData")
        if not quotes:
            if venue.session:
                venue.session.writer.close()  # and nothing of it is taken any more: see below
            venue.session = self
            if not venue.options.resend:
                venue.log, venue.reports = "py-" + secrets.token_hex(4), []
        self.say({"type": "logon", "protocol": 1, "venue": "venue.py 1.0", "log": venue.log, "heartbeatMs": 1000,
                  "capabilities": {"fencing": True, "dedupe": True, "resend": venue.options.resend,
                                   "orderTypes": ["market", "limit"], "fillings": ["fok", "ioc", "return"],
                                   "modify": ["price", "volume", "stops"]}})
        beat = asyncio.ensure_future(self.beat(quotes))
        try:
            while True:
                frame = await self.line(3)
                if not quotes and venue.session is not self:
                    return  # another session took the account: this frame is void
                if frame["seq"] <= self.last:
                    continue
                self.last = frame["to"] if frame["type"] == "skip" else frame["seq"]
                if not venue.take(frame):
                    return
        finally:
            beat.cancel()
            if venue.session is self:
                venue.session = None

    async def beat(self, quotes):
        while True:
            for symbol in quotes or []:
                if symbol in self.venue.bid:
                    bid, ask = (str(self.venue.price(symbol, side)) for side in ("sell", "buy"))
                    self.say({"type": "quote", "symbol": symbol, "bid": bid, "ask": ask, "ts": now()})
            last = {"last": len(self.venue.reports)} if self.synced else {}
            if not quotes:
                self.say({"type": "heartbeat", **last})
            await asyncio.sleep(0.2 if quotes else 1)


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-resend", dest="resend", action="store_false", help="keep no log of reports")
    parser.add_argument("--away", action="store_true", help="cross limit orders only while the gateway is away")
    venue = Venue(parser.parse_args())

    async def serve(reader, writer):
        try:
            await Session(venue, reader, writer).run()
        except (asyncio.IncompleteReadError, asyncio.TimeoutError, ConnectionError, OSError):
            pass  # the gateway is gone, or silent
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", venue.options.port, limit=4 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.gather(venue.market(), server.serve_forever())


if __name__ == "__main__":
    asyncio.run(main())
