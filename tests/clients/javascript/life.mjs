// What a trader does in a day: preview, place, modify, close, lose the connection in the middle of an
// order, come back, stop everything, trade again. Ends with 0, or says what was not as documented.
// Usage: node life.mjs URL TOKEN_FILE VIEWER_TOKEN_FILE ACCOUNT SYMBOL
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { Client, Deviation, demand, exact, written } from './client.mjs';

const [url, tokenFile, viewerTokenFile, accountId, symbol] = process.argv.slice(2);
const token = (file) => readFileSync(file, 'utf8').trim();
const client = new Client(url, token(tokenFile));
const run = randomBytes(4).toString('hex'); // client order ids are unique for ever
let tick;

// How long after its order the connection is cut: at once, while the gateway works, when it is done.
// null: in the middle of it.
const CUTS_MS = [0, null, 2, 5, 20, 1];

const order = (name, terms = {}) => ({
  accountId,
  symbol,
  side: 'sell',
  type: 'market',
  volume: '0.10',
  clientOrderId: `${name}-${run}`,
  idempotencyKey: `${name}-${run}`,
  ...terms,
});
/** A price above the market, on the grid. */
const above = (percent) => written(((exact(client.quote.ask) * BigInt(percent)) / 100n / tick) * tick);
const state = () => client.call('accounts.get', { accountId });
const whole = async (method, params) => {
  const items = [];
  for (let cursor; ;) {
    const page = await client.call(method, { ...params, limit: 2, cursor });
    demand(page.items.length <= 2, 'a page of two has', page.items);
    items.push(...page.items);
    if (page.nextCursor === undefined) return items;
    cursor = page.nextCursor;
  }
};

async function empty() {
  const { orders, positions } = await state();
  demand(orders.length === 0 && positions.length === 0, 'something is left:', orders, positions);
}

async function subscribe() {
  await client.call('feeds.subscribe', { topics: ['market.price.tick', 'account.*'], symbols: [symbol] });
  await client.connection.until(() => client.quote !== undefined, 'a tick');
}

/** Places an order and waits for its event: answers and events come each in its own time. */
async function placed(terms) {
  const answer = await client.call('trades.place', terms);
  demand(answer.status === (terms.type === 'market' ? 'filled' : 'accepted'), 'the order is', answer);
  await client.event(
    'event.order.updated',
    (p) => p.order.orderId === answer.orderId && p.order.status === answer.status,
  );
  return answer;
}

/** Goes on after the last event that was applied. None is missing or comes twice: see client.mjs. */
async function comeBack() {
  const resume = client.cursor;
  await client.open();
  const { recovered, head } = await client.connect(resume);
  demand(recovered === true, 'not recovered from', resume);
  await client.connection.until(() => client.cursor.offset >= head.offset, 'the events that were missed');
  await subscribe();
}

