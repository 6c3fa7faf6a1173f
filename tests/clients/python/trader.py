"""Trades until it is told to stop or the gateway is gone: what a minute of production leaves in a journal.
Orders that fill, rest, move, and are cancelled, levels, partial closes, refusals, repeats, and a stop with its
resume. Prints `trading` when the first order is through.
"""

import argparse, asyncio, itertools, pathlib, secrets, sys, time
from decimal import Decimal as D
from client import Client, demand

PAUSE_S = 0.05


async def trade(options):
    token = pathlib.Path(options.token_file).read_text().strip()
    client = Client(options.url, token)
    account, symbol = {"accountId": options.account}, options.symbol
    run, end = secrets.token_hex(4), time.monotonic() + options.seconds

    def order(name, **other):
        key = f"{name}-{run}"
        shape = {"symbol": symbol, "side": "buy", "type": "market", "volume": "0.10"}
        return {**account, **shape, "clientOrderId": key, "idempotencyKey": key, **other}

    await client.open()
    await client.connect()
    await client.call("feeds.subscribe", topics=["market.price.tick"], symbols=[symbol])
    await client.until(lambda: client.ticks, "a tick")
    below = lambda part: str((D(client.ticks[-1]["bid"]) * D(part)).quantize(D("1")))
    for round in itertools.count(1):
        if time.monotonic() >= end:
            break
        side = "sell" if round % 3 == 0 else "buy"
        market = order(f"market{round}", side=side)
        bought = await client.call("trades.place", **market)
        demand(bought["status"] == "filled", f"the order is {bought}")
        demand(await client.call("trades.place", **market) == bought, "the same key brought another answer")
        if round == 1:
            print("trading", flush=True)
        position = {**account, "positionId": bought["positionId"]}
        if side == "buy":
            await client.call("trades.modify", **position, stopLoss=below("0.9"))
        limit = order(f"limit{round}", type="limit", price=below("0.8"))
        resting = await client.call("trades.place", **limit)
        target = {**account, "orderId": resting["orderId"]}
        await client.call("trades.modify", **target, price=below("0.7"))
        await client.refused("trades.place", "RISK_BLOCKED", **order(f"odd{round}", volume="0.00001"))
        if round % 4 == 0:
            await stop_and_resume(client, f"stop{round}-{run}", order(f"halted{round}"))
        else:
            await client.call("trades.closePosition", **position, volume="0.04")
            await client.call("trades.cancel", **target)
            await client.call("trades.closePosition", **position)
        await asyncio.sleep(PAUSE_S)
    left = await client.call("trades.place", **order("stays"))
    demand(left["status"] == "filled", f"the order is {left}")
    print(f"done after {round - 1} rounds", flush=True)


async def stop_and_resume(client, key, halted):
    actions = ["pause", "cancel_all", "close_all"]
    stop = {"scope": "global", "reason": "drill", "actions": actions, "idempotencyKey": key}
    stopped = await client.call("risk.emergencyStop", **stop)
    name = stopped["stopId"]
    completed = lambda p: p["stopId"] == name and p["phase"] == "completed"
    await client.event("event.emergency_stop", completed)
    await client.refused("trades.place", "RISK_BLOCKED", "TRADING_HALTED", **halted)
    await client.call("risk.resume", stopId=name, reason="the drill is over")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("url", "token_file", "account", "symbol"):
        parser.add_argument(name)
    parser.add_argument("seconds", type=float)
    try:
        asyncio.run(trade(parser.parse_args()))
    except Exception as failure:
        sys.exit(f"{type(failure).__name__}: {failure}")


if __name__ == "__main__":
    main()
