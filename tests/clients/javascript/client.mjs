// A client of the gateway on the package `ws`, written from docs/PROTOCOL.md alone.
// It holds every frame against what the document promises; the first that deviates ends it.
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';

const PATIENCE_MS = 15_000;
const CODES = new Set([
  'AUTH_REQUIRED',
  'AUTH_INVALID',
  'AUTH_FORBIDDEN',
  'INVALID_PARAMS',
  'NOT_FOUND',
  'CONFLICT',
  'RATE_LIMITED',
  'CONNECTOR_UNAVAILABLE',
  'CONNECTOR_ERROR',
  'RISK_BLOCKED',
  'MARKET_CLOSED',
  'TIMEOUT',
  'INTERNAL_ERROR',
]);
const DECIMALS = new Set([
  'price',
  'volume',
  'bid',
  'ask',
  'balance',
  'credit',
  'equity',
  'margin',
  'freeMargin',
  'openPrice',
  'currentPrice',
  'stopLoss',
  'takeProfit',
  'floating',
  'swap',
  'commission',
  'realizedPnl',
  'slippage',
  'filledVolume',
  'leavesVolume',
  'avgPrice',
  'amount',
  'balanceAfter',
  'limit',
  'actual',
  'marginRequired',
  'notional',
  'tick',
  'volumeMin',
  'volumeStep',
]);

export class Deviation extends Error {}

export function demand(condition, message, ...shown) {
  if (!condition) throw new Deviation([message, ...shown.map((value) => JSON.stringify(value))].join(' '));
}

/** A decimal as a whole number of 10^-12: money never meets a float. */
export function exact(text) {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d{1,12}))?$/.exec(text) ?? [];
  demand(whole !== undefined, 'no decimal:', text);
  return BigInt(sign + whole + fraction.padEnd(12, '0'));
}

/** The decimal of such a number. */
export function written(units) {
  demand(units >= 0n, 'only prices are written');
  const digits = units.toString().padStart(13, '0');
  return `${digits.slice(0, -12)}.${digits.slice(-12)}`.replace(/\.?0+$/, '');
}

const sameShape = (object, ...keys) => Object.keys(object).sort().join() === keys.sort().join();

function checkNumbers(value, place) {
  if (typeof value === 'number') {
    demand(Number.isSafeInteger(value), `${place} is a number with a fraction, or too big:`, value);
  } else if (value !== null && typeof value === 'object') {
    for (const [key, inner] of Object.entries(value)) {
      if (DECIMALS.has(key) && (inner === null || typeof inner !== 'object')) {
        // an intent repeats what was asked for, and null asks for a level to be taken away
        const removed = inner === null && place.endsWith('.params');
        demand(
          removed || (typeof inner === 'string' && /^-?\d+(\.\d+)?$/.test(inner)),
          `${place}.${key} is no decimal:`,
          inner,
        );
      }
      checkNumbers(inner, `${place}.${key}`);
    }
  }
}

/** A connection from its first byte to its last. `log` is told of every critical event. */
class Connection {
  constructor(url) {
    this.socket = new WebSocket(url, { maxPayload: 1 << 20, handshakeTimeout: PATIENCE_MS });
    this.asked = new Map();
    this.waiters = new Set();
    this.seq = 0;
    this.partitions = new Map();
    this.leftOut = 0;
    this.announced = 0;
    this.deaf = false;
    this.socket.on('open', () => this.changed({ open: true }));
    this.socket.on('close', (code) => this.changed({ closed: code }));
    this.socket.on('error', (error) => this.changed({ failure: error }));
    this.socket.on('message', (bytes, binary) => {
      if (this.deaf || this.failure) return;
      try {
        demand(!binary, 'a binary frame');
        this.take(JSON.parse(bytes.toString()));
        this.changed({});
      } catch (error) {
        this.changed({ failure: error });
      }
    });
  }

  changed(what) {
    Object.assign(this, what);
    for (const look of [...this.waiters]) look();
  }

  /** Resolves with what `look` finds, once it finds something. */
  until(look, what, closing = false) {
    return new Promise((resolve, reject) => {
      const settle = (act, value) => {
        clearTimeout(timer);
        this.waiters.delete(again);
        act(value);
      };
      const again = () => {
        if (this.failure) return settle(reject, this.failure);
        const found = look();
        if (found !== undefined && found !== false) return settle(resolve, found);
        if (this.closed !== undefined && !closing) {
          settle(reject, new Deviation(`closed with ${this.closed} while waiting for ${what}`));
        }
      };
      const timer = setTimeout(
        () => settle(reject, new Deviation(`${what} did not come in time`)),
        PATIENCE_MS,
      );
      this.waiters.add(again);
      again();
    });
  }

  take(frame) {
    if (frame.type === 'res') return this.takeAnswer(frame);
    demand(frame.type === 'event', 'a frame of no known type:', frame);
    demand(this.session, 'an event before the session:', frame);
    demand(this.session.features.events.includes(frame.event), 'an event that features do not name:', frame);
    demand(frame.seq === this.seq + 1, `seq ${frame.seq} after ${this.seq}`);
    this.seq = frame.seq;
    checkNumbers(frame.payload, frame.event);
    const critical = !['event.feed.event', 'event.gateway.gap', 'event.gateway.tick'].includes(frame.event);
    demand(critical === 'cursor' in frame, 'critical events have a cursor and others have none:', frame);
    if (critical) this.log.apply(frame);
    if (frame.event === 'event.gateway.gap') this.announced += frame.payload.dropped;
    if (frame.event === 'event.feed.event') this.takeFeed(frame.payload);
  }