const steps = {
  async 'is strict at the door'() {
    await client.open();
    await client.refused('AUTH_REQUIRED', undefined, 'accounts.list');
    await client.close();
    const wrongs = [
      [4401, 'AUTH_INVALID', { token: 'gw_wrong' }],
      [4409, 'CONFLICT', { protocol: { min: 2, max: 3 } }],
    ];
    for (const [close, code, wrong] of wrongs) {
      await client.open();
      await client.refused(code, undefined, 'gateway.connect', client.introduction(wrong));
      await client.closed(close);
    }
  },

  async 'tells what it has'() {
    await client.open();
    const { session, features, policy } = await client.connect();
    demand(session.role === 'operator' && session.accounts === '*', 'the session is', session);
    demand(features.methods.includes('trades.place') && policy.maxFrameBytes === 1 << 20, 'this is', policy);
    let link;
    for (let tries = 0; tries < 300 && link?.status !== 'connected'; tries += 1) {
      if (tries > 0) await sleep(50);
      link = await client.call('accounts.status', { accountId });
    }
    demand(link.status === 'connected', 'the account does not connect:', link);
    await subscribe();
    const rows = await whole('accounts.instruments', { accountId });
    tick = exact(rows.find((row) => row.symbol === symbol).tick);
  },

  async 'answers what is wrong'() {
    demand((await client.raw('no json')).error.details.reason === 'BAD_JSON', 'no JSON is not BAD_JSON');
    demand((await client.raw('[]')).error.details.reason === 'BAD_FRAME', 'a list is not BAD_FRAME');
    await client.refused('NOT_FOUND', 'UNKNOWN_METHOD', 'marketplace.list');
    await client.refused('NOT_FOUND', undefined, 'trades.get', { accountId, orderId: 'o999999999' });
    const { details } = await client.refused(
      'INVALID_PARAMS',
      undefined,
      'trades.place',
      order('wrong', { side: 'up' }),
    );
    demand(details.path.includes('side'), 'the place of the error is', details);
  },

  async 'lets a viewer look only'() {
    const viewer = new Client(url, token(viewerTokenFile));
    await viewer.open();
    const { session } = await viewer.connect();
    demand(session.role === 'viewer', 'the session is', session);
    await viewer.call('accounts.list');
    await viewer.refused('AUTH_FORBIDDEN', undefined, 'risk.emergencyStop', {
      scope: 'global',
      reason: 'mischief',
    });
    await viewer.close();
  },

  async previews() {
    const { idempotencyKey, ...terms } = order('preview');
    const good = await client.call('risk.preview', terms);
    demand(good.allowed && good.violations.length === 0 && good.checks.length > 0, 'the preview is', good);
    demand(exact(good.computed.marginRequired) > 0n, 'it needs no margin:', good);
    const bad = await client.call('risk.preview', { ...terms, volume: '0' });
    const error = await client.refused(
      'RISK_BLOCKED',
      bad.violations[0]?.code,
      'trades.place',
      order('nothing', { volume: '0' }),
    );
    demand(
      !bad.allowed && isDeepStrictEqual(error.details.violations, bad.violations),
      'they differ:',
      bad,
      error,
    );
    await client.event('event.trade.rejected', (p) => p.clientOrderId === `nothing-${run}`);
    await client.event('event.risk.alert', (p) => p.code === bad.violations[0].code);
  },

  async 'places, modifies, closes'() {
    const terms = order('market');
    const sold = await placed(terms);
    const executed = await client.event('event.trade.executed', (p) => p.orderId === sold.orderId);
    demand(
      exact(executed.price) === exact(sold.avgPrice) && exact(executed.volume) === exact(terms.volume),
      'executed',
      executed,
      'of',
      sold,
    );
    demand(
      isDeepStrictEqual(await client.call('trades.place', terms), sold),
      'the same key brought another answer',
    );
    await client.refused('CONFLICT', 'IDEMPOTENCY_MISMATCH', 'trades.place', { ...terms, side: 'buy' });

    const { positionId } = sold;
    const stopLoss = above(110);
    const { position } = await client.call('trades.modify', { accountId, positionId, stopLoss });
    demand(exact(position.stopLoss) === exact(stopLoss), 'the stop loss is', position);
    await client.event('event.trade.modified', (p) => p.position?.positionId === positionId);
    const free = await client.call('trades.modify', { accountId, positionId, stopLoss: null });
    demand(!free.position.stopLoss, 'the stop loss is still', free);

    const { orderId } = await placed(order('resting', { type: 'limit', price: above(130) }));
    const moved = await client.call('trades.modify', { accountId, orderId, price: above(140) });
    demand(exact(moved.order.price) > (exact(client.quote.ask) * 13n) / 10n, 'it was not moved:', moved);
    await client.call('trades.cancel', { accountId, clientOrderId: `resting-${run}` });
    await client.event('event.trade.canceled', (p) => p.order.orderId === orderId);

    const part = await client.call('trades.closePosition', { accountId, positionId, volume: '0.03' });
    demand(exact(part.position.volume) === exact('0.07') && part.fills.length === 1, 'after a part:', part);
    await client.call('trades.closePosition', { accountId, symbol });
    await client.event('event.position.updated', (p) => p.closed && p.position.positionId === positionId);
    await empty();
  },

  async 'survives cuts'() {
    for (const [number, cutMs] of CUTS_MS.entries()) {
      const terms = order(`cut${number}`, number % 2 ? {} : { type: 'limit', price: above(130) });
      const say = cutMs === null ? 'sayHalf' : 'say';
      client.connection[say]('unanswered', 'trades.place', terms);
      await sleep(cutMs ?? 1);
      client.cut();
      await comeBack();
      const { clientOrderId } = terms;
      const intents = () =>
        client.events('event.trade.intent', (p) => p.params.clientOrderId === clientOrderId);
      demand(cutMs !== null || intents().length === 0, 'half a request had an effect:', intents());
      const { orderId, filledVolume } = await placed(terms); // with the same key
      const isNew = (p) => p.placed && p.order.clientOrderId === clientOrderId;
      const orders = client.events('event.order.updated', isNew);
      const one = intents().length === 1 && orders.length === 1;
      demand(one, `not one order ${clientOrderId}:`, intents(), orders);
      const fills = client.events('event.trade.executed', (p) => p.orderId === orderId);
      const sum = fills.reduce((total, fill) => total + exact(fill.volume), 0n);
      demand(sum === exact(filledVolume), `the fills of ${clientOrderId} are`, fills);
    }
    const { orders, positions } = await state();
    demand(orders.length === 3 && positions.length === 3, 'six orders made', orders, positions);
  },

  async 'stops and resumes'() {
    const stop = {
      scope: 'account',
      id: accountId,
      reason: 'drill',
      actions: ['pause', 'cancel_all', 'close_all'],
      idempotencyKey: `stop-${run}`,
    };
    const stopped = await client.call('risk.emergencyStop', stop);
    demand(stopped.latched && stopped.outcomes.length === 6, 'six things to end:', stopped);
    const phase = (name) =>
      client.event('event.emergency_stop', (p) => p.stopId === stopped.stopId && p.phase === name);
    await phase('latched');
    client.cut(); // while it goes on
    await comeBack();
    await phase('completed');
    await empty();
    await client.refused('RISK_BLOCKED', 'TRADING_HALTED', 'trades.place', order('halted'));
    const halted = await client.call('risk.status', { accountId });
    demand(halted.tradingState === 'halted' && halted.latches.length === 1, 'not halted:', halted);
    const { cleared } = await client.call('risk.resume', { scope: 'account', id: accountId, reason: 'over' });
    demand(isDeepStrictEqual(cleared, [stopped.stopId]), 'resumed', cleared);
    await phase('resumed');
    const { positionId } = await placed(order('afterwards', { side: 'buy' }));
    await client.call('trades.closePosition', { accountId, positionId });
    await empty();
  },

  async 'has a log without holes'() {
    const fetched = [];
    for (let after = client.begin, head; head === undefined || after.offset !== head.offset;) {
      const page = await client.call('events.fetch', { after, limit: 10 });
      demand(page.events.length <= 10, 'a page of ten has', page.events.length);
      fetched.push(...page.events);
      ({ next: after, head } = page);
    }
    await client.connection.until(() => client.told.length >= fetched.length, 'the events that were fetched');
    fetched.forEach((event, at) => {
      demand(isDeepStrictEqual(event, client.told[at]), 'fetched', event, 'but was told', client.told[at]);
    });
    demand(
      fetched.length === client.cursor.offset - client.begin.offset,
      `fetched ${fetched.length} events only`,
    );
    const { leftOut, announced } = client.connection;
    demand(leftOut <= announced, `${leftOut} feed events left out, ${announced} announced`);

    const fills = await whole('accounts.history', { accountId, kind: 'fills' });
    const told = client.events('event.trade.executed', () => true).map((p) => p.fillId);
    demand(
      isDeepStrictEqual(fills.map((fill) => fill.fillId).sort(), told.sort()),
      'the history has other fills:',
      fills,
    );
  },

  /** Whoever started the gateway stops it now. */
  async 'says goodbye'() {
    console.log('stop the gateway');
    await client.event('event.gateway.status', (p) => p.state === 'draining');
    await client.closed(1001);
  },
};

try {
  for (const [name, step] of Object.entries(steps)) {
    await step();
    console.log(`ok ${name}`);
  }
} catch (error) {
  console.error(error instanceof Deviation ? `Deviation: ${error.message}` : error);
  process.exit(1);
}
