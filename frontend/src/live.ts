import { onBeforeUnmount, reactive, ref } from 'vue';
import { type Seen, seenOf } from './api/client';

export interface Beat extends Partial<Seen> {
  readonly number: number;
  readonly kind: 'ping' | 'read' | 'health';
  /** Nobody answered, or not with a success. */
  readonly failed: boolean;
  readonly milliseconds: number;
}

export interface Health {
  readonly api: string;
  readonly database: string;
  readonly cache: string;
}

/** Turns of all replicas without an answer of one: more than chance makes of a round robin that other clients share. */
const SILENT_TURNS = 6;
/** Requests in a row that nobody answered. */
const NOBODY = 3;

/** How many answers are shown. */
export const SHOWN = 120;
const TIMEOUT_MS = 10_000;
/** Every how many requests something else than a ping is sent. */
const READ_EVERY = 4;
const HEALTH_EVERY = 10;
const PATHS = { ping: '/ping', read: '/tasks?limit=1', health: '/health' };

/** Sends requests at a rate while the page can be seen, and keeps what came of the last ones. */
export function useBeats(rate: { readonly value: number }) {
  const beats = ref<Beat[]>([]);
  const health = ref<Health>();
  const totals = reactive({ sent: 0, failed: 0, hits: 0, misses: 0 });
  const running = ref(true);
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function send(number: number): Promise<void> {
    const kind = number % HEALTH_EVERY === 0 ? 'health' : number % READ_EVERY === 0 ? 'read' : 'ping';
    const started = performance.now();
    let beat: Beat;
    try {
      const response = await fetch(PATHS[kind], { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
      const body = await response.json();
      if (kind === 'health') health.value = body.api ? body : undefined; // else a problem: nobody could be asked
      beat = { number, kind, failed: !response.ok, ...seenOf(response, started) };
    } catch {
      beat = { number, kind, failed: true, milliseconds: performance.now() - started };
    }
    if (beat.failed) totals.failed++;
    if (beat.cache === 'HIT') totals.hits++;
    else if (beat.cache) totals.misses++;
    // Answers may overtake each other; the picture is in the order of the questions.
    const at = beats.value.findLastIndex((other) => other.number < number) + 1;
    beats.value.splice(at, 0, beat);
    if (beats.value.length > SHOWN) beats.value.shift();
  }

  function tick(): void {
    timer = undefined;
    if (!running.value || document.hidden) return;
    void send(++totals.sent);
    // Not in step with another window, which would then meet the one replica each time, and this window the other.
    timer = setTimeout(tick, ((0.9 + 0.2 * Math.random()) * 1000) / rate.value);
  }
  const wake = () => {
    if (timer === undefined) tick();
  };
  function toggle(): void {
    running.value = !running.value;
    wake();
  }

  document.addEventListener('visibilitychange', wake);
  onBeforeUnmount(() => {
    running.value = false;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', wake);
  });
  tick();
  return { beats, health, totals, running, toggle };
}

export interface Replica {
  readonly name: string;
  readonly answers: number;
  readonly median: number;
  readonly points: string;
  /** How many of the newest answers are not its own. */
  readonly silentFor: number;
}

/** One line of figures for each replica that the answers show. `points`: of an SVG of SHOWN × 100, the slowest at the top. */
export function byReplica(beats: readonly Beat[]): {
  replicas: Replica[];
  slowest: number;
  silent: Replica[];
  isDown: boolean;
} {
  const answered = beats.filter(({ replica }) => replica);
  const slowest = Math.max(10, ...answered.map(({ milliseconds }) => milliseconds));
  const names = [...new Set(answered.map(({ replica }) => replica as string))].sort();
  const replicas = names.map((name) => {
    const own = answered.filter(({ replica }) => replica === name);
    const sorted = own.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b);
    const points = own.map((beat) => `${beats.indexOf(beat)},${(100 - (beat.milliseconds / slowest) * 98).toFixed(1)}`);
    const median = sorted[Math.floor(sorted.length / 2)] as number;
    const silentFor = answered.length - 1 - answered.lastIndexOf(own.at(-1) as Beat);
    return { name, answers: own.length, median, points: points.join(' '), silentFor };
  });
  const isDown = beats.length >= NOBODY && beats.slice(-NOBODY).every(({ replica }) => !replica);
  const silent = replicas.filter(({ silentFor }) => silentFor >= SILENT_TURNS * replicas.length);
  return { replicas, slowest, silent, isDown };
}