  takeFeed({ subscriptionId, partitionKey, sequence, topic, payload }) {
    const partition = `${subscriptionId} ${partitionKey}`;
    const last = this.partitions.get(partition) ?? 0;
    demand(sequence > last, `sequence ${sequence} after ${last} of ${partition}`);
    this.leftOut += sequence - last - 1;
    this.partitions.set(partition, sequence);
    if (topic === 'market.price.tick') this.log.quote = payload;
  }

  takeAnswer(frame) {
    const asked = this.asked.get(frame.id);
    demand(asked, 'an answer to no question:', frame);
    this.asked.delete(frame.id);
    if (frame.ok === true) {
      demand(sameShape(frame, 'type', 'id', 'ok', 'payload'), 'the shape of an answer:', frame);
      checkNumbers(frame.payload, asked.method);
      asked.before?.(frame.payload);
    } else {
      demand(
        frame.ok === false &&
          sameShape(frame, 'type', 'id', 'ok', 'error') &&
          sameShape(frame.error, 'code', 'message', 'retryable', 'details') &&
          CODES.has(frame.error.code) &&
          typeof frame.error.message === 'string' &&
          typeof frame.error.retryable === 'boolean' &&
          frame.error.details?.constructor === Object,
        'the shape of an error:',
        frame,
      );
    }
    asked.answer = frame;
  }

  say(id, method, params, before) {
    const asked = { method, before };
    this.asked.set(id, asked);
    this.socket.send(JSON.stringify({ type: 'req', id, method, params }));
    return asked;
  }

  /** Sends the first fragment of a request only. */
  sayHalf(id, method, params) {
    const text = JSON.stringify({ type: 'req', id, method, params });
    this.socket.send(text.slice(0, text.length / 2), { fin: false });
  }
}

/** A principal and the critical events that it was told, over any number of connections. */
export class Client {
  constructor(url, token) {
    Object.assign(this, {
      url,
      token,
      told: [],
      cursor: undefined,
      begin: undefined,
      quote: undefined,
      count: 0,
    });
  }

  async open() {
    this.connection = new Connection(this.url);
    this.connection.log = this;
    await this.connection.until(() => this.connection.open, 'the handshake');
  }

  /** The parameters of gateway.connect. */
  introduction({ resume, protocol = { min: 1, max: 1 }, token = this.token } = {}) {
    const params = {
      client: { name: 'javascript', kind: 'service' },
      protocol,
      auth: { mode: 'token', token },
    };
    return resume ? { ...params, resume: { cursor: resume } } : params;
  }

  /** Introduces itself on an open connection; with a cursor it goes on from there. */
  connect(resume) {
    return this.call('gateway.connect', this.introduction({ resume }), (session) => {
      demand(session.protocol.selected === 1, 'the protocol is', session.protocol);
      this.connection.session = session;
      if (resume && session.recovered) {
        demand(
          session.cursor.epoch === resume.epoch && session.cursor.offset === resume.offset,
          'resumed elsewhere:',
          resume,
          session.cursor,
        );
      } else {
        [this.told, this.begin] = [[], session.cursor];
      }
      this.cursor = session.cursor;
    });
  }

  /** The next critical event. An operator of all accounts sees every one: each offset comes once. */
  apply({ event, ts, cursor, payload }) {
    demand(
      cursor.epoch === this.cursor.epoch && cursor.offset === this.cursor.offset + 1,
      `${event} does not follow`,
      this.cursor,
      cursor,
    );
    this.cursor = cursor;
    this.told.push({ event, ts, cursor, payload });
  }

  /** The answer to a request, which is sent again when there is room if it was one too many. */
  async ask(method, params = {}, before = undefined) {
    for (;;) {
      this.count += 1;
      const asked = this.connection.say(`js-${this.count}`, method, params, before);
      const answer = await this.connection.until(() => asked.answer, `the answer to ${method}`);
      if (answer.error?.code !== 'RATE_LIMITED') return answer;
      const { retryable, details } = answer.error;
      demand(retryable && details.outcome === 'not_started', `${method} was limited with`, answer.error);
      await sleep(details.retryAfterMs);
    }
  }

  /** The payload of an answer that must be good. */
  async call(method, params = {}, before = undefined) {
    const answer = await this.ask(method, params, before);
    demand(answer.ok, `${method} was refused with`, answer.error);
    return answer.payload;
  }

  /** The error of an answer that must be this one. */
  async refused(code, reason, method, params = {}) {
    const { ok, error, payload } = await this.ask(method, params);
    demand(!ok, `${method} was not refused:`, payload);
    const fits = error.code === code && (reason === undefined || error.details.reason === reason);
    demand(fits, `${method} was refused, not with ${code} ${reason ?? ''}, but with`, error);
    return error;
  }

  /** Sends what is no request; the answer bears no id. */
  raw(text) {
    const asked = { method: text };
    this.connection.asked.set(null, asked);
    this.connection.socket.send(text);
    return this.connection.until(() => asked.answer, `the answer to ${text}`);
  }

  events(name, fits) {
    return this.told
      .filter(({ event, payload }) => event === name && fits(payload))
      .map(({ payload }) => payload);
  }

  event(name, fits) {
    return this.connection.until(() => this.events(name, fits)[0], `an ${name} that fits`);
  }

  async closed(code) {
    const was = await this.connection.until(() => this.connection.closed, `a close with ${code}`, true);
    demand(was === code, `closed with ${was}, not with ${code}`);
  }

  close() {
    this.connection.socket.close(1000);
    return this.closed(1000);
  }

  /** Breaks the connection without a word. What it was not told yet it shall not learn on this one. */
  cut() {
    this.connection.deaf = true;
    this.connection.socket.terminate();
  }
}
